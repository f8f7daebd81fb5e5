"""Labels of any kind become class names and their codes; what is no class is refused."""

from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
import numpy.typing as npt

from objectives.datasets.raw import Raw
from objectives.datasets.rows import AnyArray, IntArray
from objectives.datasets.wording import count, listing
from objectives.errors import DataError

REFUSAL = "edgesearch trains classifiers and refuses a continuous target"
WAY_OUT = "bin it into classes, or compress a network of yours with --model, --no-training and a --metric"
# Whole numbers are taken for quantities when there are many and each occurs seldom.
FEW_VALUES = 20
SAMPLES_PER_VALUE = 10
EXACT_INTEGERS = 2**53


@dataclass(frozen=True)
class Labels:
    """The class codes of train and of a given test set, and the names that the codes stand for.

    Where targets are no classes, `targets` has them, of train and of a given test set, and all codes are 0.
    """

    train: IntArray
    test: IntArray | None
    classes: tuple[str, ...]
    targets: tuple[AnyArray, AnyArray | None] | None = None

    @property
    def stored(self) -> tuple[AnyArray, AnyArray | None]:
        """What is stored of train and of a given test set: the targets, else the codes as int32."""
        if self.targets is not None:
            return self.targets
        return self.train.astype(np.int32), None if self.test is None else self.test.astype(np.int32)

    @property
    def strata(self) -> tuple[str, ...]:
        """The names of what is shared out evenly between train, validation and test."""
        return self.classes or ("all",)


def encode_labels(raw: Raw) -> Labels:
    """Return the labels as codes, and the classes.

    Classes are the sorted labels of the train part (numbers by size); a source that names its
    classes keeps its order. Raises DataError for missing or continuous labels, for a single class, and
    for a test label that train does not know.
    """
    labels = plain_labels(raw.train.y, "the target")
    if labels.dtype.kind in "iu":
        _refuse_quantities(labels, "the target")
    values, codes = np.unique(labels, return_inverse=True)
    if len(values) == 0:
        raise DataError("a data set needs samples, got none; check the source")
    if len(values) == 1:
        raise DataError(
            f"a classifier needs at least 2 classes, got only '{values[0]}'; add samples of another class"
        )
    names = _names(values, raw.classes)
    test = (
        None if raw.test is None else _encode_test(plain_labels(raw.test.y, "the test set's target"), values)
    )
    return Labels(codes.astype(np.int64), test, names)


def plain_labels(y: AnyArray, what: str) -> AnyArray:
    """Return one label per sample as booleans, whole numbers or text; `what` names them in errors."""
    labels = y[:, 0] if y.shape[1:] == (1,) else y
    if labels.ndim != 1:
        raise DataError(
            f"{what} has one label per sample, got an array of shape {y.shape}; of one-hot rows give "
            "y.argmax(axis=1), and for another task compress a network of yours with --model, --no-training "
            "and a --metric"
        )
    if labels.dtype.kind == "O":
        labels = _from_objects(labels, what)
    if labels.dtype.kind == "f":
        labels = _whole(labels, what)
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind not in "biuU":
        raise DataError(
            f"labels are text, whole numbers or booleans, and {what} holds {labels.dtype}; convert it"
        )
    return labels


def _from_objects(labels: AnyArray, what: str) -> AnyArray:
    """Let numpy find the common type of Python objects; what has none is compared as text."""
    import pandas as pd

    _refuse_missing(int(np.sum(pd.isna(labels))), what)
    if all(isinstance(label, bool | np.bool_) for label in labels):
        return labels.astype(bool)
    if all(isinstance(label, Number) for label in labels):
        return labels.astype(np.float64)
    return np.array([str(label) for label in labels])


def _whole(labels: npt.NDArray[np.floating[Any]], what: str) -> AnyArray:
    _refuse_missing(int(np.sum(np.isnan(labels))), what)
    whole = (np.floor(labels) == labels) & (np.abs(labels) < EXACT_INTEGERS)
    broken = labels[~whole]
    if len(broken):
        raise DataError(
            f"{REFUSAL}: {what} holds {count(len(broken), 'value')} that are no whole numbers, "
            f"such as {broken[0]:g}, in {count(len(labels), 'sample')}; {WAY_OUT}"
        )
    return labels.astype(np.int64)


def _refuse_quantities(labels: AnyArray, what: str) -> None:
    distinct = len(np.unique(labels))
    if distinct > FEW_VALUES and distinct * SAMPLES_PER_VALUE > len(labels):
        raise DataError(
            f"{REFUSAL}: {what} holds {count(distinct, 'different number')} in "
            f"{count(len(labels), 'sample')}, "
            f"fewer than {SAMPLES_PER_VALUE} samples of each; {WAY_OUT}"
        )


def _refuse_missing(missing: int, what: str) -> None:
    if missing:
        raise DataError(
            f"every sample has a label, and {what} misses {missing} (in a .csv empty, NA, None and nan are "
            "missing); fill them or drop their rows"
        )


def _names(values: AnyArray, given: tuple[str, ...] | None) -> tuple[str, ...]:
    if given is not None:
        return given
    names = tuple(str(value) for value in values)
    broken = [name for name in names if name.splitlines() != [name]]
    if broken:
        raise DataError(f"a class name is one line of text, got {broken[0]!r}; rename it")
    return names


def _encode_test(labels: AnyArray, values: AnyArray) -> IntArray:
    """Return the codes of test labels; both are text where their types differ."""
    if labels.dtype.kind != values.dtype.kind:
        labels, values = labels.astype(str), values.astype(str)
    order = np.argsort(values)
    places = np.minimum(np.searchsorted(values, labels, sorter=order), len(values) - 1)
    codes: IntArray = order[places]
    unknown = np.unique(labels[values[codes] != labels])
    if len(unknown):
        raise DataError(
            f"the test set's classes are those of train, and it has {listing([str(u) for u in unknown])} "
            f"beside {listing([str(v) for v in values])}; relabel or drop these samples"
        )
    return codes
