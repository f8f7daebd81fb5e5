"""What stands between the raw input and a network: the normaliser, and the reduction of the input.

The reduction is fitted on normalised training samples alone, and becomes a part of the exported graph.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from objectives.errors import ObjectiveError
from objectives.tensorflow import tensorflow
from spaces.candidate import Pca, Reduction, Resize, Rfe
from spaces.reduced import reduced_shape

if TYPE_CHECKING:
    from objectives.normalise import Normaliser

Array = np.ndarray[Any, np.dtype[Any]]
RANKED_SAMPLES = 2000
"""As many samples are enough to rank columns by, and keep the ranking quick."""
RANKING_STEPS = 60
CHANNEL_FEATURES = 5


@dataclass(frozen=True)
class Inlet:
    """The normaliser and, after it, at most one of: columns to take, a projection, a size.

    `columns` are positions on the last axis, ascending. `projection` is (columns, components) and
    `shift` (components,), both float32: reduced = z @ projection - shift. `size` is (height, width), and
    `whole` what it was.
    """

    normaliser: Normaliser
    columns: tuple[int, ...] | None = None
    projection: Array | None = None
    shift: Array | None = None
    size: tuple[int, int] | None = None
    whole: tuple[int, int] | None = None

    @property
    def reduces(self) -> bool:
        """Whether anything but the normaliser stands there."""
        return self.columns is not None or self.projection is not None or self.size is not None

    def shape_before(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a whole sample, where the network takes samples of `shape`."""
        if self.whole is not None:
            return (*self.whole, shape[-1])
        return (*shape[:-1], len(self.normaliser.offset))

    def reduce(self, x: Any) -> Any:
        """Return the reduced tensor of a tensor of normalised samples; its ops are part of the graph."""
        tf = tensorflow()
        if self.columns is not None:
            return tf.gather(x, np.asarray(self.columns, np.int32), axis=-1)
        if self.projection is not None:
            return tf.matmul(x, self.projection) - self.shift
        if self.size is not None:
            return tf.image.resize(x, self.size, "bilinear")
        return x

    def __call__(self, raw: Any) -> Any:
        """Return what the network takes, as a tensor, for a tensor of raw samples."""
        tf, normaliser = tensorflow(), self.normaliser
        offset, scale = (np.asarray(v, np.float32) for v in (normaliser.offset, normaliser.scale))
        z = (tf.cast(raw, tf.float32) - offset) * scale
        clip = normaliser.clip
        return self.reduce(z if clip is None else tf.clip_by_value(z, -clip, clip))


class InletFitter:
    """Fits inlets on one fold's training samples: what is common to all of them is found once.

    `x` is (samples, *input_shape), raw, and `y` class codes, (samples,).
    """

    def __init__(self, normaliser: Normaliser, x: Array, y: Array, seed: int) -> None:
        self._normaliser, self._x, self._y, self._seed = normaliser, x, y, seed

    def fit(self, reduction: Reduction | None) -> Inlet:
        """Return the inlet for a reduction.

        Raises ObjectiveError for more components than there are samples to find them in.
        """
        match reduction:
            case None:
                return Inlet(self._normaliser)
            case Rfe(columns=count):
                return Inlet(self._normaliser, columns=tuple(sorted(self.ranking[:count])))
            case Pca(components=count):
                projection, shift = self._projection(count)
                return Inlet(self._normaliser, projection=projection, shift=shift)
            case Resize():
                height, width, _ = self._x.shape[1:]
                small = reduced_shape((height, width, 1), reduction)
                return Inlet(self._normaliser, size=(small[0], small[1]), whole=(height, width))
            case _:
                assert_never(reduction)

    @cached_property
    def _some(self) -> tuple[Array, Array]:
        rows = np.sort(np.random.default_rng(self._seed).permutation(len(self._x))[:RANKED_SAMPLES])
        return self._normaliser.apply(self._x[rows]), self._y[rows]

    @cached_property
    def ranking(self) -> tuple[int, ...]:
        """Columns of a table, or channels of a series, the one eliminated last first.

        Recursive feature elimination with a logistic regression; a channel stands for its summary
        features, which are eliminated together.
        """
        from sklearn.feature_selection import RFE

        z, y = self._some
        features, each = (z, 1) if z.ndim == 2 else (channel_features(z), CHANNEL_FEATURES)
        columns = features.shape[1] // each
        step = each * -(-columns // RANKING_STEPS)
        importance = _by_group(each)
        rfe = RFE(_classifier(), n_features_to_select=each, step=step, importance_getter=importance)
        with _no_convergence_warning():
            rfe.fit(features, y)
        order = np.argsort(rfe.ranking_[::each], kind="stable")
        return tuple(int(column) for column in order)

    @cached_property
    def _components(self) -> Any:
        from sklearn.decomposition import PCA

        return PCA(svd_solver="full").fit(self._normaliser.apply(self._x))

    def _projection(self, count: int) -> tuple[Array, Array]:
        found = self._components
        usable = int(np.count_nonzero(found.explained_variance_ > 1e-9))
        if count > usable:
            raise ObjectiveError(
                f"the training samples have {usable} principal components, and {count} were asked; "
                "ask for fewer"
            )
        # Of equal variance, lest the small ones vanish in the one scale of a quantized tensor.
        scaled = found.components_[:count].T / np.sqrt(found.explained_variance_[:count])
        return scaled.astype(np.float32), (found.mean_ @ scaled).astype(np.float32)


def channel_features(z: Array) -> Array:
    """Return (samples, channels * 5): mean, deviation, least, most and mean step of each channel in turn."""
    series = z.reshape(len(z), -1, z.shape[-1])
    steps = (
        np.abs(np.diff(series, axis=1)).mean(axis=1) if series.shape[1] > 1 else np.zeros_like(series[:, 0])
    )
    parts = (series.mean(axis=1), series.std(axis=1), series.min(axis=1), series.max(axis=1), steps)
    stacked: Array = np.stack(parts, axis=-1).reshape(len(z), -1)
    spread = stacked.std(axis=0)
    scaled: Array = (stacked - stacked.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return scaled


def _classifier() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=200)


def _by_group(size: int) -> Any:
    """Return what RFE asks for the importance of features: that of their group, of `size` neighbours."""

    def importance(estimator: Any) -> Array:
        squares = (np.asarray(estimator.coef_) ** 2).sum(axis=0).reshape(-1, size).sum(axis=1)
        return np.repeat(np.sqrt(squares), size)

    return importance


@contextmanager
def _no_convergence_warning() -> Iterator[None]:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
