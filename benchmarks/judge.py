"""The neutral measurer: it sees files, and treats those of every side alike.

A side's front is chosen by that side's own validation figures, for that is what its user would ship.
What the front is worth is then found here: accuracy on the held-out test set through LiteRT, latency by
the runner of `hardware_profiles` beside one and the same anchor, bytes of the file. Every trial that was on
the front at any time is judged, once, so that the front's worth over time is known too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.curves import standings
from benchmarks.values import Case, Judgement, Moment, Point, Run, Trial
from hardware_profiles.runners.base import Anchor
from hardware_profiles.runners.local import LocalRunner
from objectives.datasets.prepare import prepare
from objectives.datasets.spec import DataSpec
from objectives.datasets.store import open_data
from objectives.goals import Goal
from objectives.metrics import load_metric, majority_value
from search.hypervolume import hypervolume
from search.limits import Limits
from search.plan import StudyPlan

Array = np.ndarray[Any, np.dtype[Any]]
DEVICE = "this-machine"


def goals_of(case: Case) -> tuple[Goal, ...]:
    """Return accuracy, latency_ms and model_bytes, with the case's limit if it has one."""
    limits = Limits(model_bytes=case.max_model_bytes)
    return StudyPlan(data=DataSpec(source=case.data), limits=limits).goals


def runner() -> LocalRunner:
    """Return the runner, with more time than a search takes for one model."""
    return LocalRunner(DEVICE, threads=1, budget_s=1.0, patience_s=5.0)


def accuracy_of(model: Path, x: Array, y: Array, divisor: float) -> float:
    """Return the accuracy of a `.tflite` for raw samples `x`, (samples, *shape), and labels `y`, (samples,).

    The file is fed one sample at a time as float32, divided by `divisor`. Raises ValueError for a file
    that takes anything but float32.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if source["dtype"] is not np.float32:
        raise ValueError(f"the judge feeds float32, but '{model.name}' takes {np.dtype(source['dtype'])}")
    correct = 0
    for sample, label in zip(x, y, strict=True):
        interpreter.set_tensor(source["index"], np.asarray(sample[None], np.float32) / np.float32(divisor))
        interpreter.invoke()
        correct += int(interpreter.get_tensor(result["index"])[0].argmax() == label)
    return correct / len(y)


@dataclass(frozen=True)
class Judge:
    """Judges every side of one case by the same test set, anchor and goals."""

    x: Array
    y: Array
    majority_accuracy: float
    anchor: Anchor
    goals: tuple[Goal, ...]

    @classmethod
    def of(cls, case: Case, data_root: Path, anchor: Anchor) -> Judge:
        """Open the case's test set."""
        summary = prepare(DataSpec(source=case.data, subset=case.subset), data_root)
        data = open_data(data_root, summary.digest)
        x, y = data.test()
        y_train = data.y_dev[data.folds[0].train]
        majority = majority_value(load_metric("accuracy"), y_train, y, len(summary.classes))
        return cls(x, y, majority, anchor, goals_of(case))

    def figures(self, model: Path, divisor: float) -> dict[str, float]:
        """Measure one file. Raises MeasuringFailed where it cannot be run."""
        return {
            "accuracy": accuracy_of(model, self.x, self.y, divisor),
            "latency_ms": runner().measure((model,), self.anchor)[0].latency_ms,
            "model_bytes": float(model.stat().st_size),
        }

    def judge(self, contender: str, run: Run, seconds: float, folder: Path) -> Judgement:
        """Judge what a run, whose files lie in `folder`, had in so many seconds."""
        trials = run.within(seconds)
        fronts = list(standings(trials, self.goals))
        ever = {trial.number: trial for standing in fronts for trial in standing.front}
        points = {number: self._point(trial, run.divisor, folder) for number, trial in ever.items()}
        curve = tuple(
            Moment(seconds=at, hypervolume=self._worth([points[trial.number] for trial in front]))
            for at, front in fronts
        )
        last = fronts[-1].front if fronts else ()
        failed = sum(trial.values is None for trial in trials)
        return Judgement(
            contender=contender,
            startup_s=run.startup_s,
            total_s=run.total_s,
            load=run.load,
            candidates=len(trials) - failed,
            failed=failed,
            forms=sum(trial.form and trial.values is not None for trial in trials),
            hypervolume=curve[-1].hypervolume if curve else 0.0,
            front=tuple(points[number] for number in sorted(trial.number for trial in last)),
            curve=curve,
            code=run.code,
        )

    def _point(self, trial: Trial, divisor: float, folder: Path) -> Point:
        judged = self.figures(folder / trial.model, divisor)
        return Point(trial=trial.number, claimed=trial.values or {}, judged=judged)

    def _worth(self, points: list[Point]) -> float:
        return hypervolume([point.judged for point in points], self.goals, self.majority_accuracy)
