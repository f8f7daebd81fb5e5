"""From what a run of `aboard/bench.py` saw to a latency that repeats.

A busy machine is not merely noisy: it is in one of several states (clock steps, a busy neighbour on
the same physical core) for milliseconds to seconds, some of which nearly double a duration, and not
by the same factor for every model. The minimum of a process is a matter of luck then, and so is a
quotient of two minima from different moments. So the quotient min(model) / min(anchor) is taken
within each round, where both stood side by side, and only rounds count in which the machine was
quick all along.
"""

import math
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from hardware_profiles.measurement import Conditions, Latency, Positive, Source, Verdict
from hardware_profiles.value import Value

QUICK = 1.25
"""A burst is quick within this factor of the quickest: clock steps lie within, contention without."""
AGREE = 0.02
"""How far the anchor's bursts before and after may differ for a round to have passed in one state."""
FEWEST_QUICK = 5
"""With fewer quick rounds than this, the machine counts as busy throughout."""
QUANTILE = 0.25
"""Which quantile of the quick rounds is ranked: what disturbs a model unseen only makes it slower."""
PLACEMENT = 0.02
"""What a fresh process changes, at least, by where it lies in memory: twice the 1 % seen in repeats."""
FEWEST_OF_COPY = 3
"""With fewer rounds than this, nothing is said of one copy of a model."""
WIDE = 0.10
"""An interval wider than this, as a fraction of the latency, is called noisy."""
DRIFT = 0.05
"""Halves of a run that differ by more than this are called drifting."""

Array = npt.NDArray[np.float64]


class Summary(Value):
    """What one run saw of one model: nanoseconds, and per round (anchor, model, anchor) minima.

    `copies` says for each round which of the loaded copies of the model ran; empty if there is but one.
    """

    min_ns: Positive
    median_ns: Positive
    p90_ns: Positive
    p99_ns: Positive
    runs: int = Field(ge=1)
    rounds: tuple[tuple[Positive, Positive, Positive], ...] = ()
    copies: tuple[Annotated[int, Field(ge=0)], ...] = ()

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.min_ns <= self.median_ns <= self.p90_ns <= self.p99_ns:
            raise ValueError(
                "quantiles are in order, min to p99, "
                f"got {self.min_ns:g}, {self.median_ns:g}, {self.p90_ns:g}, {self.p99_ns:g}"
            )
        return self

    @model_validator(mode="after")
    def _a_copy_for_each_round(self) -> Self:
        if self.copies and len(self.copies) != len(self.rounds):
            raise ValueError(f"every round has a copy, got {len(self.copies)} for {len(self.rounds)} rounds")
        return self


class Timing(Summary):
    """A summary of a model, of which there are rounds to judge by."""

    @field_validator("rounds")
    @classmethod
    def _some(cls, rounds: tuple[object, ...]) -> tuple[object, ...]:
        if not rounds:
            raise ValueError("a timing needs at least one round, got none")
        return rounds


class Ratio(Value):
    """A model's duration in units of the anchor's: estimate, interval, and how it came about."""

    value: Positive
    low: Positive
    high: Positive
    quick_rounds: int
    drift: float


def latency(
    timing: Timing,
    anchor_min_ns: float,
    constant_ms: float,
    source: Source,
    conditions: Conditions | None = None,
) -> Latency:
    """Judge one model's timing, made under `conditions` as far as they are known.

    `anchor_min_ns` is the anchor's minimum in this run, `constant_ms` what it takes on this device.
    `latency_ms` is the ratio to the anchor (see `ratio_to_anchor`) times the constant. Where the
    machine was never quick, the model's slow-down is not known from the anchor's: it lies between
    none and the anchor's own, so the interval then reaches up to the model's plain minimum.
    """
    reference_ns = min(anchor_min_ns, constant_ms * 1e6)
    ratio = ratio_to_anchor(timing, reference_ns)
    busy = ratio.quick_rounds < FEWEST_QUICK
    high_ms = ratio.high * constant_ms
    return Latency(
        latency_ms=ratio.value * constant_ms,
        low_ms=ratio.low * constant_ms,
        high_ms=max(high_ms, timing.min_ns / 1e6) if busy else high_ms,
        min_ms=timing.min_ns / 1e6,
        median_ms=timing.median_ns / 1e6,
        p90_ms=timing.p90_ns / 1e6,
        p99_ms=timing.p99_ns / 1e6,
        anchor_ratio=ratio.value,
        runs=timing.runs,
        verdict=verdict(ratio, conditions),
        source=source,
        conditions=conditions,
    )


