"""How well a measurement repeats on a busy machine, against a plain loop's mean and median.

    python -m benchmarks.measuring

A small and a larger model are measured in fresh processes, one after the other, while a busy loop runs on
every core. Each process first times the model with a plain loop, and then as a study does. What
counts is by how much the figures of the processes differ. Finished processes are kept in the work
folder and not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Annotated

import psutil
from pydantic import Field

from benchmarks.timed_models import Stack
from benchmarks.values import Circumstances, Positive, circumstances, load_average, save
from hardware_profiles.anchor import calibrate
from hardware_profiles.artifact import write_atomically
from hardware_profiles.measurement import Verdict
from hardware_profiles.profile import THIS_MACHINE
from hardware_profiles.runners.base import Anchor
from hardware_profiles.runners.local import PACKAGE, LocalRunner
from spaces.value import Value

HERE = Path(__file__).parent
PLAIN_LOOP = HERE / "plain_loop.py"
PROCESSES, RUNS = 10, 1000
# It ends by itself when whoever started it is gone.
BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): sum(range(100_000))"
STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {"mean": fmean, "median": median, "minimum": min}
"""What is made of a plain loop's durations."""


class Subject(Value):
    """A model to measure, and by how much its figures may vary: a coefficient of variation."""

    stack: Stack
    aim: Positive


SUBJECTS = (
    Subject(stack=Stack(name="small", side=16, layers=3), aim=0.01),
    Subject(stack=Stack(name="larger", side=28, layers=10), aim=0.02),
)
"""About 10 us and about 100 us on an x86-64 server core."""


class Reading(Value):
    """One fresh process: the ranked latency with its interval, and the plain loop's statistics, in ms."""

    ranked_ms: Positive
    low_ms: Positive
    high_ms: Positive
    verdict: Verdict
    plain_ms: dict[str, Positive]


class Repeated(Value):
    """One model in all its processes."""

    subject: Subject
    model_bytes: Annotated[int, Field(ge=1)]
    readings: Annotated[tuple[Reading, ...], Field(min_length=2)]

    @property
    def figures_ms(self) -> dict[str, tuple[float, ...]]:
        """Every process's figure, by the name of the statistic; 'ranked' is ours."""
        plain = {name: tuple(r.plain_ms[name] for r in self.readings) for name in STATISTICS}
        return {"ranked": tuple(r.ranked_ms for r in self.readings)} | plain


class Measuring(Value):
    """The content of `results/measuring.json`; `load` is the machine's before the busy loops."""

    circumstances: Circumstances
    load: float
    busy_loops: Annotated[int, Field(ge=0)]
    plain_runs: Annotated[int, Field(ge=1)]
    anchor_ms: Positive
    models: tuple[Repeated, ...]


def variation(values: Sequence[float]) -> float:
    """Return the coefficient of variation: the sample's standard deviation as a fraction of its mean."""
    return stdev(values) / fmean(values)


@contextmanager
def busy_loops(cores: Sequence[int | None]) -> Iterator[None]:
    """Keep the cores busy, each by a process of its own; None is whichever the system chooses."""
    loops: list[subprocess.Popen[bytes]] = []
    try:
        for core in cores:
            loops.append(subprocess.Popen([sys.executable, "-I", "-c", BUSY, str(os.getpid())]))
            if core is not None:
                psutil.Process(loops[-1].pid).cpu_affinity([core])
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def cores_here() -> tuple[int | None, ...]:
    """Return the cores that this process may use; without their names where the system has none."""
    if hasattr(psutil.Process, "cpu_affinity"):
        return tuple(psutil.Process().cpu_affinity())
    return (None,) * (psutil.cpu_count() or 1)


def reading(model: Path, anchor: Anchor, runs: int, durations: Path) -> Reading:
    """Measure a model in one fresh process, by a plain loop of so many runs and as a study does."""
    start = f"{PACKAGE}import runpy; runpy.run_path({str(PLAIN_LOOP)!r}, run_name='__main__')"
    command = (sys.executable, "-I", "-c", start, str(durations), str(runs))
    (ranked,) = LocalRunner(THIS_MACHINE, command=command).measure((model,), anchor)
    seen_ms = [1e-6 * ns for ns in json.loads(durations.read_text())]
    return Reading(
        ranked_ms=ranked.latency_ms,
        low_ms=ranked.low_ms,
        high_ms=ranked.high_ms,
        verdict=ranked.verdict,
        plain_ms={name: statistic(seen_ms) for name, statistic in STATISTICS.items()},
    )


