#!/usr/bin/env python3
"""Flash a model to a microcontroller and time it over a serial line, for `--on command:…`.

The protocol with edgesearch and the one with the firmware are in docs/command-runner.md.
Needs pyserial and numpy, and nothing of edgesearch.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import serial

TRY_LATER = 75


class BoardError(Exception):
    """The board is not there, or does not keep to the protocol; the text says which."""


class Board:
    """A board on a serial line: each line sent is answered by a line with a JSON object."""

    def __init__(self, port: serial.Serial, patience_s: float) -> None:
        self.port, self.patience_s = port, patience_s

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line; return the answer. Raises BoardError unless it comes in time."""
        self.port.reset_input_buffer()
        self.port.write(line.encode() + b"\n")
        self.port.flush()
        deadline, seen = time.monotonic() + self.patience_s, b""
        while time.monotonic() < deadline:
            seen += self.port.readline()  # what there is when the port's own timeout is over
            if seen.endswith(b"\n"):
                if (answer := parsed(seen)) is not None:
                    return answer
                seen = b""
        raise BoardError(f"no answer to '{line[:20]}' within {self.patience_s:g} s")

    def hello(self, tries: int = 5) -> dict[str, Any]:
        """Ask a board that may still be starting who it is."""
        patience_s, self.patience_s = self.patience_s, self.patience_s / tries
        try:
            for _ in range(tries - 1):
                try:
                    return self.ask("hello")
                except BoardError:
                    continue
            return self.ask("hello")
        finally:
            self.patience_s = patience_s

    def run(self, sample: Sequence[np.ndarray]) -> tuple[float, bytes]:
        """Run the model on one sample; return the duration in ms and the outputs' bytes."""
        answer = self.ask("run " + b"".join(array.tobytes() for array in sample).hex())
        if "error" in answer:
            raise BoardError(str(answer["error"]))
        return float(answer["us"]) / 1e3, bytes.fromhex(answer["outputs"])


def parsed(line: bytes) -> dict[str, Any] | None:
    """Return a line's JSON object, or None for whatever else a board prints."""
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def split(data: bytes, tensors: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """Cut the outputs' bytes into nested lists by the types and shapes that the board told."""
    arrays = []
    for tensor in tensors:
        kind, shape = np.dtype(tensor["type"]).newbyteorder("<"), tuple(tensor["shape"])
        size = kind.itemsize * int(np.prod(shape, dtype=np.int64))
        if len(data) < size:
            raise BoardError("the outputs are shorter than what the board said of them")
        arrays.append(np.frombuffer(data[:size], kind).reshape(shape).tolist())
        data = data[size:]
    if data:
        raise BoardError(f"{len(data)} bytes more of outputs than the board said")
    return arrays


def measure(board: Board, samples: Sequence[Sequence[np.ndarray]], repeats: int) -> dict[str, Any]:
    """Run every sample, and the first again until there are enough durations; return the answer."""
    hello = board.hello()
    told = {
        key: hello[key] for key in ("machine", "runtime", "runtime_version", "arena_bytes") if key in hello
    }
    if "error" in hello:
        return told | {"error": hello["error"]}
    runs = [board.run(sample) for sample in samples]
    again = [board.run(samples[0]) for _ in range(repeats - len(runs))]
    outputs = [split(data, hello["outputs"]) for _, data in runs]
    return told | {
        "latency_ms": [ms for ms, _ in (*runs, *again)],
        "outputs": [list(output) for output in zip(*outputs, strict=True)],  # by output, then by sample
        "threads": 1,
    }


def flash(command: str, folder: str, model: str) -> None:
    """Run the user's command that builds and flashes, with {model} in its words. Raises BoardError."""
    words = [word.replace("{model}", model) for word in shlex.split(command)]
    done = subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if done.returncode:
        raise BoardError(f"'{words[0]}' ended with status {done.returncode}: nothing was flashed")


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", required=True, help="such as /dev/ttyACM0")
    parser.add_argument("--baud", type=int, default=115200)
    parser.add_argument("--flash", help="your command that builds and flashes; {model} is the model's path")
    parser.add_argument("--flash-in", default=".", help="the folder it is started in")
    parser.add_argument("--repeats", type=int, default=5, help="least number of runs that are timed")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds that an answer may take")
    parser.add_argument("--model", required=True)
    parser.add_argument("--inputs", required=True)
    return parser.parse_args()


def main() -> int:
    """Flash, measure, print one JSON object."""
    given = options()
    with np.load(given.inputs) as file:
        inputs = [file[f"input_{n}"] for n in range(len(file.files))]
    try:
        serial.Serial(given.port, given.baud).close()  # a board that is not there is no model's fault
        if given.flash:
            flash(given.flash, given.flash_in, given.model)
        with serial.Serial(given.port, given.baud, timeout=0.2) as port:
            answer = measure(Board(port, given.patience), list(zip(*inputs, strict=True)), given.repeats)
    except serial.SerialException as error:
        print(f"{given.port}: {error}", file=sys.stderr)
        return TRY_LATER
    except (BoardError, KeyError, TypeError, ValueError) as error:
        print(f"{given.port}: {error or type(error).__name__}", file=sys.stderr)
        return 1
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
