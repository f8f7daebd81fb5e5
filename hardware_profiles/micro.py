"""Working memory of a model in TensorFlow Lite Micro, asked in a child process: some files abort it.

Its allocator is the true one, and it runs on the host: activations ("head") take as much on a 32-bit
device, what lasts ("tail") at most as much, for pointers are half as long there.
"""

import re
import subprocess
import sys
from pathlib import Path

from hardware_profiles.value import Value

LARGEST_ARENA = 2**26
TIMEOUT_S = 60.0
_SCRIPT = """
import sys
import numpy as np
from tflite_micro import runtime

interpreter = runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))
about = interpreter.get_input_details(0)
interpreter.set_input(np.zeros(about["shape"], about["dtype"]), 0)
interpreter.invoke()
interpreter.print_allocations()
"""
_FOUND = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


class ArenaUnknown(ValueError):
    """Why the arena of a file cannot be told, in one line."""


class Arena(Value):
    """Bytes that a model needs while it runs: `head` for activations, `tail` for what lasts."""

    total_bytes: int
    head_bytes: int
    tail_bytes: int


def arena(model: Path, timeout_s: float = TIMEOUT_S) -> Arena:
    """Return the arena of a `.tflite`.

    Raises ArenaUnknown where TensorFlow Lite Micro is not there, does not run the file or takes too long.
    """
    command = [sys.executable, "-I", "-c", _SCRIPT, str(model.absolute()), str(LARGEST_ARENA)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise ArenaUnknown(f"TensorFlow Lite Micro took more than {timeout_s:g} s for it") from None
    seen = {name: int(count) for name, count in _FOUND.findall(done.stderr)}
    if set(seen) != {"total", "head", "tail"}:
        raise ArenaUnknown(_reason(done.stderr))
    return Arena(total_bytes=seen["total"], head_bytes=seen["head"], tail_bytes=seen["tail"])


def _reason(noise: str) -> str:
    if "No module named 'tflite_micro'" in noise:
        return "tflite-micro is not installed: pip install 'edgesearch[micro]' (x86-64 Linux)"
    told = re.search(r"^(Node .* failed.*|Didn't find op .*|.*not supported.*)$", noise, re.MULTILINE)
    return f"TensorFlow Lite Micro does not run it{f': {told[1].strip()}' if told else ''}"
