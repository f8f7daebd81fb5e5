"""MLflow's pages on the store in the home folder, for this machine's user alone.

The server is MLflow's own, in a child process, on 127.0.0.1. It is the plain tracking server (gunicorn
with MLflow's Flask application): MLflow's default server would also answer to an assistant that can
run shell commands, to a gateway for language models and to a job runner, which nobody here asked for.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

from search.errors import StudyError
from search.home import Home
from search.mlflow_ledger import ENVIRONMENT, quiet_mlflow
from search.secrets import redact, secrets_of

HOST = "127.0.0.1"
START_DEADLINE_S = 180
END_DEADLINE_S = 10
SHOWN_LINES = 3


def serve(home: Home, tracking_uri: str, port: int = 5000, say: Callable[[str], None] = print) -> None:
    """Show the runs in a browser until Ctrl-C or SIGTERM; then end the server and its children.

    `say` gets the address once it answers. With the address of a tracking server (http, https) only
    that is told, for it has pages already. Raises StudyError where the port is taken or the server
    does not start.
    """
    if tracking_uri.startswith(("http://", "https://")):
        say(f"MLflow is at {redact(tracking_uri)}")
        return
    _refuse_busy(port)
    home.ensure_writable()
    with _interruptible(), _server(home, tracking_uri, port) as server:
        url = f"http://{HOST}:{port}"
        _wait_until_it_answers(server, url, tracking_uri)
        say(f"MLflow is at {url} (Ctrl-C ends it)")
        with contextlib.suppress(KeyboardInterrupt):
            server.process.wait()
            raise StudyError(f"the MLflow server ended by itself: {server.last_words(tracking_uri)}")


def _refuse_busy(port: int) -> None:
    if not 1 <= port <= 65535:
        raise StudyError(f"a port is between 1 and 65535, got {port}; choose one with --port")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise StudyError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); choose another, e.g. --port {_free_port()}"
            ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class _Server:
    """The child process, and the last lines of what it said."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self._lines = [*self._lines, line.strip()][-SHOWN_LINES:]

    def last_words(self, tracking_uri: str) -> str:
        """Return the end of its standard error on one line, without passwords."""
        self._reader.join(1)
        return redact(" / ".join(filter(None, self._lines)) or "it said nothing", secrets_of(tracking_uri))


@contextlib.contextmanager
def _server(home: Home, tracking_uri: str, port: int) -> Iterator[_Server]:
    quiet_mlflow()
    # The address goes by the environment: on the command line every user of the machine could read it.
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "MLFLOW_BACKEND_STORE_URI": tracking_uri,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": home.mlflow_artifacts.as_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--gunicorn-opts", "--threads 4 --timeout 120 --log-level warning", "--no-serve-artifacts"]
    process = subprocess.Popen(
        command, env=environment, cwd=home.root, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    try:
        yield _Server(process)
    finally:
        _end(process)


def _wait_until_it_answers(server: _Server, url: str, tracking_uri: str) -> None:
    # Without a proxy, whatever the environment says: the server is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise StudyError(f"the MLflow server did not start: {server.last_words(tracking_uri)}")
        with contextlib.suppress(urllib.error.URLError, OSError), opener.open(f"{url}/health", timeout=5):
            return
        time.sleep(0.2)
    raise StudyError(f"the MLflow server did not answer within {START_DEADLINE_S} s: {server.last_words(tracking_uri)}")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C while the block runs, so that it ends the server too."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(process: "subprocess.Popen[str]") -> None:
    """End the process with all its descendants: politely, then by force."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        family = [root, *root.children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.terminate()
        _, left = psutil.wait_procs(family, timeout=END_DEADLINE_S)
        for member in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
    process.wait()
