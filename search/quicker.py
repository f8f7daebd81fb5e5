"""Which of several files is quicker on a device: said only where their intervals are apart."""

from collections.abc import Sequence
from typing import NamedTuple

from hardware_profiles.measurement import Measurement, Source, undivided
from search.measured import Measured

FLOAT = ("float32", "float16")


class Times(NamedTuple):
    """How many times as long one takes as another, and what bounds it."""

    value: float
    low: float
    high: float

    @property
    def apart(self) -> bool:
        """Whether the intervals of the two do not overlap."""
        return self.low > 1 or self.high < 1


def times(slow: Measurement, quick: Measurement) -> Times:
    """Return how many times as long `slow` takes as `quick`."""
    (low, high), (least, most) = _bounds(slow), _bounds(quick)
    return Times(slow.value / quick.value, low / most, high / least)


def verdicts(found: Sequence[Measured]) -> list[str]:
    """Say in sentences which file is quicker: each against the quickest, and int8 against float."""
    names = names_of(found)
    int8_or_float = _int8_or_float(found, names)
    known = sorted((one for one in found if one.timed), key=lambda one: one.timed.value if one.timed else 0.0)
    if len(found) == 2 and int8_or_float:
        return int8_or_float
    if len({_circumstances(one) for one in known}) > 1:
        return [*_not_compared(known, names), *int8_or_float]
    return [*(_pair(known[0], other, names) for other in known[1:]), *int8_or_float]


def names_of(found: Sequence[Measured]) -> dict[int, str]:
    """Return what to call each file, by its id(): its name, or its path where two have the same name."""
    short = [one.path.name for one in found]
    return {
        id(one): name if short.count(name) == 1 else str(one.path)
        for one, name in zip(found, short, strict=True)
    }


def _pair(quick: Measured, slow: Measured, names: dict[int, str]) -> str:
    assert quick.timed is not None
    assert slow.timed is not None
    ratio = times(slow.timed, quick.timed)
    first, second = names[id(quick)], names[id(slow)]
    if not ratio.apart:
        return f"{first} and {second} are equally quick{_by(quick)}, as far as can be told: {_overlap(ratio)}"
    return (
        f"{first} is {_factor(ratio)} times as quick as {second}{_by(quick)}{_doubts((quick, slow), names)}"
    )


def _int8_or_float(found: Sequence[Measured], names: dict[int, str]) -> list[str]:
    """Say whether the quickest int8 file is quicker than the quickest float one; nothing without both."""
    float_file, int8_file = _best(found, FLOAT), _best(found, ("int8",))
    if float_file is None or int8_file is None:
        return []
    device, pair = int8_file.device, (int8_file, float_file)
    unknown = f"whether int8 is quicker than float on {device} cannot be told"
    for one in pair:
        if one.timed is None:
            return [f"{unknown}: the latency of {names[id(one)]} is not known"]
    assert int8_file.timed is not None
    assert float_file.timed is not None
    if _circumstances(int8_file) != _circumstances(float_file):
        return [f"{unknown}: {_not_compared(pair, names)[0]}"]
    ratio = times(float_file.timed, int8_file.timed)
    first, second = names[id(int8_file)], names[id(float_file)]
    if not ratio.apart:
        said = f"int8 is not seen to be quicker than float on {device}: {first} and {second} take as long"
        return [f"{said}{_by(int8_file)}, as far as can be told: {_overlap(ratio)}{_doubts(pair, names)}"]
    if ratio.value > 1:
        said = f"int8 is really quicker than float on {device}: {first} is {_factor(ratio)} times as quick as"
    else:
        ratio = times(int8_file.timed, float_file.timed)
        said = f"int8 is slower than float on {device}: {first} takes {_factor(ratio)} times as long as"
    return [f"{said} {second}{_by(int8_file)}{_doubts(pair, names)}"]


def _best(found: Sequence[Measured], precisions: Sequence[str]) -> Measured | None:
    """Return the quickest file of some precision, one without a latency if there is no other."""
    of_it = [one for one in found if one.content and one.content.precision in precisions]
    return min(of_it, key=lambda one: one.timed.value if one.timed else float("inf"), default=None)


def _circumstances(found: Measured) -> Source | None:
    """Return what two figures have in common if they may be held against each other."""
    if found.timed is None:
        return None
    return undivided(found.timed.source)


def _not_compared(found: Sequence[Measured], names: dict[int, str]) -> list[str]:
    listed = ", ".join(names[id(one)] for one in found)
    return [f"{listed} are not held against each other: machine, runtime or how they came about differ"]


def _bounds(timed: Measurement) -> tuple[float, float]:
    return timed.value if timed.low is None else timed.low, timed.value if timed.high is None else timed.high


def _factor(ratio: Times) -> str:
    return f"{_digits(ratio.value)} ({_digits(ratio.low)}–{_digits(ratio.high)})"


def _overlap(ratio: Times) -> str:
    return f"the intervals overlap ({_digits(ratio.low)}–{_digits(ratio.high)} times the time)"


def _digits(number: float) -> str:
    """Return a factor to three digits, without an exponent."""
    return f"{number:.2f}" if number < 10 else f"{number:.1f}" if number < 100 else f"{number:,.0f}"


def _by(found: Measured) -> str:
    """Say how it is known, where nothing was measured."""
    provenance = found.timed.source.provenance if found.timed else ""
    return "" if provenance == "measured" else f", {provenance}"


def _doubts(found: Sequence[Measured], names: dict[int, str]) -> str:
    shaky = [
        f"{names[id(one)]} was {one.latency.verdict}"
        for one in found
        if one.latency and one.latency.verdict != "stable"
    ]
    return f" (but {' and '.join(shaky)}: measure again before relying on it)" if shaky else ""
