"""The seam of spaces, and how a plan narrows one."""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Protocol, runtime_checkable

from spaces.candidate import Candidate, Kind, Problem
from spaces.chooser import Choices, Integers, Pick, Ranges, Reals, family
from spaces.errors import SpaceError


@runtime_checkable
class Space(Protocol):
    """What may vary, and how a candidate is made of what was chosen.

    Two calls with the same answers return equal candidates. A user's own space is any class with
    these members that can be made without arguments: `package.module:Space`.
    """

    name: str
    kinds: frozenset[Kind]

    def ranges(self, problem: Problem) -> Mapping[str, Integers | Reals | Choices]:
        """Return every range by its family's name: `filters` serves `filters_0`, `filters_1` and so on."""
        ...

    def suggest(self, pick: Pick, problem: Problem) -> Candidate:
        """Make one candidate, asking `pick` for each value by family and index."""
        ...


def narrow(ranges: Ranges, wanted: Ranges) -> dict[str, Integers | Reals | Choices]:
    """Return the ranges with the wanted ones in their place.

    A wanted range lies within the space's own and is named like it, or like one member of its family
    (`filters_1`). The scale stays the space's, and so do its steps unless wider ones are wanted.
    Raises SpaceError for an unknown name and for what lies outside.
    """
    narrowed = dict(ranges)
    for name, want in wanted.items():
        whole = ranges.get(name) or ranges.get(family(name))
        if whole is None:
            raise SpaceError(_unknown(name, ranges))
        narrowed[name] = _within(name, whole, want)
    return narrowed


def _unknown(name: str, ranges: Ranges) -> str:
    close = get_close_matches(name, ranges, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"the space has no range named '{name}'; {hint}(it has {', '.join(sorted(ranges))})"


def _within(
    name: str, whole: Integers | Reals | Choices, want: Integers | Reals | Choices
) -> Integers | Reals | Choices:
    ends = want.options if isinstance(want, Choices) else (want.low, want.high)
    if not all(whole.holds(end) for end in ends):
        raise SpaceError(
            f"the range '{name}' lies within {whole.describe()}, got {want.describe()}; stay inside"
        )
    if isinstance(whole, Choices):
        if not isinstance(want, Choices):
            raise SpaceError(
                f"the range '{name}' is a choice of {whole.describe()}; give a list of some of them"
            )
        return Choices(options=tuple(option for option in whole.options if option in want.options))
    if isinstance(want, Choices) and len(want.options) > 1:
        return want
    part = {"low": ends[0], "high": ends[-1], "step": _step(name, whole, want)}
    return whole.model_validate({**whole.model_dump(), **part})


def _step(name: str, whole: Integers | Reals, want: Integers | Reals | Choices) -> float | None:
    """Return the wanted step, which is the range's own or a multiple of it."""
    step = None if isinstance(want, Choices) else want.step
    if step is None or (isinstance(want, Integers) and step == 1):
        return whole.step
    if whole.log:
        raise SpaceError(f"the range '{name}' has a log scale and so no steps; give a list of values instead")
    if whole.step is not None and not math.isclose(step / whole.step, max(1, round(step / whole.step))):
        raise SpaceError(f"the steps of '{name}' are multiples of {whole.step:g}, got {step:g}")
    return step
