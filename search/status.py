"""How a running study stands: the value that every progress display shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from hardware_profiles.measurement import Measurement
from search.front import best_of, eligible, front
from search.hypervolume import hypervolume
from spaces.value import Value

if TYPE_CHECKING:
    from search.storage import Facts
    from search.trial import TrialRecord

COUNTED = ("measured", "infeasible", "stopped")


class Best(Value):
    """The best value of one objective so far, and the trial that has it."""

    trial: int
    measurement: Measurement


class Status(Value):
    """A study at one moment. `hypervolume` is a share of the reference box, in [0, 1]."""

    done: int
    wanted: int
    measured: int
    infeasible: int
    stopped: int
    failed: int
    running: int
    seconds: float
    seconds_left: float | None
    hypervolume: float
    best: tuple[Best, ...]


class Display(Protocol):
    """Shows how a study goes on."""

    def show(self, status: Status) -> None:
        """Show a moment; called after each trial and now and then."""
        ...

    def say(self, text: str) -> None:
        """Show one line that stays."""
        ...

    def close(self) -> None:
        """Show no more."""
        ...


def counted(trials: Iterable[TrialRecord]) -> int:
    """Count the candidates that `--trials` means: those that ended measured, stopped or infeasible."""
    return sum(trial.state in COUNTED for trial in trials)


def status(
    trials: list[TrialRecord], facts: Facts, running: int, seconds: float, fresh: int, capacity: int
) -> Status:
    """Sum up. `seconds` and `fresh` are this call's time and the candidates counted in it."""
    states = Counter(trial.state for trial in trials)
    done = counted(trials)
    goals = facts.plan.goals
    fitting = eligible(trials, goals)
    found = [(best_of(fitting, goal), goal.metric) for goal in goals if goal.objective]
    best = [(trial.number, trial.measurement(metric)) for trial, metric in found if trial is not None]
    left = max(0, facts.plan.trials - done)
    return Status(
        done=done,
        wanted=facts.plan.trials,
        measured=states["measured"],
        infeasible=states["infeasible"],
        stopped=states["stopped"],
        failed=states["failed"],
        running=running,
        seconds=seconds,
        seconds_left=seconds / fresh * left if fresh >= capacity else None,
        hypervolume=hypervolume([trial.values for trial in front(fitting, goals)], goals, facts.majority_accuracy),
        best=tuple(Best(trial=number, measurement=m) for number, m in best if m is not None),
    )
