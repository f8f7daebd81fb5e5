"""Ranges, and the seam to whatever chooses within them: a sampler, a generator, a record.

A space never sees a sampler. It holds named ranges and asks a `Chooser` for a value of one;
`Pick` joins the two and lets a plan narrow any range by its name.
"""

import math
import random
from collections.abc import Mapping
from typing import Annotated, Literal, Protocol, Self

from pydantic import Field, model_validator

from spaces.errors import SpaceError
from spaces.value import Value

Scalar = bool | int | float | str


class Integers(Value):
    """Whole numbers from `low` to `high`, both included, every `step`-th, or on a log scale."""

    type: Literal["integers"] = "integers"
    low: int
    high: int
    step: Annotated[int, Field(ge=1)] = 1
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high, got {self.low} > {self.high}")
        if self.log and (self.low < 1 or self.step != 1):
            raise ValueError(
                f"a log range starts at 1 or more and has step 1, got {self.low}, step {self.step}"
            )
        return self

    def holds(self, value: Scalar) -> bool:
        """Tell whether the value lies in this range."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and self.low <= int(value) <= self.high and (int(value) - self.low) % self.step == 0

    def describe(self) -> str:
        """Return the range as people write it."""
        return f"{self.low} to {self.high}" + (f" in steps of {self.step}" if self.step > 1 else "")


class Reals(Value):
    """Numbers from `low` to `high`, every `step`-th if one is given, or on a log scale."""

    type: Literal["reals"] = "reals"
    low: float
    high: float
    step: Annotated[float, Field(gt=0)] | None = None
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high, got {self.low} > {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError(f"a log range starts above 0 and has no step, got {self.low}, step {self.step}")
        return self

    def holds(self, value: Scalar) -> bool:
        """Tell whether the value lies in this range."""
        if isinstance(value, bool | str) or not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        # Far from zero 12 digits, as a tidy value has them, are coarser than the millionth of a step.
        return math.isclose(steps, round(steps), abs_tol=1e-6) or float(value) == self.tidy(float(value))

    @property
    def steps(self) -> int:
        """How many steps lie above `low`; 0 without steps."""
        return 0 if self.step is None else int((self.high - self.low) / self.step + 1e-6)

    def tidy(self, value: float) -> float:
        """Return a number of this range as people write it, so that equal means equal.

        That is the step itself where there are steps, else three significant digits that stay inside.
        """
        if self.step is None:
            return min(self.high, max(self.low, float(f"{value:.3g}")))
        above = self.step * round((value - self.low) / self.step)
        return min(self.high, float(f"{self.low + above:.12g}")) if above > 0 else self.low

    def describe(self) -> str:
        """Return the range as people write it."""
        return f"{self.low:g} to {self.high:g}" + (f" in steps of {self.step:g}" if self.step else "")


class Choices(Value):
    """One of some options, in no order."""

    type: Literal["choices"] = "choices"
    options: Annotated[tuple[Scalar, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.options)) < len(self.options):
            raise ValueError(f"each option is given once, got {self.describe()}")
        return self

    def holds(self, value: Scalar) -> bool:
        """Tell whether the value is one of the options."""
        return value in self.options

    def describe(self) -> str:
        """Return the options as people write them."""
        return ", ".join(str(option) for option in self.options)


Range = Annotated[Integers | Reals | Choices, Field(discriminator="type")]
Ranges = Mapping[str, "Integers | Reals | Choices"]


class Chooser(Protocol):
    """Something that can choose. The same name must not be asked twice for one candidate."""

    def __call__(self, name: str, within: Integers | Reals | Choices) -> Scalar:
        """Return a value within the range."""
        ...


class RandomChooser:
    """Chooses evenly (on a log scale where the range says so) with a given generator."""

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator

    def __call__(self, name: str, within: Integers | Reals | Choices) -> Scalar:  # noqa: ARG002 - the seam's
        """Return a value within the range, whatever it is called."""
        match within:
            case Choices(options=options):
                return self._generator.choice(options)
            case Integers(low=low, high=high, log=True):
                return min(high, max(low, round(self._log_uniform(low - 0.5, high + 0.5))))
            case Integers(low=low, high=high, step=step):
                return self._generator.randrange(low, high + 1, step)
            case Reals(low=low, high=high, log=True):
                return min(high, max(low, self._log_uniform(low, high)))
            case Reals(low=low, high=high, step=step):
                drawn = self._generator.randint(0, within.steps)
                return self._generator.uniform(low, high) if step is None else within.tidy(low + step * drawn)

    def _log_uniform(self, low: float, high: float) -> float:
        return math.exp(self._generator.uniform(math.log(low), math.log(high)))


class Recorder:
    """Wraps a chooser and keeps what was asked and answered, in `asked` and `answers`."""

    def __init__(self, inner: Chooser) -> None:
        self._inner = inner
        self.asked: dict[str, Integers | Reals | Choices] = {}
        self.answers: dict[str, Scalar] = {}

    def __call__(self, name: str, within: Integers | Reals | Choices) -> Scalar:
        """Pass the question on. Raises SpaceError for a name that was asked before."""
        if name in self.asked:
            raise SpaceError(f"a space asks for each name once per candidate, but asked for '{name}' again")
        self.asked[name] = within
        self.answers[name] = self._inner(name, within)
        return self.answers[name]


class Pick:
    """Ranges by name and the chooser to ask: `pick("filters", 2)` is one value for `filters_2`.

    A range stored as `filters_2` goes before the family's own, `filters`. A range that leaves one
    value is answered here, so that no sampler wastes a dimension on it, and kept in `settled`.
    """

    def __init__(self, chooser: Chooser, ranges: Ranges) -> None:
        self._chooser = chooser
        self._ranges = ranges
        self.settled: dict[str, Scalar] = {}

    def _value(self, family: str, index: int | None) -> Scalar:
        name, within = _name(family, index), self.range(family, index)
        only = single(within)
        if only is None:
            return self._chooser(name, within)
        self.settled[name] = only
        return only

    def range(self, family: str, index: int | None = None) -> Integers | Reals | Choices:
        """Return the range that a value would be asked within."""
        return range_named(self._ranges, _name(family, index))

    def integer(self, family: str, index: int | None = None) -> int:
        """Ask for a whole number."""
        return int(self._value(family, index))

    def real(self, family: str, index: int | None = None) -> float:
        """Ask for a number; of a range it is a tidy one (see `Reals.tidy`), so that equal means equal."""
        within, value = self.range(family, index), float(self._value(family, index))
        return within.tidy(value) if isinstance(within, Reals) else value

    def option(self, family: str, index: int | None = None) -> str:
        """Ask for a named option."""
        return str(self._value(family, index))


def _name(stem: str, index: int | None) -> str:
    return stem if index is None else f"{stem}_{index}"


def family(name: str) -> str:
    """Return `filters` for `filters_2`, and any other name as it is."""
    stem, _, index = name.rpartition("_")
    return stem if index.isdigit() else name


def range_named(ranges: Ranges, name: str) -> Integers | Reals | Choices:
    """Return the range for a name: its own, else that of its family (`filters` for `filters_2`).

    Raises SpaceError where there is neither.
    """
    found = ranges.get(name) or ranges.get(family(name))
    if found is None:
        raise SpaceError(f"the space asks for '{name}', but has no range of that name; add it to ranges()")
    return found


def single(within: Integers | Reals | Choices) -> Scalar | None:
    """Return the only value of a range that has one, else None."""
    match within:
        case Choices(options=(only,)):
            return only
        case Integers(low=low, high=high, step=step) if low + step > high:
            return low
        case Reals(low=low, high=high, step=step) if low == high or (step is not None and not within.steps):
            return low
    return None
