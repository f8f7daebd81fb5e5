"""A child process that answers one request: fed, heard out meanwhile, ended in time with all it started."""

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

LARGEST_ANSWER = 1 << 28
STAGE = "bench: "
WAITING = "waiting for "
KEPT_LINES, LONGEST_LINE = 200, 1 << 12
_LINGER_S = 1.0
"""How long to wait for what a child that has ended left in its pipes; its own children may hold them."""


@dataclass(frozen=True)
class Ended:
    """How a child ended: its status, its answer, what it was at last, the end of what else it said.

    `overran` says that it was ended for want of time, `flooded` for answering more than anything asked for.
    """

    status: int
    output: str
    stage: str
    noise: str
    overran: bool = False
    flooded: bool = False


class Listener(threading.Thread):
    """Reads what a child says on standard error: its stages, and whom it waits for, which is told on."""

    def __init__(self, stream: IO[bytes], say: Callable[[str], None] | None) -> None:
        super().__init__(daemon=True)
        self.stream, self.say = stream, say
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.stage, self.since = "", time.monotonic()
        self.start()

    @property
    def waiting(self) -> bool:
        """Tell whether the child waits for its turn."""
        return self.stage.startswith(WAITING)

    def run(self) -> None:
        """Read until the stream ends."""
        with suppress(OSError, ValueError):
            while line := self.stream.readline(LONGEST_LINE):
                self._heard(printable(line.decode(errors="replace")))

    def _heard(self, line: str) -> None:
        if not line.startswith(STAGE):
            self.lines.append(line)
            return
        waited, self.stage = self.waiting, line.removeprefix(STAGE)
        if waited != self.waiting:
            self.since = time.monotonic()
        if self.waiting and self.say is not None:
            self.say(self.stage)


class Reader(threading.Thread):
    """Reads a child's answer, up to a limit."""

    def __init__(self, stream: IO[bytes], enough: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.stream, self.enough, self.answer, self.flooded = stream, enough, bytearray(), False
        self.start()

    def run(self) -> None:
        """Read until the stream ends or has brought more than any answer has."""
        with suppress(OSError, ValueError):
            while piece := self.stream.read1(1 << 16):  # type: ignore[attr-defined]
                self.answer += piece
                if len(self.answer) > LARGEST_ANSWER:
                    self.flooded = True
                    self.enough()
                    return


class Feeder(threading.Thread):
    """Writes the request, and then closes the pipe or, if it is to be held, keeps it open until `finish`."""

    def __init__(self, sink: int, request: bytes, *, hold: bool) -> None:
        super().__init__(daemon=True)
        self.sink, self.request, self.over = sink, request, threading.Event()
        if not hold:
            self.over.set()
        self.start()

    def run(self) -> None:
        """Write; a child that does not read has its reasons, which it tells otherwise."""
        with suppress(BrokenPipeError), os.fdopen(self.sink, "wb") as stream:
            stream.write(self.request)
            stream.flush()
            self.over.wait()

    def finish(self) -> None:
        """Close the pipe. Only after the child has ended: its end must be closed lest we wait for ever."""
        self.over.set()
        self.join()


def run(
    command: Sequence[str],
    request: bytes,
    *,
    limit_s: float,
    wait_s: float,
    hold: bool = False,
    say: Callable[[str], None] | None = None,
) -> Ended:
    """Run a command on a request, in a process group of its own, so that ending it leaves nothing behind.

    It may take `limit_s`, and while it says that it waits for its turn, `wait_s` besides; who is waited for
    goes to `say`. With `hold` its standard input stays open until it ends. Raises OSError where the
    command cannot be started.
    """
    source, sink = os.pipe()
    try:
        child = subprocess.Popen(
            command,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError:
        os.close(sink)
        raise
    finally:
        os.close(source)
    feeder = Feeder(sink, request, hold=hold)
    try:
        return _attended(child, limit_s, wait_s, say)
    finally:
        _reap(child)
        feeder.finish()


def _attended(
    child: subprocess.Popen[bytes], limit_s: float, wait_s: float, say: Callable[[str], None] | None
) -> Ended:
    assert child.stdout is not None
    assert child.stderr is not None
    listener, reader = Listener(child.stderr, say), Reader(child.stdout, lambda: kill(child.pid))
    overran = not _ends(child, listener, limit_s, wait_s)
    _reap(child)
    for thread in (reader, listener):
        thread.join(_LINGER_S)
        if (
            not thread.is_alive()
        ):  # else somebody holds the pipe whom we did not start: ssh's shared connection
            thread.stream.close()
    output = bytes(reader.answer).decode(errors="replace")
    noise = "\n".join(listener.lines)
    return Ended(child.returncode, output, listener.stage, noise, overran, reader.flooded)


def _ends(child: subprocess.Popen[bytes], listener: Listener, limit_s: float, wait_s: float) -> bool:
    """Wait for the child; tell whether it ended within its time, which starts anew when its turn comes."""
    while (left_s := listener.since + (wait_s if listener.waiting else limit_s) - time.monotonic()) > 0:
        with suppress(subprocess.TimeoutExpired):
            child.wait(left_s)
            return True
    return False


def _reap(child: subprocess.Popen[bytes]) -> None:
    """End a child and whatever it started, unless it has ended, and take its status."""
    if child.poll() is None:
        kill(child.pid)
        child.wait()


def kill(group: int) -> None:
    """End a process group at once."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def signal_name(number: int) -> str:
    """Return a signal's name, such as SIGSEGV, or its number where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_line(noise: str) -> str | None:
    """Return the last line that says something, at most 200 characters of it."""
    lines = [line.strip() for line in noise.splitlines() if line.strip()]
    return lines[-1][:200] if lines else None


def printable(text: str) -> str:
    """Return a line without what a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in text).strip()
