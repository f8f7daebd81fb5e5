"""Targets that are no classes: numbers of any shape, kept as they are for a metric of the user's own."""

import numpy as np

from objectives.datasets.labels import Labels, encode_labels
from objectives.datasets.raw import Raw
from objectives.datasets.rows import AnyArray, IntArray
from objectives.datasets.split import FEWEST_OF_A_CLASS, FIFTHS
from objectives.datasets.wording import count
from objectives.errors import DataError


def any_targets(raw: Raw) -> Labels:
    """Return numbers as they are, (samples, …), and what is no number or has named classes as codes.

    All samples are alike to the split then. Raises DataError for targets that are missing or infinite, for
    a test set whose targets have another shape, and for too few samples to fill every set.
    """
    if raw.classes is not None or raw.train.y.dtype.kind not in "iuf":
        return encode_labels(raw)
    train = _finite(raw.train.y, "the target")
    test = None if raw.test is None else _finite(raw.test.y, "the test set's target")
    if test is not None and test.shape[1:] != train.shape[1:]:
        raise DataError(
            f"a target of the test set has the shape of one of train, {train.shape[1:]}, got "
            f"{test.shape[1:]}; give both the same"
        )
    if len(train) < FIFTHS * FEWEST_OF_A_CLASS:
        raise DataError(
            f"train, validation and test need at least {FIFTHS * FEWEST_OF_A_CLASS} samples in all, got "
            f"{count(len(train), 'sample')}; bring more"
        )
    return Labels(_alike(train), None if test is None else _alike(test), (), (train, test))


def _alike(targets: AnyArray) -> IntArray:
    return np.zeros(len(targets), np.int64)


def _finite(y: AnyArray, what: str) -> AnyArray:
    """Return floats as float32, whole numbers as int32 where they fit, else as float32."""
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        broken = int(np.size(y) - np.isfinite(y).sum())
        raise DataError(
            f"targets are finite, and {what} holds {count(broken, 'number')} that are NaN or infinite; fill "
            "them or drop their rows"
        )
    whole = y.dtype.kind in "iu" and (not y.size or np.abs(y.astype(np.float64)).max() < 2**31)
    return y.astype(np.int32 if whole else np.float32)
