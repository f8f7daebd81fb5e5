"""Fronts over time: what each was when, and from when on one side is as good as another one at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.values import Moment, Trial
from objectives.goals import Goal
from search.front import loss


class Standing(NamedTuple):
    """The trials that are a side's front from a time on, in seconds since the first ask."""

    seconds: float
    front: tuple[Trial, ...]


def pareto(trials: Sequence[Trial], goals: Sequence[Goal]) -> tuple[Trial, ...]:
    """Return the trials that no other dominates by their own side's figures; failed ones take no part.

    Goals that are limits only do not compete. Of trials that are equal in everything the first is kept.
    """
    import moocore

    done = [trial for trial in trials if trial.values is not None]
    if not done:
        return ()
    objectives = [goal for goal in goals if goal.objective]
    losses = np.array(
        [[loss(goal, (trial.values or {})[goal.metric]) for goal in objectives] for trial in done]
    )
    kept = moocore.is_nondominated(losses, keep_weakly=False)
    return tuple(trial for trial, keep in zip(done, kept, strict=True) if keep)


def standings(trials: Sequence[Trial], goals: Sequence[Goal]) -> Iterator[Standing]:
    """Yield the front whenever it changes, in order of time."""
    front: tuple[Trial, ...] = ()
    for trial in sorted(trials, key=lambda trial: (trial.seconds, trial.number)):
        # What a front has dominated stays so, hence the front alone stands for all that came before.
        changed = pareto((*front, trial), goals)
        if changed != front:
            front = changed
            yield Standing(trial.seconds, front)


def level_at(curve: Sequence[Moment], seconds: float) -> float:
    """Return the hypervolume at a time; 0 before the first moment. Moments are in order of time."""
    passed = [moment.hypervolume for moment in curve if moment.seconds <= seconds]
    return passed[-1] if passed else 0.0


def reached_at(curve: Sequence[Moment], level: float) -> float | None:
    """Return the time from which on the hypervolume is never less than a level, None if there is none.

    A front that is chosen by one measurement and judged by another may become worse: a level that is
    lost again was not reached.
    """
    since: float | None = None
    for moment in curve:
        if moment.hypervolume < level:
            since = None
        elif since is None:
            since = moment.seconds
    return since
