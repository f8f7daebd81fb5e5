"""How a running study stands: the value that every progress display shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from hardware_profiles.measurement import Measurement
from search.front import Front
from search.hypervolume import hypervolume
from search.limiting import Limiting
from spaces.value import Value

if TYPE_CHECKING:
    from search.storage import Facts
    from search.trial import TrialRecord


class Best(Value):
    """The best value of one objective so far, and the trial that has it."""

    trial: int
    measurement: Measurement


class Status(Value):
    """A study at one moment of a call.

    `checked` trials were finished although they would have been stopped; `wrong` of them joined the front.
    `done` counts over all calls, `seconds` since this one began; `seconds_left` is None where it cannot
    be told yet. `hypervolume` is a share of the reference box, in [0, 1]. `limited_by` says what the trials
    wait for, None before each worker had its turn.
    """

    study: str
    done: int
    wanted: int
    measured: int
    infeasible: int
    stopped: int
    failed: int
    running: int
    checked: int = 0
    wrong: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    hypervolume: float
    best: tuple[Best, ...]
    limited_by: Limiting | None = None


class Display(Protocol):
    """Shows how a study goes on."""

    def show(self, status: Status) -> None:
        """Show a moment; called after each trial and now and then."""

    def say(self, text: str) -> None:
        """Show one line that stays."""

    def close(self) -> None:
        """Show no more; may be called again."""


def counted(trials: Iterable[TrialRecord]) -> int:
    """Count the candidates that `--trials` means (see `TrialRecord.counts`)."""
    return sum(trial.counts for trial in trials)


def bests(front: Front, facts: Facts) -> tuple[float, tuple[Best, ...]]:
    """Return the hypervolume of a front, and its best point by each objective, which nothing beats."""
    goals = facts.plan.goals
    found = [(goal.metric, front.best(goal.metric)) for goal in goals if goal.objective]
    points = [(trial.number, trial.measurement(metric)) for metric, trial in found if trial is not None]
    return (
        hypervolume([trial.values for trial in front.points], goals, facts.majority_accuracy),
        tuple(Best(trial=number, measurement=m) for number, m in points if m is not None),
    )
