"""Decides what the samples are (table, image, series) and brings them to the shape that this has inside.

A table is (samples, columns) float32, images are (samples, height, width, channels) uint8 or float32,
a series is (samples, time, 1, channels) float32.
"""

from dataclasses import dataclass

import numpy as np

from objectives.datasets.raw import Raw
from objectives.datasets.rows import CHUNK_BYTES, Rows, View, chunks
from objectives.datasets.spec import Column, Kind
from objectives.errors import DataError

TABLE_AXES, GREY_AXES, IMAGE_AXES = 2, 3, 4
COMMON_CHANNELS = (1, 3, 4)
BYTE_MAX = 255


@dataclass(frozen=True)
class Shaped:
    """The samples in their inside shape; `columns` are there for tables alone."""

    kind: Kind
    train: Rows
    test: Rows | None
    columns: tuple[Column, ...] | None
    notes: tuple[str, ...]


def shape_samples(raw: Raw, wanted: Kind | None, chunk_bytes: int = CHUNK_BYTES) -> Shaped:
    """Choose the kind, or take the wanted one, and view train and test accordingly.

    Raises DataError if the array has no such kind, is no array of numbers, or if the test set has
    another shape than train.
    """
    outer = raw.train.x.shape
    _refuse_strange(raw)
    kind = wanted or default_kind(outer)
    shape = _sample_shape(outer, kind, raw.columns)
    dtype = np.dtype(np.uint8 if kind == "image" and _are_bytes(raw, chunk_bytes) else np.float32)
    test = None if raw.test is None else View(raw.test.x, shape, dtype)
    columns = (raw.columns or _numbered(shape[0])) if kind == "table" else None
    return Shaped(kind, View(raw.train.x, shape, dtype), test, columns, _notes(outer, kind, shape, wanted))


def default_kind(shape: tuple[int, ...]) -> Kind:
    """2 axes are a table, 4 are images, 3 are grey images if square and else a series (time x channels)."""
    if len(shape) == TABLE_AXES:
        return "table"
    if len(shape) == GREY_AXES and shape[1] != shape[2]:
        return "series"
    return "image"


def _sample_shape(outer: tuple[int, ...], kind: Kind, columns: tuple[Column, ...] | None) -> tuple[int, ...]:
    axes = len(outer)
    if kind == "table":
        return (int(np.prod(outer[1:])),)
    if kind == "image" and axes in (GREY_AXES, IMAGE_AXES):
        return outer[1:] if axes == IMAGE_AXES else (*outer[1:], 1)
    if kind == "series" and any(column.categories for column in columns or ()):
        raise DataError("a series holds numbers, and some columns are categories; leave out --kind series")
    if kind == "series" and axes == TABLE_AXES:
        return (outer[1], 1, 1)
    if kind == "series" and axes == GREY_AXES:
        return (outer[1], 1, outer[2])
    if kind == "series" and outer[2] == 1:
        return outer[1:]
    needs = "height and width" if kind == "image" else "time and channels (or time, 1, channels)"
    raise DataError(
        f"samples of kind {kind} have {needs}, got an array of shape {outer}; choose another --kind"
    )


def _refuse_strange(raw: Raw) -> None:
    x, test = raw.train.x, raw.test
    if not TABLE_AXES <= len(x.shape) <= IMAGE_AXES or 0 in x.shape[1:]:
        raise DataError(
            "x has 2 axes (a table), 3 (series, grey images) or 4 (images), none empty, got shape "
            f"{x.shape}; reshape it"
        )
    for rows in (x, *([test.x] if test else [])):
        if rows.dtype.kind not in "biuf":
            raise DataError(
                f"x holds numbers, got {rows.dtype}; give categories as codes, or all of it as a .csv"
            )
    if test is not None and test.x.shape[1:] != x.shape[1:]:
        raise DataError(
            f"a test sample has the shape of a train sample, {x.shape[1:]}, got "
            f"{test.x.shape[1:]}; give both the same"
        )


def _are_bytes(raw: Raw, chunk_bytes: int) -> bool:
    """Tell whether all pixels are whole numbers of 0 to 255 by type and value, in train and test alike."""
    parts = [raw.train.x, *([raw.test.x] if raw.test else [])]
    whole = [rows.dtype.kind in "bui" for rows in parts]
    if len(set(whole)) > 1:
        raise DataError(
            f"train and test images are of one type, got {parts[0].dtype} and {parts[1].dtype}; "
            "scale both alike"
        )
    return whole[0] and all(_within_bytes(rows, chunk_bytes) for rows in parts)


def _within_bytes(rows: Rows, chunk_bytes: int) -> bool:
    if rows.dtype.itemsize == 1 and rows.dtype.kind in "bu":
        return True
    order = np.arange(rows.shape[0])
    return all(chunk.min() >= 0 and chunk.max() <= BYTE_MAX for chunk in chunks(rows, order, chunk_bytes))


def _numbered(columns: int) -> tuple[Column, ...]:
    return tuple(Column(name=f"column {place}") for place in range(columns))


def _notes(
    outer: tuple[int, ...], kind: Kind, shape: tuple[int, ...], wanted: Kind | None
) -> tuple[str, ...]:
    why = "as asked with --kind" if wanted else f"by its {len(outer)} axes; --kind overrides"
    said = f"taken as {describe(kind, shape)}, {why}"
    if kind == "image" and shape[2] not in COMMON_CHANNELS and shape[0] in COMMON_CHANNELS:
        return (
            said,
            f"if the {shape[0]} are channels, put that axis last: (samples, height, width, channels)",
        )
    return (said,)


def describe(kind: Kind, shape: tuple[int, ...]) -> str:
    """Return in words what one sample is; `shape` without the samples' axis."""
    if kind == "table":
        return f"a table of {shape[0]} columns"
    if kind == "series":
        return f"series of {shape[0]} time steps x {shape[2]} channels"
    return f"images of {shape[0]} x {shape[1]} x {shape[2]} (height x width x channels)"
