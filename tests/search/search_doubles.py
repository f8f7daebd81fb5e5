"""Doubles for the tests of the study: a small space, an executor that answers at once, tables of answers."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from optuna.samplers import TPESampler

from hardware_profiles.anchor import calibrate
from hardware_profiles.connect import connect
from hardware_profiles.measurement import Latency, Measurement, Source
from objectives.brief import Brief
from objectives.goals import Goal, violations
from objectives.outcome import Evidence, Failed, Harvested, Infeasible, Measured, Outcome
from objectives.setting import Setting
from search.executors.base import NOTHING_KNOWN, Finished
from search.home import Home
from search.places import Places
from search.plan import make_plan
from search.prepared import Prepared
from search.storage import Facts
from search.tpe import ALIKE
from search.trial import StudyRecord, TrialRecord
from spaces.candidate import Candidate, Compression, Kind, Precision, Problem
from spaces.chooser import Choices, Integers, Pick, Reals
from spaces.layers import Dense, Flatten

SOURCE = Source(provenance="measured", device="this-machine", machine="m-1", runtime="litert", threads=1)
PRECISIONS = ("float32", "int8")
Answer = Callable[[Candidate], Outcome]


class RoundingTPESampler(TPESampler):
    """Optuna's own, but equal candidates stay equal, whatever the last bit of their densities is here."""

    def _compute_acquisition_func(self, *given: Any) -> Any:
        return np.round(super()._compute_acquisition_func(*given), ALIKE)


class SmallSpace:
    """As many candidates as there are widths times precisions."""

    name = "small"
    kinds: frozenset[Kind] = frozenset({"table"})

    def __init__(self, widths: int = 200) -> None:
        self._widths = widths

    def ranges(self, problem: Problem) -> dict[str, Integers | Reals | Choices]:
        return {"units": Integers(low=1, high=self._widths), "precision": Choices(options=PRECISIONS)}

    def suggest(self, pick: Pick, problem: Problem) -> Candidate:
        layers = (Flatten(), Dense(units=pick.integer("units")))
        return Candidate(architecture=layers, compression=Compression(precision=pick.option("precision")))


def units(candidate: Candidate) -> int:
    dense = candidate.architecture[-1]
    assert isinstance(dense, Dense)
    return dense.units


def figures(candidate: Candidate) -> dict[str, float]:
    """Return what the table holds for a candidate: wider is better, larger and slower, with some noise."""
    width, small = units(candidate), candidate.compression.precision == "int8"
    noise = int(hashlib.sha256(candidate.digest.encode()).hexdigest()[:4], 16) / 2**16
    return {
        "accuracy": 1 - 1 / (width + 2) - (0.02 + 0.02 * noise if small else 0.0),
        "latency_ms": (0.001 + 0.0001 * width) * (0.6 if small else 1.0) * (1 + 0.1 * noise),
        "model_bytes": 500 + 40 * width * (0.3 if small else 1.0),
    }


def measured(values: dict[str, float]) -> Evidence:
    """Return the evidence of a trial that was measured with these values."""
    ms = values["latency_ms"]
    timed = Latency(
        latency_ms=ms, low_ms=0.95 * ms, high_ms=1.1 * ms, min_ms=ms, median_ms=1.5 * ms, p90_ms=2 * ms,
        p99_ms=9 * ms, anchor_ratio=ms / 0.01, runs=300, verdict="stable", source=SOURCE,
    )  # fmt: skip
    plain = tuple(
        Measurement(metric=m, value=v, source=SOURCE) for m, v in values.items() if m != "latency_ms"
    )
    return Evidence(measurements=(*plain, timed.measurement), latency=timed, artifact="0" * 64, parameters=99)


def table(goals: tuple[Goal, ...] = ()) -> Answer:
    """Return a function that answers from the table, judged by the goals as an evaluator would."""

    def answer(candidate: Candidate) -> Outcome:
        seen = measured(figures(candidate))
        broken = violations(goals, seen.values)
        return Infeasible(violations=broken, evidence=seen) if broken else Measured(evidence=seen)

    return answer


def screened(goal: Goal, value: float) -> Infeasible:
    """Return the outcome of a candidate that was never trained, for a limit that it breaks."""
    assert goal.limit is not None
    values = {goal.metric: value}
    found = (Measurement(metric=goal.metric, value=value, source=SOURCE),)
    return Infeasible(violations=violations((goal,), values), evidence=Evidence(measurements=found))


