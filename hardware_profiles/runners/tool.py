"""Running a vendor's tool as a child: a time limit, nothing left behind, and a crash is told as one."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.limited import run_limited
from hardware_profiles.runners.child import signal_name
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
        done = run_limited(command, folder, dict(os.environ), timeout_s)
    except OSError as error:
        raise DeviceError(f"cannot start {command[0]}: {error.strerror}") from error
    if done.overran:
        raise MeasuringFailed(f"{name} took more than the limit of {timeout_s:g} s for this model")
    if (number := _signal(done.status)) is not None:
        raise MeasuringFailed(f"{name} crashed on this model ({signal_name(number)}), so it tells nothing")
    return Finished(status=done.status, output=done.output.decode(errors="replace"), noise=done.noise)


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
