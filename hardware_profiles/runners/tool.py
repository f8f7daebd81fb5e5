"""Running a vendor's tool as a child: a time limit, nothing left behind, and a crash is told as one."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.value import Value


class Finished(Value):
    """How a tool ended: its exit status, and what it wrote to standard output and error."""

    status: int
    output: str
    noise: str

    @property
    def last_line(self) -> str:
        """The last thing that it said, on one line."""
        lines = [line.strip() for text in (self.output, self.noise) for line in text.splitlines()]
        said = [line for line in lines if line]
        return said[-1][:200] if said else f"nothing (status {self.status})"


def find_tool(name: str) -> str | None:
    """Return the path of a program: beside this interpreter (as `pip install` puts it), else on the path."""
    beside = shutil.which(name, path=str(Path(sys.executable).parent))
    return beside or shutil.which(name)


def run_tool(command: Sequence[str], folder: Path, timeout_s: float) -> Finished:
    """Run a program in a folder, without a shell and without input.

    Raises DeviceError where it cannot be started, MeasuringFailed where a signal ended it or it took longer
    than `timeout_s`. A status other than 0 is for the caller to judge.
    """
    name = Path(command[0]).name
    try:
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise DeviceError(f"cannot start {command[0]}: {error.strerror}") from error
    try:
        output, noise = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        _end(child)
        raise MeasuringFailed(f"{name} took more than the limit of {timeout_s:g} s for this model") from error
    except BaseException:
        _end(child)
        raise
    if (number := _signal(child.returncode)) is not None:
        raise MeasuringFailed(f"{name} crashed on this model ({_signal_name(number)}), so it tells nothing")
    return Finished(status=child.returncode, output=output, noise=noise)


def read_model(model: Path) -> bytes:
    """Return a file's bytes. Raises MeasuringFailed if it cannot be read."""
    try:
        return model.read_bytes()
    except OSError as error:
        raise MeasuringFailed(f"cannot read the model '{model}': {error.strerror}") from error


def _signal(status: int) -> int | None:
    """Return the signal that ended a program; a script around it reports 128 more (139: SIGSEGV)."""
    if status < 0:
        return -status
    return status - 128 if os.name == "posix" and 128 < status < 128 + 65 else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end(child: subprocess.Popen[str]) -> None:
    """End a child and whatever it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
