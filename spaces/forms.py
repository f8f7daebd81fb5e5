"""The forms of one trained network: which other compressions it can be shipped in, and what they are called.

All forms of a network have its architecture, its input reduction and its training, and differ in compression
alone. Those that need only a conversion come first, then those that have to be fine-tuned.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from spaces.candidate import TRAINABLE_PRECISIONS, Compression, Lever
from spaces.chooser import Choices, Integers, Ranges, Reals, Scalar

Answers = Mapping[str, Scalar]
OFF: dict[Lever, dict[str, Scalar]] = {
    "slim": {"slim": "no", "keep": 1.0},
    "prune": {"sparsity": 0.0},
    "cluster": {"cluster": "no", "clusters": 0},
    "aware": {"quantization": "post-training"},
}
"""What to answer in order to do without a lever."""


def answers_of(compression: Compression) -> dict[str, Scalar]:
    """Return what to answer in order to be led to a compression, whatever of it is asked."""
    return {
        "slim": "yes" if compression.keep < 1 else "no",
        "keep": compression.keep,
        "sparsity": compression.sparsity,
        "cluster": "yes" if compression.clusters else "no",
        "clusters": compression.clusters,
        "precision": compression.precision,
        "quantization": compression.quantization,
        "int4_share": compression.int4_share,
    }


def steps_of(compression: Compression) -> tuple[str, ...]:
    """Name what is done to a trained network, in order; each may cost some of its accuracy."""
    names = {
        "slim": f"keep {compression.keep:g}",
        "prune": f"sparsity {compression.sparsity:g}",
        "cluster": f"{compression.clusters} clusters",
        "aware": f"aware {_rounded(compression)}",
    }
    levers = tuple(names[lever] for lever in compression.levers)
    aware = " after aware" if compression.quantization == "aware" else ""
    return (*levers, _rounded(compression) + aware)


def shape_of(compression: Compression) -> str:
    """Name what the stored bytes and the latency of a form depend on: not its zeros, nor its clusters."""
    keep = f"keep {compression.keep:g} " if compression.keep < 1 else ""
    return keep + _rounded(compression)


def _rounded(compression: Compression) -> str:
    share = f" in {compression.int4_share:g}" if compression.int4_share < 1 else ""
    return compression.precision + share


def other_forms(answers: Answers, ranges: Ranges, *, deflated: bool) -> Iterator[dict[str, Scalar]]:
    """Yield what to answer for the other forms of a candidate's network, the cheapest first.

    `answers` are the candidate's own by name, `ranges` what may be answered. Zeros and clusters make a file
    smaller only once it is `deflated`: where that does not count they are not tried for their own sake. What
    a space does not ask is nowhere near: such answers have no effect.
    """
    stages = tuple(_stages(answers, ranges))
    for stage in stages:
        for rounding in _conversions(ranges):
            yield {**stage, **rounding}
    for tuned in _tuned(ranges, deflated=deflated):
        yield {**stages[-1], **tuned}


def _stages(answers: Answers, ranges: Ranges) -> Iterator[dict[str, Scalar]]:
    """Yield the answers that lead to the networks on the way to a candidate's, the last one first."""
    left = {**answers, **_within({"quantization": "post-training"}, ranges)}
    yield left
    for lever in ("cluster", "prune", "slim"):
        off = _within(OFF[lever], ranges)
        if off and any(left.get(name, value) != value for name, value in off.items()):
            left = {**left, **off}
            yield left


def _conversions(ranges: Ranges) -> Iterator[dict[str, Scalar]]:
    for precision in _options(ranges, "precision"):
        if precision != "int4":
            yield {"precision": precision, **_within({"quantization": "post-training"}, ranges)}
            continue
        for share in (1.0, 0.5):
            answer = _within({"quantization": "post-training", "int4_share": share}, ranges)
            if "int4_share" in answer:
                yield {"precision": precision, **answer}


def _tuned(ranges: Ranges, *, deflated: bool) -> Iterator[dict[str, Scalar]]:
    """Yield what makes slimmer copies, trained roundings and, where they pay, zeros and clusters."""
    narrow = [p for p in TRAINABLE_PRECISIONS if p in _options(ranges, "precision")]
    first: dict[str, Scalar] = {"precision": narrow[0]} if narrow else {}
    roundings = (first, *_conversions(ranges))
    for keep in (0.5, 0.75, 0.25):
        slim: dict[str, Scalar] = {"slim": "yes", "keep": keep}
        if len(_within(slim, ranges)) == len(slim):
            yield from ({**slim, **rounding} for rounding in roundings)
    if "aware" in _options(ranges, "quantization"):
        for precision in narrow:
            yield {"precision": precision, "quantization": "aware", **_within({"int4_share": 1.0}, ranges)}
    if deflated:
        for sparsity in (0.5, 0.7):
            if found := _within({"sparsity": sparsity}, ranges):
                yield {**found, **first}
        if clustered := _clustered(ranges):
            yield {**clustered, **first}


def _clustered(ranges: Ranges) -> dict[str, Scalar]:
    answer: dict[str, Scalar] = {"cluster": "yes", "clusters": 16}
    found = _within(answer, ranges)
    return found if len(found) == len(answer) else {}


def _options(ranges: Ranges, name: str) -> tuple[Any, ...]:
    within = ranges.get(name)
    return within.options if isinstance(within, Choices) else ()


def _within(answer: Mapping[str, Scalar], ranges: Ranges) -> dict[str, Scalar]:
    """Return those of some answers that the ranges hold."""
    return {name: value for name, value in answer.items() if _holds(ranges.get(name), value)}


def _holds(within: Integers | Reals | Choices | None, value: Scalar) -> bool:
    return within is not None and within.holds(value)
