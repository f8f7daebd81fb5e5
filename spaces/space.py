"""The seam of spaces, and how a plan narrows one."""

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
        """Return every range by its family's name; `filters` serves `filters_0`, `filters_1`, …"""
        ...

    def suggest(self, pick: Pick, problem: Problem) -> Candidate:
        """Make one candidate, asking `pick` for each value by family and index."""
        ...


def narrow(ranges: Ranges, wanted: Ranges) -> dict[str, Integers | Reals | Choices]:
    """Return the ranges with the wanted ones in their place.

    A wanted range lies within the space's own and is named like it, or like one member of its family
    (`filters_1`). Raises SpaceError for an unknown name and for what lies outside.
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
    outside = [end for end in ends if not whole.holds(_like(whole, end))]
    if outside or isinstance(whole, Choices) and not isinstance(want, Choices):
        raise SpaceError(f"the range '{name}' lies within {whole.describe()}, got {want.describe()}")
    match whole:
        case Choices():
            return want
        case _ if isinstance(want, Choices) and len(want.options) > 1:
            return Choices(options=tuple(_like(whole, option) for option in want.options))
    low, high = _like(whole, ends[0]), _like(whole, ends[-1])
    step = getattr(want, "step", None) or whole.step
    return whole.model_validate({**whole.model_dump(), "low": low, "high": high, "step": step})


def _like(whole: Integers | Reals | Choices, value: bool | int | float | str) -> bool | int | float | str:
    whole_number = isinstance(whole, Reals) and isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole_number else value
