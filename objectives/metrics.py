"""How good predictions are: the study's metric, its value for a guesser, and its 95 % interval."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from objectives.datasets.callables import is_reference, load_callable, source_digest
from objectives.datasets.wording import one_line, suggestion
from objectives.errors import ObjectiveError
from objectives.goals import Direction

Labels = npt.NDArray[Any]
Scores = npt.NDArray[Any]

RESAMPLES = 1000


@dataclass(frozen=True)
class Metric:
    """A named figure of predictions, and whether more of it is better."""

    name: str
    direction: Direction
    function: Callable[[Labels, Scores], Any]
    version: str = ""
    """What tells a user's function from another one of that name: a digest of the file that it is in."""

    def __call__(self, y_true: Labels, scores: Scores) -> float:
        """Return the metric of `scores` (samples, classes), the higher the likelier, for labels (samples,).

        Where targets are no classes it is that of outputs (samples, …) for targets (samples, …).

        Raises ObjectiveError if a user's function raises, or returns what is no finite number.
        """
        try:
            value = float(self.function(y_true, scores))
        except Exception as error:  # whatever a user's function raises
            raise ObjectiveError(
                f"metric '{self.name}' failed with {one_line(error)}; it is called with targets of shape "
                f"{np.shape(y_true)} and scores of shape {np.shape(scores)} and returns a number"
            ) from error
        if not math.isfinite(value):
            raise ObjectiveError(
                f"a metric is a finite number, got {value} from '{self.name}'; mend the function"
            )
        return value


def accuracy(y_true: Labels, scores: Scores) -> float:
    """Return the share of samples whose highest score is that of their class."""
    return float(np.mean(scores.argmax(axis=1) == y_true))


def balanced_accuracy(y_true: Labels, scores: Scores) -> float:
    """Return the mean, over the classes that occur, of the share of their samples that are recognised."""
    from sklearn.metrics import recall_score  # type: ignore[import-untyped, unused-ignore]

    present = np.unique(y_true)
    return float(
        recall_score(y_true, scores.argmax(axis=1), labels=present, average="macro", zero_division=0)
    )


def f1_macro(y_true: Labels, scores: Scores) -> float:
    """Return the mean of F1 (of precision and recall) over the classes that occur or are predicted."""
    from sklearn.metrics import f1_score  # type: ignore[import-untyped, unused-ignore]

    return float(f1_score(y_true, scores.argmax(axis=1), average="macro", zero_division=0))


METRICS: dict[str, Callable[[Labels, Scores], float]] = {
    "accuracy": accuracy,
    "balanced-accuracy": balanced_accuracy,
    "f1-macro": f1_macro,
}


def load_metric(name: str, direction: Direction = "maximize") -> Metric:
    """Return a metric by its name, or a user's `package.module:function(y_true, scores)`.

    Raises ObjectiveError if there is none, or if a built-in one is to be minimised.
    """
    if name in METRICS:
        if direction != "maximize":
            raise ObjectiveError(
                f"{name} is better the higher it is, got direction '{direction}'; maximize it"
            )
        return Metric(name, direction, METRICS[name])
    if is_reference(name):
        function = load_callable(name, ObjectiveError)
        return Metric(name, direction, function, source_digest(name))
    raise ObjectiveError(
        f"no metric named '{name}'{suggestion(name, METRICS)} (a metric is {', '.join(METRICS)} or "
        "package.module:function)"
    )


def majority_value(metric: Metric, y_train: Labels, y_valid: Labels, classes: int) -> float:
    """Return the metric, on `y_valid`, of scoring 1 for the commonest class of train and 0 for others."""
    scores = np.zeros((len(y_valid), classes), np.float32)
    scores[:, int(np.bincount(y_train, minlength=classes).argmax())] = 1.0
    return metric(y_valid, scores)


def blind_value(metric: Metric, y_true: Labels, scores: Scores, *, seed: int = 0) -> float:
    """Return the metric of a network's outputs dealt out to the wrong samples: right in kind, blind to x."""
    places = np.random.default_rng(seed).permutation(len(scores))
    return metric(y_true, scores[places])


def interval(
    metric: Metric,
    y_true: Labels,
    scores: Scores,
    *,
    classes: bool = True,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the bounds between which the metric of all there is lies, judged from these samples.

    Wilson's for accuracy, a bootstrap for every other metric, within the classes where there are any.
    """
    if metric.function is accuracy:
        correct = int(np.sum(scores.argmax(axis=1) == y_true))
        return wilson_interval(correct, len(y_true), confidence)
    strata = None if classes else np.zeros(len(y_true), int)
    return bootstrap_interval(metric, y_true, scores, strata=strata, confidence=confidence, seed=seed)


def wilson_interval(correct: int, samples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a share, as two shares.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference" (1927). Unlike
    mean ± z * standard error it stays within [0, 1] and is of use for shares near 0 and 1. Raises
    ValueError unless 0 <= correct <= samples and samples > 0.
    """
    if not 0 <= correct <= samples or samples == 0:
        raise ValueError(f"correct lies in 0 to samples, of which there are some, got {correct} of {samples}")
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    share = correct / samples
    centre = (share + z2 / (2 * samples)) / (1 + z2 / samples)
    half = math.sqrt(z2 * (share * (1 - share) / samples + z2 / (4 * samples**2))) / (1 + z2 / samples)
    # At 0 and 1 the bounds are exact, and rounding must not push the share out.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def bootstrap_interval(
    metric: Metric,
    y_true: Labels,
    scores: Scores,
    *,
    strata: Labels | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of the metric over 1,000 seeded resamples, widened to hold its value.

    Efron, Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. Samples are drawn within their
    class, which `strata` (samples,) names (`y_true` if None): the split fixed how many each has, and a
    resample without a class would have another meaning for a mean over classes.
    """
    generator, strata = np.random.default_rng(seed), y_true if strata is None else strata
    members = [np.flatnonzero(strata == label) for label in np.unique(strata)]
    values = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([generator.choice(rows, len(rows)) for rows in members])
        values.append(metric(y_true[drawn], scores[drawn]))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    value = metric(y_true, scores)
    return min(float(low), value), max(float(high), value)
