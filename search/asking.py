"""From an Optuna trial to a candidate, within the ranges that the plan allows now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from objectives.canonical import canonical
from search.chooser import TrialChooser
from search.errors import StudyError
from spaces.chooser import Choices, Chooser, Integers, Pick, Ranges, Reals, Scalar, range_named
from spaces.space import Space, narrow

if TYPE_CHECKING:
    import optuna

    from search.storage import Facts
    from spaces.candidate import Candidate


class Declined(Exception):  # noqa: N818 - not an error: the sampler is told and asked again
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
        self._wanted = narrow(facts.ranges, facts.plan.ranges)
        self._asked = {name: _askable(facts.ranges, name, want) for name, want in self._wanted.items()}

    def candidate(self, trial: optuna.Trial) -> Candidate:
        """Return the trial's candidate, canonical. Raises Declined, and StudyError where the space fails."""
        pick = Pick(_Within(TrialChooser(trial), self._wanted), self._asked)
        try:
            return canonical(self._space.suggest(pick, self._problem), self._problem)
        except Declined:
            raise
        except Exception as error:  # a user's own space may raise anything
            raise StudyError(f"the space '{self._space.name}' cannot make a candidate: {error}; mend it") from error


def _askable(
    first: Mapping[str, Integers | Reals | Choices], name: str, want: Integers | Reals | Choices
) -> Integers | Reals | Choices:
    original = range_named(first, name)
    return want if type(want) is type(original) and not isinstance(want, Choices) else original
