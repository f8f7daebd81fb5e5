"""What the benchmarks keep: of a run, of its judgement, and in the files under `results/`."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import Field

from hardware_profiles.artifact import write_atomically
from hardware_profiles.machine import processor_core, usable_cores
from spaces.value import Value

VERSIONED = (
    "edgesearch", "optuna", "ray", "mlflow", "tensorflow", "tf-keras",
    "tensorflow-model-optimization", "ai-edge-litert", "ai-edge-quantizer", "numpy",
)  # fmt: skip
PACKAGES = ("search", "objectives", "spaces", "hardware_profiles", "benchmarks")
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


class Circumstances(Value):
    """Where and when figures came about. `date` is that of the last part, as YYYY-MM-DD (UTC)."""

    date: str
    processor: str
    cores: Annotated[int, Field(ge=1)]
    ram_bytes: Annotated[int, Field(ge=1)]
    system: str
    python: str
    versions: dict[str, str]


class Case(Value):
    """What every side is given: data, epochs of a training, seconds from the first ask on, seed.

    `max_model_bytes` is a limit on the stored bytes, where there is one.
    """

    data: str
    subset: Annotated[int, Field(ge=1)] | None
    epochs: Annotated[int, Field(ge=1)]
    seconds: Positive
    seed: Count
    max_model_bytes: Annotated[int, Field(ge=1)] | None = None

    @property
    def name(self) -> str:
        """Names the case, for folders."""
        limit = f"-{self.max_model_bytes}bytes" if self.max_model_bytes else ""
        given = f"{self.data}-{self.subset or 'all'}-{self.epochs}epochs-{self.seconds:g}s{limit}"
        return f"{given}-seed{self.seed}"

    @property
    def about(self) -> str:
        """Names the case whatever its seed, for people."""
        much = f"{self.subset:,} images of {self.data}" if self.subset else self.data
        limit = f", at most {self.max_model_bytes:,} bytes" if self.max_model_bytes else ""
        return f"{much}: {self.epochs} epochs, {self.seconds:g} s{limit}"

    @property
    def title(self) -> str:
        """Names the case, for people."""
        return f"{self.about}, seed {self.seed}"


class Trial(Value):
    """One candidate of a run: when it was done, in seconds since the first ask, and its side's figures.

    `values` is None where it was not measured, or broke a limit. `model` is the `.tflite`, relative to the
    run's folder. A `form` is made of another trial's network and was done when it was written down.
    """

    number: Count
    seconds: float
    values: dict[str, float] | None
    model: Path
    form: bool = False
    error: str | None = None


class Run(Value):
    """What one side did. Its files take pixels divided by `divisor`. `load` is the machine's, before it.

    `code` is the digest of what was run, and `circumstances` are those in which it was; both are unknown in
    results from before they were kept.
    """

    startup_s: float
    total_s: float
    load: float
    divisor: Positive
    trials: tuple[Trial, ...]
    code: str = ""
    circumstances: Circumstances | None = None

    def within(self, seconds: float) -> tuple[Trial, ...]:
        """Return the trials that were done in that time."""
        return tuple(trial for trial in self.trials if trial.seconds <= seconds)


class Point(Value):
    """A model of a front: what its own side said (validation), and what the judge found (test)."""

    trial: Count
    claimed: dict[str, float]
    judged: dict[str, float]


class Moment(Value):
    """What a side's front was worth to the judge from a time on, in seconds since the first ask."""

    seconds: float
    hypervolume: Annotated[float, Field(ge=0, le=1)]


class Judgement(Value):
    """One side of a case. `candidates` are those that were measured within the time, `forms` among them.

    `curve` has a moment for every change of the front; it is empty in results from before it was kept.
    `code` is the digest of the code that was run.
    """

    contender: str
    startup_s: float
    total_s: float
    load: float
    candidates: Count
    failed: Count
    forms: Count = 0
    hypervolume: Annotated[float, Field(ge=0, le=1)]
    front: tuple[Point, ...]
    curve: tuple[Moment, ...] = ()
    code: str = ""


