"""What the numbers of a data set must be: as many as labels, finite, and not all the same."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from objectives.datasets.kinds import Shaped
from objectives.datasets.raw import Part, Raw
from objectives.datasets.rows import CHUNK_BYTES, IntArray, Rows, View, chunks
from objectives.datasets.spec import Column
from objectives.datasets.wording import count, listing
from objectives.errors import DataError

COLUMNS_SHOWN = 3

BoolArray = npt.NDArray[np.bool_]


def check_lengths(raw: Raw) -> None:
    """Raise DataError unless every sample has its label, and its group where groups are given."""
    _check_part(raw.train, "train" if raw.test else "x")
    if raw.test is None:
        return
    _check_part(raw.test, "test")
    if raw.train.groups is not None and raw.test.groups is not None:
        both = np.intersect1d(raw.train.groups.astype(str), raw.test.groups.astype(str))
        if len(both):
            raise DataError(
                f"a group is never split across sets, and {listing([str(b) for b in both])} is in "
                "train and in the "
                "given test set; move its samples to one side"
            )


def _check_part(part: Part, what: str) -> None:
    if part.x.shape[:1] != part.y.shape[:1]:
        raise DataError(
            f"every sample has one label, got {part.x.shape[0] if part.x.shape else 0:,} samples and "
            f"{part.y.shape[0] if part.y.shape else 0:,} labels in {what}; bring x and y to one length"
        )
    if part.groups is None:
        return
    if part.groups.shape != part.y.shape[:1]:
        raise DataError(
            f"every sample has one group, got groups of shape {part.groups.shape} for "
            f"{count(len(part.y), 'sample')}; "
            "give one per sample"
        )
    _refuse_missing_groups(part)


def _refuse_missing_groups(part: Part) -> None:
    import pandas as pd

    missing = int(np.sum(pd.isna(part.groups)))
    if missing:
        raise DataError(
            f"every sample has a group, and {missing} have none; fill the group column or drop these rows"
        )


def check_finite(shaped: Shaped, chunk_bytes: int = CHUNK_BYTES) -> None:
    """Raise DataError for NaN or infinite values (as float32), with their columns and numbers."""
    for rows, part in ((shaped.train, "x"), (shaped.test, "the test set")):
        if rows is None or rows.dtype.kind != "f":
            continue
        nans, infinities = _count_broken(rows, chunk_bytes)
        if nans.any() or infinities.any():
            raise DataError(
                f"values must be finite, and {part} holds {_say_broken(nans, infinities, shaped.columns)}; "
                "fill them or drop their rows or columns"
            )


def _count_broken(rows: Rows, chunk_bytes: int) -> tuple[IntArray, IntArray]:
    """Return the numbers of NaN and of infinite values per column or channel, the last axis."""
    nans = np.zeros(rows.shape[-1], np.int64)
    infinities = np.zeros(rows.shape[-1], np.int64)
    for chunk in chunks(rows, np.arange(rows.shape[0]), chunk_bytes):
        flat = chunk.reshape(-1, rows.shape[-1])
        nans += np.isnan(flat).sum(axis=0)
        infinities += np.isinf(flat).sum(axis=0)
    return nans, infinities


def _say_broken(nans: IntArray, infinities: IntArray, columns: tuple[Column, ...] | None) -> str:
    places = np.flatnonzero(nans + infinities)
    names = [columns[p].name if columns else f"channel {p}" for p in places]
    shown = [
        f"{nans[p]:,} NaN and {infinities[p]:,} infinite in '{name}'"
        for p, name in list(zip(places, names, strict=True))[:COLUMNS_SHOWN]
    ]
    more = f" and some in {len(places) - COLUMNS_SHOWN} more" if len(places) > COLUMNS_SHOWN else ""
    return ", ".join(shown) + more


def drop_constant_columns(shaped: Shaped, train: IntArray, chunk_bytes: int = CHUNK_BYTES) -> Shaped:
    """Leave out a table's columns that have one value in these train rows, with a note that names them.

    Other kinds stay as they are. Raises DataError if no column would remain.
    """
    if shaped.columns is None:
        return shaped
    constant = _constant(shaped.train, train, chunk_bytes)
    if not constant.any():
        return shaped
    if constant.all():
        raise DataError("some column must vary, and all are constant on the train part; check the source")
    kept = np.flatnonzero(~constant)
    dropped = [shaped.columns[p].name for p in np.flatnonzero(constant)]
    note = f"{count(len(dropped), 'column')} constant on the train part left out: {listing(dropped)}"
    return replace(
        shaped,
        train=_only(shaped.train, kept),
        test=None if shaped.test is None else _only(shaped.test, kept),
        columns=tuple(shaped.columns[p] for p in kept),
        notes=(*shaped.notes, note),
    )


def _constant(rows: Rows, order: IntArray, chunk_bytes: int) -> BoolArray:
    low = np.full(rows.shape[1], np.inf, np.float32)
    high = -low
    for chunk in chunks(rows, order, chunk_bytes):
        low = np.minimum(low, chunk.min(axis=0))
        high = np.maximum(high, chunk.max(axis=0))
    return np.asarray(low == high)


def _only(rows: Rows, kept: IntArray) -> View:
    return View(rows, (len(kept),), rows.dtype, kept)
