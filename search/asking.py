"""From an Optuna trial to a candidate, within the ranges that the plan allows now."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from objectives.canonical import canonical
from search.chooser import TrialChooser
from search.errors import StudyError
from search.storage import unreachable
from spaces.candidate import Candidate, Problem
from spaces.chooser import Choices, Chooser, Integers, Pick, Ranges, Reals, Scalar, range_named
from spaces.recipe import augmented
from spaces.space import Space, narrow

if TYPE_CHECKING:
    import optuna

    from search.storage import Facts


class Declined(Exception):
    """The sampler chose what the plan's present ranges leave out."""


class _Within:
    """Wraps a chooser and declines what lies outside the wanted ranges."""

    def __init__(self, inner: Chooser, wanted: Ranges) -> None:
        self._inner, self._wanted = inner, wanted

    def __call__(self, name: str, within: Integers | Reals | Choices) -> Scalar:
        value = self._inner(name, within)
        if not range_named(self._wanted, name).holds(value):
            raise Declined(f"{name} = {value} lies outside the ranges of this call")
        return value


class Asker:
    """Makes candidates of a study's space.

    A sampler's categories may not change within a study, nor may a range become a set of categories;
    so these are asked as the study's first plan had them, and what is narrower now is declined.
    Raises SpaceError where the plan's ranges do not lie within the first ones.
    """

    def __init__(self, space: Space, facts: Facts) -> None:
        self._space, self._problem = space, facts.problem
        fixed = augmented(facts.ranges, facts.problem, facts.plan.augment)
        self._wanted = narrow(facts.ranges, {**fixed, **facts.plan.ranges})
        self._asked = {name: _askable(facts.ranges, name, want) for name, want in self._wanted.items()}

    @property
    def ranges(self) -> Ranges:
        """The ranges that hold now."""
        return self._wanted

    def made(self, chooser: Chooser) -> Candidate:
        """Return the candidate that a chooser leads to. Raises as `candidate` does."""
        return candidate_of(self._space, Pick(_Within(chooser, self._wanted), self._asked), self._problem)

    def candidate(self, trial: optuna.Trial) -> Candidate:
        """Return the trial's candidate, canonical. Raises Declined, and StudyError where the space fails."""
        pick = Pick(_Within(TrialChooser(trial), self._wanted), self._asked)
        # Parameters that are asked again may lie outside of what is wanted now: they are declined.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Fixed parameter")
            return candidate_of(self._space, pick, self._problem)


def candidate_of(space: Space, pick: Pick, problem: Problem) -> Candidate:
    """Return what the space makes of what is picked, canonical. Raises StudyError where the space fails."""
    try:
        return canonical(_candidate(space.suggest(pick, problem)), problem)
    except Declined:
        raise
    except Exception as error:  # a user's own space may raise anything
        if unreachable(error):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StudyError(f"the space '{space.name}' cannot make a candidate ({reason}); mend it") from error


def _candidate(made: object) -> Candidate:
    if not isinstance(made, Candidate):
        raise TypeError(f"suggest returns a Candidate, got {type(made).__name__}")
    return made


def refuse_wider(study: str, first: Ranges, wanted: Ranges) -> None:
    """Raise StudyError where a range is wider than the one that the study was started with."""
    for name in sorted({*first, *wanted}):
        began, now = range_named(first, name), range_named(wanted, name)
        if not _holds_all(began, now):
            raise StudyError(
                f"the study '{study}' was started with a narrower range '{name}' ({began.describe()}, now "
                f"{now.describe()}); use another --name, or --range {name}={_written(began)}"
            )


def _holds_all(outer: Integers | Reals | Choices, inner: Integers | Reals | Choices) -> bool:
    ends = inner.options if isinstance(inner, Choices) else (inner.low, inner.high)
    if isinstance(outer, Choices) and not isinstance(inner, Choices) and len(set(ends)) > 1:
        return False
    return all(outer.holds(end) for end in ends)


def _written(within: Integers | Reals | Choices) -> str:
    """Return a range as `--range` reads it."""
    if isinstance(within, Choices):
        return ",".join(str(option) for option in within.options)
    return f"{within.low:g}..{within.high:g}"


def _askable(first: Ranges, name: str, want: Integers | Reals | Choices) -> Integers | Reals | Choices:
    """Return what to ask the sampler for: the wanted range, as near as it may come to it."""
    original = range_named(first, name)
    if isinstance(original, Choices):
        return original
    if isinstance(want, Choices):
        ends = [float(option) for option in want.options]
        return original.model_validate({**original.model_dump(), "low": min(ends), "high": max(ends)})
    return want