class Comparison(Value):
    """All sides of one case, run one after the other on the same machine and judged alike."""

    case: Case
    circumstances: Circumstances
    majority_accuracy: float
    anchor_ms: Positive
    sides: tuple[Judgement, ...]

    def side(self, contender: str) -> Judgement:
        """Return one side. Raises KeyError where it did not take part."""
        found = {side.contender: side for side in self.sides}
        return found[contender]


class Compared(Value):
    """The content of a file of comparisons, each of which may have been made at another time."""

    comparisons: tuple[Comparison, ...]


class AgainstPlain(Compared):
    """The content of `results/against_plain.json`."""


class Round(Value):
    """The list of candidates, worked off once: `seconds` from the first submission to the last result."""

    workers: Annotated[int, Field(ge=1)]
    load: float
    startup_s: float
    seconds: Positive
    failed: Count
    each_s: dict[int, float]


class Task(Value):
    """The list of candidates that every round works off."""

    data: str
    subset: Annotated[int, Field(ge=1)] | None
    epochs: Annotated[int, Field(ge=1)]
    seed: Count
    candidates: Annotated[int, Field(ge=1)]
    ranges: dict[str, tuple[int, int]]

    @property
    def name(self) -> str:
        """Names the task, for folders."""
        ranges = "-".join(f"{name}{low}to{high}" for name, (low, high) in sorted(self.ranges.items()))
        much = f"{self.data}-{self.subset or 'all'}-{self.candidates}candidates"
        return f"{much}-{self.epochs}epochs-seed{self.seed}-{ranges}"


class Workers(Value):
    """The content of `results/workers.json`."""

    circumstances: Circumstances
    task: Task
    rounds: tuple[Round, ...]

    def seconds(self, workers: int) -> float:
        """Return the mean time of the rounds with so many workers. Raises ValueError where there is none."""
        seen = [r.seconds for r in self.rounds if r.workers == workers]
        if not seen:
            raise ValueError(
                f"there is no round with {workers} workers; run benchmarks.workers with --rounds 1,2"
            )
        return sum(seen) / len(seen)

    @property
    def speedup(self) -> float:
        """How many times the trials of one worker two of them finish in the same time."""
        return self.seconds(1) / self.seconds(2)


def circumstances() -> Circumstances:
    """Describe this machine and what is installed on it."""
    return Circumstances(
        date=datetime.now(UTC).date().isoformat(),
        processor=processor_core(),
        cores=usable_cores()[1],
        ram_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        versions={name: version(name) for name in VERSIONED},
    )


def code_digest() -> str:
    """Return what tells the code that runs now from any other: 8 digits of a digest of all its files.

    Left out is what only shows results.
    """
    root, found = Path(__file__).parents[1], hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if not path.stem.endswith("_lines"):
                found.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return found.hexdigest()[:8]


def load_average() -> float:
    """Return the machine's load of the last minute (0 where the system does not tell)."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def save(path: Path, value: Value) -> None:
    """Write a value as JSON, whole or not at all."""
    write_atomically(path, (value.model_dump_json(indent=1) + "\n").encode())


def earlier(path: Path) -> tuple[Comparison, ...]:
    """Return what a file of comparisons holds; nothing where there is none."""
    if not path.is_file():
        return ()
    return Compared.model_validate_json(path.read_text(encoding="utf-8")).comparisons


def updated(before: Iterable[Comparison], done: Iterable[Comparison]) -> tuple[Comparison, ...]:
    """Return what was compared before, with what is done in place of the same cases; seed by seed.

    A side of a case that was not run again stays.
    """
    by_case: dict[Case, Comparison] = {}
    for one in (*before, *done):
        again = {side.contender for side in one.sides}
        kept = by_case[one.case].sides if one.case in by_case else ()
        left = tuple(side for side in kept if side.contender not in again)
        by_case[one.case] = one.model_copy(update={"sides": (*one.sides, *left)})
    order = list(dict.fromkeys(case.about for case in by_case))
    cases = sorted(by_case, key=lambda case: (order.index(case.about), case.seed))
    return tuple(by_case[case] for case in cases)


def numbers(text: str) -> tuple[int, ...]:
    """Read `0,1,2`. Raises ValueError for anything else, and for nothing."""
    return tuple(int(part) for part in text.split(","))


def listed(names: Iterable[str]) -> str:
    """Return names as people list them."""
    return ", ".join(names)
