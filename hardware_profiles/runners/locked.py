"""The runner that measures alone: one measurement at a time per connection, among all who use this machine.

The lock is the kernel's (flock), so a crash frees it. Who holds it is written beside it; that is for people
to read, and nothing depends on it.
"""

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from hardware_profiles.connection import Adb, Command, Connection, Replay, Ssh
from hardware_profiles.errors import DeviceError, Unreachable
from hardware_profiles.measurement import Latency
from hardware_profiles.runners.answers import me
from hardware_profiles.runners.base import Anchor, Array, Computes, Runner
from hardware_profiles.runners.child import printable
from hardware_profiles.value import Value

FOLDER = "edgesearch-locks"
FOR_ALL = 0o666
LARGEST_NOTE = 1 << 12
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK
"""For files that any user may have put there: no link is followed, no pipe is waited for."""


class Holder(Value):
    """Who measures, told to those who wait; `since` is in seconds of Unix time."""

    who: str
    pid: int
    since: float

    def __str__(self) -> str:
        return (
            f"{printable(self.who)[:60]} (process {self.pid}, for {max(0.0, time.time() - self.since):.0f} s)"
        )


class LockedRunner:
    """Holds a runner and is one, and has its device to itself while it measures or computes.

    It computes if, and only if, the one within does. `place` names the device to people, `who` us. Whoever
    is waited for is told to `say` once; after `deadline_s` the device counts as Unreachable.
    """

    compute: Callable[[Path, Sequence[Array]], tuple[Array, ...]]

    def __init__(
        self,
        runner: Runner,
        lock_file: Path,
        deadline_s: float,
        say: Callable[[str], None],
        *,
        place: str = "this device",
        who: str | None = None,
    ) -> None:
        if deadline_s < 0:
            raise DeviceError(f"a lock is waited for 0 s or more, got {deadline_s:g}")
        self.runner, self.lock_file, self.deadline_s, self.say = runner, lock_file, deadline_s, say
        self.place, self.who = place, who or me()
        if isinstance(runner, Computes):
            self.compute = self._compute

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Measure as the runner within does. Raises what it does; Unreachable if others never finish."""
        with self._alone():
            return self.runner.measure(models, anchor)

    def _compute(self, model: Path, inputs: Sequence[Array]) -> tuple[Array, ...]:
        assert isinstance(self.runner, Computes)
        with self._alone():
            return self.runner.compute(model, inputs)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = FileLock(self.lock_file, mode=FOR_ALL, thread_local=False)
        self._acquire(lock)
        try:
            write_note(self._note, Holder(who=self.who, pid=os.getpid(), since=time.time()))
            yield
        finally:
            write_note(self._note, None)
            lock.release()

    def _acquire(self, lock: FileLock) -> None:
        """Take the lock. Raises Unreachable when it is not to be had in time, DeviceError if never."""
        try:
            with suppress(Timeout):
                lock.acquire(timeout=0)
                return
            self.say(f"waiting for {self._holder()} to finish measuring on {self.place}")
            lock.acquire(timeout=self.deadline_s, poll_interval=0.1)
        except Timeout:
            raise Unreachable(
                f"{self.place} is taken: {self._holder()} has been measuring there for more than the "
                f"{self.deadline_s:g} s that were waited"
            ) from None
        except OSError as error:
            raise DeviceError(f"cannot lock {self.lock_file}: {error.strerror}; make it writable") from error

    @property
    def _note(self) -> Path:
        return self.lock_file.with_suffix(".holder")

    def _holder(self) -> Holder | str:
        try:
            return Holder.model_validate_json(read_note(self._note))
        except (OSError, ValidationError):
            return "somebody"


def lock_path(connection: Connection) -> Path:
    """Return the lock file of a device, the same for every user of this machine who reaches it.

    Its name is a digest of the device's address, without the user that is logged in as. Raises DeviceError
    if the folder for such files cannot be had.
    """
    digest = hashlib.sha256(address(connection).encode()).hexdigest()[:16]
    return shared_folder(Path(tempfile.gettempdir()) / FOLDER) / f"{digest}.lock"


def address(connection: Connection) -> str:
    """Return what two connections to the same device have in common."""
    match connection:
        case Ssh(host=host, port=port):
            return f"ssh://{host.lower()}:{port or 22}"
        case Adb() | Command() | Replay():
            return str(connection)
        case _:
            return "local"


def shared_folder(folder: Path) -> Path:
    """Make a folder in which all users may make files, and none may remove another's.

    Raises DeviceError where that cannot be, or where somebody has put something else in its place.
    """
    try:
        with suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o1777)
        if not stat.S_ISDIR(folder.lstat().st_mode) or not os.access(folder, os.W_OK | os.X_OK):
            raise DeviceError(f"{folder} is to be a folder that all users may write to: remove what is there")
    except OSError as error:
        raise DeviceError(f"cannot make the folder for locks {folder}: {error.strerror}") from error
    return folder


def read_note(path: Path) -> bytes:
    """Return what is written there, whatever it is. Raises OSError if nothing can be read."""
    handle = os.open(path, os.O_RDONLY | _CAREFULLY)
    try:
        return os.read(handle, LARGEST_NOTE)
    finally:
        os.close(handle)


def write_note(path: Path, holder: Holder | None) -> None:
    """Say who holds a lock, or that nobody does; if that cannot be written, we measure all the same."""
    text = b"" if holder is None else holder.model_dump_json().encode()
    with suppress(OSError):
        handle = _opened(path)
        try:
            os.ftruncate(handle, 0)
            os.write(handle, text)
        finally:
            os.close(handle)


def _opened(path: Path) -> int:
    """Open the note for writing, made for all users if it is new."""
    flags = os.O_WRONLY | _CAREFULLY
    try:
        return os.open(path, flags)  # not to be created: a sticky folder refuses that for another's file
    except FileNotFoundError:
        handle = os.open(path, flags | os.O_CREAT | os.O_EXCL)
        os.fchmod(handle, FOR_ALL)
        return handle
