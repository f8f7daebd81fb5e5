"""From the name of a data set to a checked, split store on disk that all workers share."""

from pathlib import Path

import numpy as np

from objectives.datasets.checks import check_finite, check_lengths, drop_constant_columns
from objectives.datasets.kinds import Shaped, shape_samples
from objectives.datasets.labels import Labels, encode_labels
from objectives.datasets.raw import Raw
from objectives.datasets.rows import CHUNK_BYTES, AnyArray, IntArray
from objectives.datasets.sources import load
from objectives.datasets.spec import DataSpec, DataSummary
from objectives.datasets.split import (
    FEWEST_VALIDATION,
    FOLDS,
    REPEATS,
    Split,
    check_set,
    split_samples,
    take_subset,
)
from objectives.datasets.store import Content, Data, Fold, Ordered, open_data, save, stored
from objectives.datasets.targets import any_targets
from objectives.datasets.wording import one_line
from objectives.errors import DataError

__all__ = ["Data", "Fold", "open_data", "prepare"]


def prepare(spec: DataSpec, root: Path, *, chunk_bytes: int = CHUNK_BYTES) -> DataSummary:
    """Load, check and split the data, and store it in `root/<digest>`, where `open_data` finds it.

    The digest names content, kind and split; the same data under another name has the same. At most
    a few times `chunk_bytes` of images are in memory at once, whatever the size of the data.
    With a subset and a given test set the subset is taken of the train part; else of all samples.

    Raises DataError on one line for data that cannot be used and for a disk that cannot be written.
    """
    raw = _load(spec)
    check_lengths(raw)
    labels = encode_labels(raw) if spec.targets == "classes" else any_targets(raw)
    shaped = shape_samples(raw, spec.kind, chunk_bytes)
    check_finite(shaped, chunk_bytes)
    if labels.test is not None:
        check_set(labels.test, labels.strata, "the given test set")
    split = _split(raw, labels, spec)
    varying = shaped
    if not spec.keep_constant:
        varying = drop_constant_columns(shaped, _rows_that_train(split), chunk_bytes)
    content = _content(raw, varying, split, labels)
    try:
        return save(root, content, chunk_bytes)
    except OSError as error:
        raise DataError(
            f"prepared data cannot be written to '{root}' ({one_line(error)}); "
            "free some space there, or put EDGESEARCH_HOME on a disk that can be written"
        ) from error


def _load(spec: DataSpec) -> Raw:
    try:
        return load(spec)
    except OSError as error:
        raise DataError(
            f"'{spec.source}' cannot be read ({one_line(error)}); check the path and its rights"
        ) from error


def _split(raw: Raw, labels: Labels, spec: DataSpec) -> Split:
    """Split all rows or the subset, and return the split in row numbers of the source."""
    rows = take_subset(labels.train, spec.subset, spec.split_seed)
    groups = None if raw.train.groups is None else raw.train.groups[rows]
    given = raw.test is not None
    split = split_samples(labels.train[rows], labels.strata, groups, spec.split_seed, test_given=given)
    return Split(rows[split.dev], None if split.test is None else rows[split.test], split.folds)


def _rows_that_train(split: Split) -> IntArray:
    """Return the rows that train in some fold: by these, and never by others, columns are judged."""
    positions = np.unique(np.concatenate([train for train, _ in split.folds]))
    rows: IntArray = split.dev[positions]
    return rows


def _content(raw: Raw, shaped: Shaped, split: Split, labels: Labels) -> Content:
    x_test, y_test = _test_set(shaped, split, labels)
    arrays = {
        "x_dev": Ordered(shaped.train, split.dev),
        "y_dev": stored(labels.stored[0][split.dev]),
        "x_test": x_test,
        "y_test": stored(y_test),
    }
    train, valid = split.folds[0]
    summary = DataSummary(
        name=raw.name,
        digest="",
        kind=shaped.kind,
        input_shape=shaped.train.shape[1:],
        dtype=str(shaped.train.dtype),
        classes=labels.classes,
        target_shape=None if labels.targets is None else labels.targets[0].shape[1:],
        columns=shaped.columns,
        sizes=(len(train), len(valid), len(y_test)),
        folds=len(split.folds),
        notes=(*raw.notes, *shaped.notes, *_split_notes(split, labels)),
    )
    return Content(summary, arrays, split.folds)


def _test_set(shaped: Shaped, split: Split, labels: Labels) -> tuple[Ordered, AnyArray]:
    """Return the given test set as it comes, or the rows that the split put aside."""
    train, test = labels.stored
    if shaped.test is not None and test is not None:
        return Ordered(shaped.test, np.arange(len(test))), test
    rows = split.test if split.test is not None else np.arange(0)
    return Ordered(shaped.train, rows), train[rows]


def _split_notes(split: Split, labels: Labels) -> tuple[str, ...]:
    notes = []
    used = len(split.dev) + (0 if split.test is None else len(split.test))
    if used < len(labels.train):
        how = "stratified" if labels.classes else "random"
        notes.append(f"a {how} subset of {used:,} of {len(labels.train):,} samples")
    if len(split.folds) > 1:
        notes.append(
            f"under {FEWEST_VALIDATION} validation samples: {FOLDS} folds x {REPEATS} repeats are averaged"
        )
    return tuple(notes)
