"""Runs one of our functions in a process of its own, which may crash or hang without harm to this one.

Converters, quantizers and interpreters are native code: what one model makes them do must cost that
model, not the worker.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from objectives.errors import ObjectiveError

# `-I` keeps the environment's and the folder's own modules out; where ours are is said instead.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from objectives.guard import serve; serve(sys.argv[2], float(sys.argv[3]))"
)
_GRACE_S = 10.0
_TELLING = ("error", "fail", "fatal", "abort", "assert", "terminate", "what()", "exception")
_LAST_BYTES, _LONGEST_REASON = 4096, 300


class ChildFailed(ObjectiveError):
    """A child process that gave no result; says in one line what it did and how it ended."""

    def __init__(self, what: str, how: str) -> None:
        super().__init__(what, how)

    @property
    def what(self) -> str:
        """What the child was to do."""
        return str(self.args[0])

    @property
    def how(self) -> str:
        """How it ended: by which signal, after how long, or with which error."""
        return str(self.args[1])

    def __setattr__(self, name: str, value: object) -> None:
        # What is raised gets its traceback and notes this way (`contextlib` sets them), and nothing else.
        if not name.startswith("__"):
            raise AttributeError(f"a ChildFailed is frozen, so {name} stays as it is")
        super().__setattr__(name, value)

    def __str__(self) -> str:
        return f"{self.what} {self.how}"


def guarded(function: str, arguments: dict[str, Any], timeout_s: float, *, what: str) -> Any:
    """Return what `function`, "package.module:function", returns in a fresh process for the arguments.

    Arguments and result are pickled through files. `what` begins the message of a failure, as in "the
    int8 form". Raises the ObjectiveError that the function raised, and ChildFailed for every other
    exception, for a death by signal, and after `timeout_s` seconds, when all its processes are killed.
    """
    with tempfile.TemporaryDirectory(prefix="edgesearch-", ignore_cleanup_errors=True) as folder:
        job = Path(folder)
        (job / "arguments").write_bytes(pickle.dumps((function, arguments)))
        code = _run(job, timeout_s, what)
        if code == 0 and (job / "result").exists():
            return opened((job / "result").read_bytes(), what)
        with (job / "output").open("rb") as output:
            raise ChildFailed(what, ending(code, last_line(output)))


def serve(folder: str, timeout_s: float) -> None:
    """Do a job in the child, and leave without what libraries do at exit: it may crash, and takes time."""
    if hasattr(signal, "setitimer"):  # should the parent be killed, nobody else would end this process
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, timeout_s + _GRACE_S)
    job = Path(folder)
    function, arguments = pickle.loads((job / "arguments").read_bytes())  # noqa: S301 - the parent wrote it
    (job / "unfinished").write_bytes(answered(function, arguments))
    (job / "unfinished").replace(job / "result")
    os._exit(0)


def import_paths() -> list[str]:
    """Return where a child finds modules: ours first, so that none of the user's stands in for one."""
    ours = str(Path(__file__).parents[1])
    others = (str(Path(entry).absolute()) for entry in sys.path if entry)
    return list(dict.fromkeys((ours, *others)))


def answered(function: str, arguments: dict[str, Any]) -> bytes:
    """Call a function in the child; return its result or its failure, pickled, for `opened` to read."""
    module, _, name = function.partition(":")
    try:
        return pickle.dumps(("value", getattr(importlib.import_module(module), name)(**arguments)))
    except ObjectiveError as error:
        return pickle.dumps(("refused", error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent tells it
        return pickle.dumps(("failed", f"{type(error).__name__}: {first_line(error)}"))


def opened(result: bytes, what: str) -> Any:
    """Return the result that a child pickled, or raise ObjectiveError or ChildFailed as `guarded` does."""
    kind, content = pickle.loads(result)  # noqa: S301 - our own function made it
    if kind == "refused":
        raise content
    if kind == "failed":
        raise ChildFailed(what, f"failed with {content}")
    return content


def _run(job: Path, timeout_s: float, what: str) -> int:
    paths = json.dumps(import_paths())
    command = [sys.executable, "-I", "-u", "-c", _BOOT, paths, str(job), str(timeout_s)]
    with (job / "output").open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise ChildFailed(what, f"was ended after {timeout_s:g} s, all the time that it has") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):  # nobody is left of its group
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


class ChildLost(OSError):
    """A child process ended, or never came up, through no fault of what it was to do."""


def ending(code: int, said: str) -> str:
    """Say how a child ended, by its return code (negative for a signal) and its last line."""
    if code >= 0:
        return f"ended with exit status {code}" + (f": {said}" if said else " and without a word")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (which is what a machine without memory left does)" if name == "SIGKILL" else ""
    told = any(word in said.lower() for word in _TELLING)
    return f"was ended by {name}{hint}" + (f": {said}" if told else "")


def last_line(output: IO[bytes]) -> str:
    """Return the last line of what the child wrote, empty if it wrote nothing."""
    output.seek(max(0, output.seek(0, os.SEEK_END) - _LAST_BYTES))
    lines = [line.strip() for line in output.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:_LONGEST_REASON]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that says something, or its type's name."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)[:_LONGEST_REASON]
