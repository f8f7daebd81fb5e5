"""Samples that are read a few at a time, so that a data set need not fit in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]

CHUNK_BYTES = 16 * 2**20


class Rows(Protocol):
    """Samples along the first axis of an array that may not exist as a whole."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape as an array's, the samples' axis first."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of what `take` returns."""

    def take(self, indices: IntArray) -> AnyArray:
        """Return these samples, in this order."""


@dataclass(frozen=True)
class ArrayRows:
    """The rows of an array, in memory or memory-mapped."""

    array: AnyArray

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's type."""
        return self.array.dtype

    def take(self, indices: IntArray) -> AnyArray:
        """Return a copy of these rows."""
        rows: AnyArray = np.asarray(self.array[indices])
        return rows


@dataclass(frozen=True)
class View:
    """Other rows, with each sample in another shape and type, or with only some of its columns.

    `kept` are the columns of a flattened sample that remain; all of them if it is None.
    """

    rows: Rows
    sample_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    kept: IntArray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The samples' axis and `sample_shape`."""
        return (self.rows.shape[0], *self.sample_shape)

    def take(self, indices: IntArray) -> AnyArray:
        """Return these samples in the view's shape and type; what the type cannot hold becomes infinite."""
        taken = self.rows.take(indices)
        if self.kept is not None:
            taken = taken.reshape(len(taken), -1)[:, self.kept]
        with np.errstate(over="ignore"):
            return taken.reshape(-1, *self.sample_shape).astype(self.dtype, copy=False)


def chunks(rows: Rows, order: IntArray, chunk_bytes: int = CHUNK_BYTES) -> Iterator[AnyArray]:
    """Yield the samples in this order, as many at a time as fit in `chunk_bytes` (one at least)."""
    row_bytes = max(1, int(np.prod(rows.shape[1:])) * rows.dtype.itemsize)
    step = max(1, chunk_bytes // row_bytes)
    for start in range(0, len(order), step):
        yield rows.take(order[start : start + step])