def ratio_to_anchor(timing: Timing, reference_ns: float) -> Ratio:
    """Estimate min(model) / min(anchor) from the rounds; `reference_ns` is the anchor at its quickest.

    Each round gives model / sqrt(before * after). Of the quick rounds (see `quick_rounds`) the lower
    quartile is taken; where there are too few, the median of those in which the anchor's bursts
    agree, for then the anchor is disturbed as much as the model.
    The interval is the distribution-free 95 % one for a quantile from order statistics, whose ranks
    follow the binomial distribution (W. J. Conover, Practical Nonparametric Statistics, section on
    confidence intervals for a quantile; normal approximation), widened for what only a fresh process
    would show (see `placement`).
    """
    rounds = np.asarray(timing.rounds, dtype=np.float64)
    copies = np.asarray(timing.copies or (0,) * len(rounds))
    ratios = rounds[:, 1] / np.sqrt(rounds[:, 0] * rounds[:, 2])
    chosen, quantile = quick_rounds(rounds, reference_ns, copies), QUANTILE
    if (count := int(chosen.sum())) < FEWEST_QUICK:
        agreeing = agreeing_rounds(rounds)
        chosen, quantile = (agreeing if agreeing.sum() >= FEWEST_QUICK else np.ones_like(agreeing)), 0.5
    values, levels = ratios[chosen], levels_of_copies(ratios[chosen], copies[chosen], quantile)
    low, high = quantile_interval(values, quantile)
    widening = 1 + placement(levels)
    return Ratio(
        value=float(np.quantile(values, quantile)),
        low=low / widening,
        high=high * widening,
        quick_rounds=count,
        drift=drift(values / levels, quantile),
    )


def levels_of_copies(values: Array, copies: npt.NDArray[np.int_], quantile: float) -> Array:
    """Return for each value the quantile of its copy's; of all, where there are too few of that copy."""
    levels = np.full(len(values), np.quantile(values, quantile))
    for copy in np.unique(copies):
        own = copies == copy
        if own.sum() >= FEWEST_OF_COPY:
            levels[own] = np.quantile(values[own], quantile)
    return levels


def placement(levels: Array) -> float:
    """Return by what fraction a fresh process may differ, for there the model lies elsewhere in memory.

    That is what the copies in this process, each of which lies elsewhere as well, differ by: little for a
    model that fits into the caches, and 5 to 30 % for weights about as large as them, some of which then
    displace one another, depending on the pages they are in. At least PLACEMENT.
    """
    return max(PLACEMENT, float(levels.max() / levels.min() - 1))


def agreeing_rounds(rounds: Array) -> npt.NDArray[np.bool_]:
    """Mark the rounds (n by 3) whose anchor bursts, before and after, agree: the state did not change."""
    before, after = rounds[:, 0], rounds[:, 2]
    agreeing: npt.NDArray[np.bool_] = np.maximum(before, after) <= (1 + AGREE) * np.minimum(before, after)
    return agreeing


def quick_rounds(
    rounds: Array, reference_ns: float, copies: npt.NDArray[np.int_] | None = None
) -> npt.NDArray[np.bool_]:
    """Mark the rounds (n by 3) in which anchor and model were quick, and the anchor's bursts agree.

    A model's copy (n of them; default: the same throughout) is quick by the standard of that very copy.
    """
    quick: npt.NDArray[np.bool_] = np.maximum(rounds[:, 0], rounds[:, 2]) <= QUICK * reference_ns
    which = np.zeros(len(rounds), dtype=np.int_) if copies is None else copies
    undisturbed = np.zeros(len(rounds), dtype=np.bool_)
    for copy in np.unique(which):
        own = which == copy
        undisturbed[own] = rounds[own, 1] <= QUICK * rounds[own, 1].min()
    return quick & agreeing_rounds(rounds) & undisturbed


def quantile_interval(values: Array, quantile: float) -> tuple[float, float]:
    """Return the 95 % interval for a quantile of the distribution that the values are drawn from."""
    ordered, n = np.sort(values), len(values)
    spread = 1.96 * math.sqrt(n * quantile * (1 - quantile))
    first = max(0, math.floor(n * quantile - spread) - 1)
    last = min(n - 1, math.ceil(n * quantile + spread))
    estimate = float(np.quantile(values, quantile))
    return min(float(ordered[first]), estimate), max(float(ordered[last]), estimate)


def drift(values: Array, quantile: float) -> float:
    """Return how much the second half of a run differs from the first, as a fraction; 0 if too short."""
    if len(values) < 2 * FEWEST_QUICK:
        return 0.0
    half = len(values) // 2
    first, second = np.quantile(values[:half], quantile), np.quantile(values[half:], quantile)
    return float(second / first - 1)


def verdict(ratio: Ratio, conditions: Conditions | None = None) -> Verdict:
    """Say how far the figure is to be trusted.

    throttled: the machine held its clock down, so it is not what it is when it is cool and well fed.
    noisy: it was hardly ever quick, or the interval is wide. drifting: the model changed against the
    anchor in the course of the run. stable: none of these.
    """
    if conditions is not None and conditions.throttling:
        return "throttled"
    if ratio.quick_rounds < FEWEST_QUICK:
        return "noisy"
    if abs(ratio.drift) > DRIFT:
        return "drifting"
    return "noisy" if ratio.high - ratio.low > WIDE * ratio.value else "stable"