@dataclass(frozen=True)
class Workshop:
    """The work folder, and what is finished in it."""

    root: Path
    runs: int

    def anchor(self) -> Anchor:
        """Return what the anchor takes here, calibrated while the cores are busy, as a study would."""
        path = self.root / "anchor.json"
        if not path.is_file():
            write_atomically(path, calibrate(LocalRunner(THIS_MACHINE)).model_dump_json().encode())
        return Anchor.model_validate_json(path.read_text(encoding="utf-8"))

    def repeated(self, processes: int) -> tuple[Repeated, ...]:
        """Measure the models in turn, so that a change of the machine's weather meets them all alike."""
        rounds = [[self.reading(subject.stack, n) for subject in SUBJECTS] for n in range(processes)]
        return tuple(
            Repeated(subject=subject, model_bytes=len(subject.stack.tflite()), readings=readings)
            for subject, readings in zip(SUBJECTS, zip(*rounds, strict=True), strict=True)
        )

    def reading(self, stack: Stack, number: int) -> Reading:
        """Measure one model in one fresh process, unless that was done already."""
        folder = self.root.absolute() / f"{stack.name}-{stack.side}x{stack.side}-{stack.layers}layers"
        path = folder / f"{number}.json"
        if not path.is_file():
            model = folder / "model.tflite"
            write_atomically(model, stack.tflite())
            save(path, reading(model, self.anchor(), self.runs, folder / "durations.json"))
            print(f"{stack.name} model, process {number + 1} done", flush=True)
        return Reading.model_validate_json(path.read_text(encoding="utf-8"))


TITLE = """\
## What repeats on a busy machine

One model in fresh processes, one after the other, with a busy loop on every core. Each process times it
twice: by the loop that one would write oneself (a warm-up, then so many runs, and their mean, median or
minimum), and as a study does (`hardware_profiles/statistics.py`), which gives the ranked figure. The table
says by how much each figure differs from process to process, as the coefficient of variation (standard
deviation over mean), and for the ranked one what it is meant to keep to."""


def measuring_lines(result: Measuring) -> list[str]:
    """Return the variation of each statistic as Markdown."""
    head = ("model", "ranked latency", "varies by", *(f"plain {name}" for name in STATISTICS), "verdicts")
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    lines += [f"| {' | '.join(_row(model))} |" for model in result.models]
    processes = {len(model.readings) for model in result.models}
    told = f"{max(processes)} processes a model, {result.busy_loops} busy loops, {result.plain_runs:,} runs;"
    return [*lines, "", f"{told} the anchor takes {1e3 * result.anchor_ms:.1f} us.", ""]


def _row(model: Repeated) -> tuple[str, ...]:
    figures, subject = model.figures_ms, model.subject
    varies = {name: f"{100 * variation(values):.1f} %" for name, values in figures.items()}
    verdicts = Counter(reading.verdict for reading in model.readings)
    return (
        f"{subject.stack.layers} convolutions, {model.model_bytes:,} bytes",
        f"{1e3 * fmean(figures['ranked']):.2f} us",
        f"**{varies['ranked']}** (at most {100 * subject.aim:g} %)",
        *(f"{varies[name]} (of {1e3 * fmean(figures[name]):.1f} us)" for name in STATISTICS),
        ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, default=PROCESSES, help="fresh ones for each model")
    parser.add_argument("--runs", type=int, default=RUNS, help="of the plain loop")
    parser.add_argument(
        "--work", type=Path, default=HERE / "work" / "measuring", help="what is kept to resume"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results" / "measuring.json")
    options = parser.parse_args(arguments)
    if options.processes < 2:
        parser.error(f"what varies takes 2 processes or more, got {options.processes}")

    load, cores = load_average(), cores_here()
    workshop = Workshop(options.work / f"{options.runs}runs-{len(cores)}loops", options.runs)
    with busy_loops(cores):
        anchor = workshop.anchor()
        models = workshop.repeated(options.processes)
    result = Measuring(
        circumstances=circumstances(),
        load=load,
        busy_loops=len(cores),
        plain_runs=options.runs,
        anchor_ms=anchor.constant_ms,
        models=models,
    )
    save(options.out, result)
    print("\n".join(measuring_lines(result)), flush=True)


if __name__ == "__main__":
    main()
