"""The neutral measurer: it sees files, and treats those of every side alike.

A side's front is chosen by that side's own validation figures, for that is what its user would ship.
What the front is worth is then found here: accuracy on the held-out test set through LiteRT, latency by
the runner of `hardware_profiles` beside one and the same anchor, bytes of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.values import Case, Judgement, Point, Run, Trial
from hardware_profiles.runners.base import Anchor
from hardware_profiles.runners.local import LocalRunner
from objectives.datasets.prepare import prepare
from objectives.datasets.spec import DataSpec
from objectives.datasets.store import open_data
from objectives.metrics import load_metric, majority_value
from search.front import loss
from search.hypervolume import hypervolume
from search.plan import StudyPlan

Array = np.ndarray[Any, np.dtype[Any]]
DEVICE = "this-machine"
GOALS = StudyPlan(data=DataSpec(source="digits")).goals
"""Accuracy, latency_ms and model_bytes without limits: they do not depend on the data."""


def runner() -> LocalRunner:
    """Return the runner, with more time than a search takes for one model."""
    return LocalRunner(DEVICE, threads=1, budget_s=1.0, patience_s=5.0)


def pareto(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Return the trials that no other dominates by their own side's figures; failed ones take no part."""
    import moocore

    done = [trial for trial in trials if trial.values is not None]
    if not done:
        return ()
    losses = np.array([[loss(goal, (trial.values or {})[goal.metric]) for goal in GOALS] for trial in done])
    kept = moocore.is_nondominated(losses, keep_weakly=False)
    return tuple(trial for trial, keep in zip(done, kept, strict=True) if keep)


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
    """Judges every side of one case with the same test set and the same anchor."""

    x: Array
    y: Array
    majority_accuracy: float
    anchor: Anchor

    @classmethod
    def of(cls, case: Case, data_root: Path, anchor: Anchor) -> Judge:
        """Open the case's test set."""
        summary = prepare(DataSpec(source=case.data, subset=case.subset), data_root)
        data = open_data(data_root, summary.digest)
        x, y = data.test()
        y_train = data.y_dev[data.folds[0].train]
        majority = majority_value(load_metric("accuracy"), y_train, y, len(summary.classes))
        return cls(x, y, majority, anchor)

    def figures(self, model: Path, divisor: float) -> dict[str, float]:
        """Measure one file. Raises MeasuringFailed where it cannot be run."""
        return {
            "accuracy": accuracy_of(model, self.x, self.y, divisor),
            "latency_ms": runner().measure((model,), self.anchor)[0].latency_ms,
            "model_bytes": float(model.stat().st_size),
        }

    def judge(self, contender: str, run: Run, seconds: float, folder: Path) -> Judgement:
        """Judge what a run, whose files lie in `folder`, had after so many seconds."""
        trials = run.within(seconds)
        points = tuple(
            Point(
                trial=trial.number,
                claimed=trial.values or {},
                judged=self.figures(folder / trial.model, run.divisor),
            )
            for trial in pareto(trials)
        )
        failed = sum(trial.values is None for trial in trials)
        return Judgement(
            contender=contender,
            startup_s=run.startup_s,
            total_s=run.total_s,
            load=run.load,
            candidates=len(trials) - failed,
            failed=failed,
            hypervolume=hypervolume([point.judged for point in points], GOALS, self.majority_accuracy),
            front=points,
        )
