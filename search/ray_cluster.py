"""Starts Ray with its doors closed, and tells which doors there are.

A cluster of our own (`start_ray` without an address) asks every caller for a token from a file of
mode 0600, keeps its sockets and logs in a folder of mode 0700, sends no usage statistics and runs no
dashboard. Every listening socket is on the loopback interface: Ray decides so when the node's address
is 127.0.0.1, which on Linux it accepts only with `RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0` (the name is
historical: it means "this machine only"). Known to listen then, all on loopback, each port chosen by
the system and each call authenticated by the token:

    gcs_server             the cluster's directory
    raylet                 scheduler and object transfer
    ray::...               one port per worker, and the runtime-environment agent
    this process           one port, as the driver

If something imported `ray` before `start_ray` could set that variable, these ports are open on all
interfaces instead (still behind the token), and a warning says so.

Workers of a cluster that runs already were started by somebody else: their environment is not ours to
set (an actor applies `WORKER_ENVIRONMENT` itself), nor are their sockets.
"""

import contextlib
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hardware_profiles.artifact import write_atomically
from search.errors import StudyError
from search.home import Home, make_private, writing
from search.secrets import redact, secrets_of

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
OBJECT_STORE_BYTES = 200 * 2**20
FOLDER_PREFIX = "es-ray-"
# A Unix socket's path has at most 103 bytes on macOS; Ray's part of it takes 64 and ours 18.
LONGEST_TEMPORARY_FOLDER = 20
SWEPT_AFTER_S = 60
CONNECT_TIMEOUT_S = 10.0

WORKER_ENVIRONMENT: Mapping[str, str] = {
    "TF_USE_LEGACY_KERAS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "-1",
}
"""What a worker's process needs before it imports TensorFlow: one core, no GPU, tf_keras, no chatter."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True)
class ListeningSocket:
    """A TCP port that a process waits on."""

    pid: int
    process: str
    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Tell whether only this machine can reach it."""
        plain = self.host.removeprefix("::ffff:")
        return plain.startswith("127.") or plain == "::1"


class RayCluster:
    """A connection to Ray that `stop` ends, together with the cluster if it is ours.

    Also a context manager.
    """

    def __init__(self, folder: Path | None, lock: Any) -> None:
        self._folder = folder
        self._lock = lock

    @property
    def own(self) -> bool:
        """Tell whether this process started the cluster."""
        return self._folder is not None

    def stop(self) -> None:
        """End the connection; of a cluster of our own end every process and remove its folder."""
        import ray

        ray.shutdown()
        if self._folder is not None:
            _forget_token()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_ray(home: Home, address: str | None = None, cpus: int = 1) -> RayCluster:
    """Start a cluster on this machine, or join the one at `address` (`HOST:PORT` or `auto`).

    Call it from the main thread: the kernel ends a local cluster with the thread that started it, so
    that no `kill -9` of the driver leaves one behind. `cpus` counts the cores that a cluster of our own
    hands out. Raises StudyError where Ray does not start or the address does not answer.
    """
    if threading.current_thread() is not threading.main_thread():
        raise StudyError("Ray is started from the main thread, for it ends with the thread that started it")
    os.environ.update(_QUIET)
    return _start(home, cpus) if address is None else _join(address)


