"""A program as a child: a time limit, a limit on what it prints, and an end for all that it started."""

import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from hardware_profiles.runners.child import kill

LARGEST_OUTPUT_BYTES, LARGEST_NOISE_BYTES = 64 << 20, 64 << 10
LINGER_S = 2.0
"""How long to wait for what an ended program has left in its pipes; a daemon of its may hold them."""


class Finished(NamedTuple):
    """How a program ended, what it printed, and the end of what it complained of."""

    status: int
    output: bytes
    noise: str
    overran: bool
    flooded: bool


class _Reader(threading.Thread):
    """Reads a stream to its end; past the limit it keeps the last bytes, or calls `flooded` and stops."""

    def __init__(self, stream: IO[bytes], limit_bytes: int, flooded: Callable[[], None] | None) -> None:
        super().__init__(daemon=True)
        self.stream, self.limit_bytes, self.when_flooded = stream, limit_bytes, flooded
        self.data, self.flooded = bytearray(), False
        self.start()

    def run(self) -> None:
        with suppress(OSError, ValueError):  # closed, for what holds it open is not ours to end
            while not self.flooded and (piece := os.read(self.stream.fileno(), 1 << 16)):
                self.data += piece
                if len(self.data) > self.limit_bytes:
                    self._overflow()

    def _overflow(self) -> None:
        if self.when_flooded is None:
            del self.data[: -self.limit_bytes]
        else:
            self.flooded = True
            self.when_flooded()


def run_limited(argv: Sequence[str], folder: Path, environment: dict[str, str], timeout_s: float) -> Finished:
    """Run a program without a shell in a process group of its own, and end the group when it has ended.

    It gets no input. Raises OSError where it cannot be started.
    """
    child = subprocess.Popen(
        argv,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    overran = False
    with child.stdout, child.stderr:
        output = _Reader(child.stdout, LARGEST_OUTPUT_BYTES, lambda: kill(child.pid))
        noise = _Reader(child.stderr, LARGEST_NOISE_BYTES, None)
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            overran = True
        finally:
            kill(child.pid)
            child.wait()
            output.join(LINGER_S)
            noise.join(LINGER_S)
    told = noise.data.decode(errors="replace")
    return Finished(child.returncode, bytes(output.data), told, overran, output.flooded)
