"""Proven designs to begin with: fitted into the ranges that are searched, from tiny to large.

A space that knows reference networks says what it would like of each (`Design`), by the names that it asks
for; a value outside the ranges becomes the nearest one inside. What a design leaves open is the recipe's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from spaces.chooser import Choices, Integers, Pick, Ranges, Reals, Recorder, Scalar, family
from spaces.errors import SpaceError
from spaces.weights import kernel_sizes

if TYPE_CHECKING:
    from spaces.candidate import Candidate, Problem
    from spaces.space import Space

Wish = Scalar | tuple[Scalar, ...]
"""A value, or of options several, the most wanted first."""
Design = Mapping[str, Wish]
RECIPE: Design = {
    "optimizer": ("adam", "rmsprop", "sgd"),
    "learning_rate": 2e-2,
    "sgd_learning_rate": 1e-1,
    "batch_size": 32,
    "dropout": 0.0,
    "l1": 1e-7,
    "l2": 1e-6,
    "augmentation": "none",
    "reduction": "none",
    "scale": 0.75,
    "columns": 10**9,
    "components": 10**9,
    "slim": "no",
    "keep": 1.0,
    "sparsity": 0.0,
    "cluster": "no",
    "clusters": (0, 64, 32, 16),
    "precision": ("int8", "int16x8", "float16", "dynamic-int8", "float32", "int4"),
    "quantization": "post-training",
    "int4_share": 1.0,
}
"""What a design wants of training and compression unless it says otherwise: all of the input, no lever but
8 bits."""


@runtime_checkable
class Laddered(Protocol):
    """A space that knows proven designs. It is one member more, and a space may do without it."""

    def ladder(self, problem: Problem) -> Iterable[Design]:
        """Return what each design wants, by the names that `suggest` asks for, in any order."""
        ...


class Rung(NamedTuple):
    """A design as the ranges allow it: what is asked for under them, answered, and what comes of it."""

    params: dict[str, Scalar]
    candidate: Candidate


def rungs(space: Space, problem: Problem, ranges: Ranges) -> tuple[Rung, ...]:
    """Return a space's ladder within these ranges, from the fewest weights to the most; () without one.

    Designs that come to the same candidate are one. Raises SpaceError where a design says
    nothing of a value that the space asks for.
    """
    found: dict[str, Rung] = {}
    for design in space.ladder(problem) if isinstance(space, Laddered) else ():
        recorder = Recorder(_Nearest({**RECIPE, **design}))
        candidate = space.suggest(Pick(recorder, ranges), problem)
        found.setdefault(candidate.digest, Rung(recorder.answers, candidate))
    return tuple(sorted(found.values(), key=lambda rung: _weights(rung.candidate, problem)))


def _weights(candidate: Candidate, problem: Problem) -> int:
    return sum(kernel.weights for kernel in kernel_sizes(candidate, problem))


class _Nearest:
    """Chooses what a design wants, or what comes nearest to it."""

    def __init__(self, design: Design) -> None:
        self._design = design

    def __call__(self, name: str, within: Integers | Reals | Choices) -> Scalar:
        wish = self._design.get(name, self._design.get(family(name)))
        if wish is None:
            raise SpaceError(f"a design of the ladder says nothing of '{name}'; add it to the design")
        return nearest(within, wish)


def nearest(within: Integers | Reals | Choices, wish: Wish) -> Scalar:
    """Return the value of a range that comes nearest to a wish; of options, the first one wanted.

    Options of which none is wanted are numbers as near as may be, else the first of them. Raises
    SpaceError for a wish that is no number where the range has numbers.
    """
    wishes = wish if isinstance(wish, tuple) else (wish,)
    if isinstance(within, Choices):
        wanted = [each for each in wishes if within.holds(each)]
        return wanted[0] if wanted else _option(within, wishes[0])
    if isinstance(wishes[0], str):
        raise SpaceError(f"a range of numbers ({within.describe()}) holds no '{wishes[0]}'; mend the design")
    inside = min(within.high, max(within.low, wishes[0]))
    if within.step is None:
        return within.tidy(inside)
    highest = within.steps if isinstance(within, Reals) else (within.high - within.low) // within.step
    value = within.low + within.step * min(highest, round((inside - within.low) / within.step))
    return within.tidy(value) if isinstance(within, Reals) else int(value)


def _option(within: Choices, wish: Scalar) -> Scalar:
    numbers = [option for option in within.options if isinstance(option, int | float)]
    if isinstance(wish, str) or not numbers:
        return within.options[0]
    return min(numbers, key=lambda option: abs(option - wish))
