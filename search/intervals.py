"""Numbers with an interval: shares counted in samples, means of few and skewed times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist, fmean, linear_regression, stdev
from typing import Self

from pydantic import model_validator

from spaces.value import Value

CONFIDENCE = 0.9
"""Of every interval here: how often it holds the truth, where what it assumes is so."""
# Student's t, two-sided at CONFIDENCE, by degrees of freedom from 1 on; beyond them the normal's will do.
_T = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)
LEAST_FACTOR = 1.1
"""What the same work on the same machine differs by from one moment to another, at least."""
UNKNOWN_FACTOR = 3.0
"""Between which a time is taken to lie of which nothing but another one is known."""


class Interval(Value):
    """A value and between which two it lies, all in the unit of what it is of."""

    low: float
    value: float
    high: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"an interval holds its value, got {self.value:g} outside {self.low:g} to {self.high:g}"
            )
        return self

    @classmethod
    def exactly(cls, value: float) -> Self:
        """Return what is known without doubt."""
        return cls(low=value, value=value, high=value)

    def times(self, factor: float) -> Interval:
        """Return the interval of so many times the value; the factor is at least 0."""
        return Interval(low=factor * self.low, value=factor * self.value, high=factor * self.high)

    def of(self, whole: Interval) -> Interval:
        """Return the product of a share and what it is a share of, neither of them below 0."""
        return Interval(low=self.low * whole.low, value=self.value * whole.value, high=self.high * whole.high)

    @property
    def complement(self) -> Interval:
        """What a share leaves of the whole."""
        return Interval(low=1 - self.high, value=1 - self.value, high=1 - self.low)


def share(hits: int, among: int) -> Interval:
    """Return the share that `hits` of `among` random samples show, by Wilson's score interval (1927)."""
    if not among:
        return Interval(low=0.0, value=0.5, high=1.0)
    z, p = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2), hits / among
    middle, width = (p + z**2 / (2 * among)), z * math.sqrt(p * (1 - p) / among + z**2 / (4 * among**2))
    scale = 1 + z**2 / among
    low, high = (middle - width) / scale, (middle + width) / scale
    return Interval(low=max(0.0, min(p, low)), value=p, high=min(1.0, max(p, high)))


def share_in_strata(strata: Iterable[tuple[float, int, int]]) -> Interval:
    """Return the share in a whole of strata (weight, hits, samples), whose weights add up to 1.

    The ends of the parts are added up, which is on the safe side.
    """
    parts = [(weight, share(hits, among)) for weight, hits, among in strata if weight > 0]
    low, value, high = (
        sum(weight * getattr(part, end) for weight, part in parts) for end in ("low", "value", "high")
    )
    value = min(1.0, value)
    return Interval(low=min(low, value), value=value, high=max(value, min(1.0, high)))


def mean_of_times(seconds: Sequence[float], more: int) -> Interval:
    """Return the mean of `more` times like those seen, as a factor around the mean of these.

    Times are skewed, so the factor comes from the scatter of their logarithms, by Student's t. Of one
    time alone nothing is known of the scatter: a factor of 3 is taken.
    """
    mean, count = fmean(seconds), len(seconds)
    if count < 2 or min(seconds) <= 0:
        return _within_a_factor(mean, UNKNOWN_FACTOR)
    scatter = stdev(map(math.log, seconds)) * math.sqrt(1 / count + 1 / max(1, more))
    return _within_a_factor(mean, math.exp(_t(count - 1) * scatter))


def mean_by_size(seen: Sequence[tuple[float, float]], sizes: Sequence[float], more: int) -> Interval:
    """Return the mean of `more` times of work of these sizes, by the (size, seconds) that were `seen`.

    A time is taken for a power of its size between the 0th and the 1st, for work has a part that grows with
    it and one that does not; the logarithms are fitted by least squares. The mean is that of the fitted times
    with what was seen around them (Duan 1983, "Smearing estimate"), its factor that of a regression's
    prediction interval, by Student's t. Of fewer than three times, or one size, it is `mean_of_times`.
    """
    seconds, at = [time_s for _, time_s in seen], [math.log(size) for size, _ in seen]
    if len(seen) < 3 or min(seconds) <= 0 or max(at) - min(at) < 1e-9:
        return mean_of_times(seconds, more)
    logs, middle = [math.log(time_s) for time_s in seconds], fmean(at)
    slope, level = min(1.0, max(0.0, linear_regression(at, logs).slope)), fmean(logs)
    left = [y - level - slope * (x - middle) for x, y in zip(at, logs, strict=True)]
    fitted = [math.exp(level + slope * (math.log(size) - middle)) for size in sizes]
    mean = fmean(fitted) * fmean(map(math.exp, left))
    centre = math.fsum(f * math.log(s) for f, s in zip(fitted, sizes, strict=True)) / math.fsum(fitted)
    spread = math.fsum((x - middle) ** 2 for x in at)
    doubt = 1 / len(seen) + 1 / max(1, more) + (centre - middle) ** 2 / spread
    scatter = math.sqrt(math.fsum(rest**2 for rest in left) / (len(seen) - 2) * doubt)
    return _within_a_factor(mean, math.exp(_t(len(seen) - 2) * scatter))


def _within_a_factor(value: float, factor: float) -> Interval:
    factor = max(LEAST_FACTOR, factor)
    return Interval(low=value / factor, value=value, high=value * factor)


def _t(freedom: int) -> float:
    return _T[freedom - 1] if freedom <= len(_T) else NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