class TableExecutor:
    """Answers from a function, the last trial first; an answer that raises is a worker's death."""

    def __init__(self, answer: Answer, capacity: int = 2) -> None:
        self.answer, self.capacity = answer, capacity
        self.submitted: list[tuple[int, Candidate]] = []
        self.briefs: dict[int, Brief] = {}
        self._waiting: list[tuple[int, Candidate]] = []

    def submit(self, number: int, candidate: Candidate, brief: Brief = NOTHING_KNOWN) -> None:
        self.briefs[number] = brief
        if len(self._waiting) >= self.capacity:
            raise RuntimeError(f"at most {self.capacity} trials may be under way, got {number} on top")
        self.submitted.append((number, candidate))
        self._waiting.append((number, candidate))

    def next(self, timeout_s: float) -> Finished | None:
        if not self._waiting:
            return None
        number, candidate = self._waiting.pop()
        try:
            return Finished(number, self.answer(candidate))
        except ZeroDivisionError:
            return Finished(number, Failed(error="the worker died: killed", fault="infrastructure"))

    def close(self) -> None:
        self._waiting.clear()


def evidence(candidate: Candidate, **changes: Any) -> Evidence:
    """Return what a measured trial of the table shows, and what its network showed before its conversion."""
    seen = measured(values := figures(candidate))
    seen = seen.model_copy(update={"stages": (values["accuracy"] + 0.001,)})
    return seen.model_copy(update=changes)


def form(candidate: Candidate, precision: Precision, **changes: float) -> Harvested:
    """Return what a worker brings back of another form: its figures are those of the table."""
    other = candidate.model_copy(update={"compression": Compression(precision=precision)})
    seen = measured({**figures(other), **changes})
    return Harvested(
        compression=other.compression,
        measurements=seen.measurements,
        latency=seen.latency,
        artifact="1" * 64,
        values=(figures(candidate)["accuracy"] + 0.001,),
        seconds=0.5,
    )


class Harvesting(TableExecutor):
    """Brings back, with each trial, every sibling that was asked for, from the table."""

    def __init__(self, capacity=2, worse=()):
        super().__init__(lambda c: Measured(evidence=evidence(c)), capacity)
        self._worse = worse

    def next(self, timeout_s):
        number = self._waiting[-1][0] if self._waiting else None
        finished = super().next(timeout_s)
        if finished is None:
            return None
        asked = dict(self.submitted)[number]
        made = tuple(
            form(
                asked,
                c.precision,
                **({"accuracy": 0.01, "model_bytes": 1e6} if c.precision in self._worse else {}),
            )
            for c in self.briefs[number].siblings
        )
        seen = finished.outcome.evidence.model_copy(update={"harvest": made})
        return finished._replace(outcome=Measured(evidence=seen))


class Screen:
    """A display that keeps what it was shown."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[Any] = []
        self.closed = False

    def show(self, status: Any) -> None:
        self.shown.append(status)

    def say(self, text: str) -> None:
        self.said.append(text)

    def close(self) -> None:
        self.closed = True


def facts_of(record: StudyRecord, widths: int = 200) -> Facts:
    """Return the facts of a study of the small space."""
    problem = Problem(kind="table", input_shape=(4,), classes=3)
    return Facts(
        identity={},
        plan=record.plan,
        space="small",
        ranges=SmallSpace(widths).ranges(problem),
        problem=problem,
        data=record.data,
        profile=record.profile,
        anchor=record.anchor,
        majority_accuracy=1 / 3,
        versions=record.versions,
    )


def asked(record: StudyRecord) -> list[TrialRecord]:
    """Return the trials that were asked for, without the other forms of their networks."""
    return [trial for trial in record.trials if trial.parent is None]


def write_table(path: Path, samples: int = 90) -> Path:
    """Write a data set that anything can learn: 4 columns, 3 classes."""
    generator = np.random.default_rng(0)
    y = np.arange(samples) % 3
    x = generator.normal(size=(samples, 4)).astype(np.float32) + 3 * np.eye(4, dtype=np.float32)[y]
    np.savez(path, x=x, y=y)
    return path


def setting_for(folder: Path, **changes: Any) -> Setting:
    """Prepare a small table in a folder and return what the trials of a study over it share."""
    plan = make_plan({"data": str(write_table(folder / "three.npz")), **changes})
    home = Home(folder / "home")
    home.ensure_writable()
    prepared = Prepared.of(plan, Places(home))
    return Setting(
        problem=prepared.problem,
        data_root=home.data,
        data_digest=prepared.data.digest,
        goals=plan.goals,
        metric=plan.metric,
        metric_direction=plan.metric_direction,
        input_type=plan.input_type,
        class_weights=plan.class_weights,
        seed=plan.seed,
        profile=prepared.profile,
        threads=1,
        anchor=calibrate(connect(prepared.profile), processes=1),
        artifacts=home.artifacts,
        weights=home.weights,
        weights_budget_bytes=10**8,
    )
