"""In one fresh process: first the loop that one would write oneself, then the measurement that a study makes.

A child of `benchmarks.measuring`, which has the measurement's request on its standard input as
aboard/bench.py has. The loop's durations go to the file that is named first.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from hardware_profiles.aboard.bench import main as measure

WARM_UP_RUNS = 50


def loop(model: str, runs: int) -> list[int]:
    """Return what each of so many runs of a model took after a warm-up, in nanoseconds."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], random_input(detail))
    for _ in range(WARM_UP_RUNS):
        interpreter.invoke()
    durations_ns = []
    for _ in range(runs):
        started = perf_counter_ns()
        interpreter.invoke()
        durations_ns.append(perf_counter_ns() - started)
    return durations_ns


def random_input(detail: dict[str, Any]) -> Any:
    """Return seeded int8 data of an input's shape."""
    return np.random.default_rng(0).integers(-128, 128, detail["shape"], dtype=np.int8)


def main(arguments: Sequence[str]) -> None:
    """Loop, keep the durations, and answer the request; `arguments` are the file and the number of runs."""
    kept, runs = Path(arguments[0]), int(arguments[1])
    text = sys.stdin.read()
    (model,) = json.loads(text)["models"]
    kept.write_text(json.dumps(loop(model["path"], runs)))
    status = measure(text)
    sys.stderr.flush()
    os._exit(status)  # as aboard/bench.py ends


if __name__ == "__main__":
    main(sys.argv[1:])