def _start(home: Home, cpus: int) -> RayCluster:
    if cpus < 1:
        raise StudyError(f"a cluster hands out at least 1 core, got {cpus}; give --workers 1 or more")
    os.environ.update(
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN_PATH=str(ensure_token(home.ray_token)),
        RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    )
    os.environ.pop("RAY_AUTH_TOKEN", None)  # it would go before our file
    os.environ.pop("RAY_ADDRESS", None)  # it would make this a join
    _refuse_without_token()
    folder, lock = _private_folder()
    try:
        with _environment(WORKER_ENVIRONMENT):
            _init(
                num_cpus=cpus,
                num_gpus=0,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                _temp_dir=str(folder / "r"),  # Ray opens it to all, but `folder` around it stays ours
                _node_ip_address=LOOPBACK,
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        raise
    _warn_if_open()
    return RayCluster(folder, lock)


def _refuse_without_token() -> None:
    """Raise StudyError where Ray settled on no authentication when it was imported, before our setting."""
    from ray._raylet import AuthenticationMode, get_authentication_mode

    if get_authentication_mode() != AuthenticationMode.TOKEN:
        raise StudyError(
            "Ray asks for tokens only if told before it is imported, and `ray` was imported earlier in this "
            "process; import it after `search.run_study`, or set RAY_AUTH_MODE=token in the environment"
        )


def _forget_token() -> None:
    """Let Ray read the token anew at the next start, which may be for another home."""
    from ray._raylet import AuthenticationTokenLoader

    AuthenticationTokenLoader.instance().reset_cache()


def _join(address: str) -> RayCluster:
    if address.startswith("ray://"):
        raise StudyError(
            f"a Ray cluster is joined from one of its machines, by HOST:PORT or 'auto', got '{address}'; "
            "run edgesearch there"
        )
    _refuse_silent(address)
    if _token_at_hand():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    elif os.environ.get("RAY_AUTH_MODE") != "token":
        log.warning(
            "joining the Ray cluster at %s without a token: whoever reaches its ports can run code there; "
            "restart it with RAY_AUTH_MODE=token (see `ray get-auth-token --help`)",
            address,
        )
    _init(address=address)
    return RayCluster(None, None)


def _refuse_silent(address: str) -> None:
    """Raise StudyError where nobody listens at HOST:PORT: Ray itself would go on trying for many minutes."""
    host, colon, port = address.rpartition(":")
    if address == "auto":
        return
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise StudyError(
            f"a Ray cluster is joined by HOST:PORT or 'auto', got '{address}'; write it like this"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise StudyError(
            f"the Ray cluster at {address} cannot be joined: {error.strerror or error}; is it running, and "
            "is that the address of its head?"
        ) from error


def _token_at_hand() -> bool:
    named = os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or Path(named).expanduser().is_file()


def _init(**options: Any) -> None:
    """Call `ray.init` so that a failure is one line and the working folder is not searched for modules."""
    import ray
    from ray.job_config import JobConfig

    # Ray puts the driver's working folder first on the path of its workers, where a user's own
    # `search.py` would hide ours; a job flagged as a client's is spared that.
    job = JobConfig(_client_job=True)
    try:
        ray.init(job_config=job, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:
        reason = redact(" ".join(str(error).split()), secrets_of(str(options.get("address", ""))))
        what, way_out = "Ray does not start", "`edgesearch doctor` tells what is missing"
        if "address" in options:
            what = f"the Ray cluster at {options['address']} cannot be joined"
            way_out = "is it running, and is its token at hand?"
        raise StudyError(f"{what}: {type(error).__name__}: {reason[:300]}; {way_out}") from error


def _warn_if_open() -> None:
    exposed = sorted({s.process for s in listening_sockets(os.getpid()) if not s.loopback})
    if exposed:
        log.warning(
            "ports of %s listen on all interfaces, behind the token: `ray` was imported before edgesearch "
            "could keep it to %s",
            ", ".join(exposed),
            LOOPBACK,
        )


def ensure_token(path: Path) -> Path:
    """Make the token file with 256 random bits and mode 0600 where it is missing; return its path.

    A file that others may read is replaced. Raises StudyError where it cannot be written.
    """
    with writing(path):
        make_private(path.parent)
        if not path.exists() or path.stat().st_mode & 0o077:
            # The temporary file behind this is made with mode 0600 and keeps it when it is renamed.
            write_atomically(path, secrets.token_hex(32).encode())
    return path


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables while the block runs: Ray's processes inherit them, this one keeps its own."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _private_folder() -> tuple[Path, Any]:
    """Make a short-named folder of mode 0700, locked while we live, and sweep those of the dead."""
    base = Path(tempfile.gettempdir())
    if len(str(base)) > LONGEST_TEMPORARY_FOLDER and sys.platform != "win32":
        base = Path("/tmp")  # noqa: S108 - the folder in it is made by mkdtemp, with mode 0700
    _sweep(base)
    with writing(base):
        folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=base))
    lock = _lock(folder)
    lock.acquire()
    return folder, lock


def _lock(folder: Path) -> Any:
    from filelock import FileLock

    return FileLock(folder / "lock", timeout=0)


def _sweep(base: Path) -> None:
    """Remove the folders of clusters that a `kill -9` ended: nobody holds their lock any more."""
    from filelock import Timeout

    for folder in base.glob(f"{FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError, Timeout):
            # The youngest may be somebody's who is about to take the lock.
            old = time.time() - folder.stat().st_mtime > SWEPT_AFTER_S
            if old and folder.stat().st_uid == os.getuid() and (folder / "lock").is_file():
                with _lock(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def listening_sockets(pid: int) -> tuple[ListeningSocket, ...]:
    """List the TCP ports that a process and its descendants listen on, for tests and `doctor`."""
    import psutil

    found = []
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            found += [
                ListeningSocket(process.pid, process.name(), connection.laddr.ip, connection.laddr.port)
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            ]
    return tuple(found)
