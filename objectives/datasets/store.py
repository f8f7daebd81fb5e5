"""The prepared data on disk: memory-mapped arrays in a folder named after their content.

A folder holds `x_dev.npy`, `y_dev.npy`, `x_test.npy`, `y_test.npy`, `folds.npz` if there are several folds,
and `summary.json`. It is built under another name and renamed when it is whole, so what is there under
its digest is complete.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from pydantic import ValidationError

from objectives.datasets.rows import CHUNK_BYTES, AnyArray, ArrayRows, IntArray, Rows, chunks
from objectives.datasets.spec import DataSummary
from objectives.errors import DataError

FORMAT = 1
BUILDING = ".building-"
SUMMARY = "summary.json"


@dataclass(frozen=True)
class Ordered:
    """Rows in the order in which they are stored."""

    rows: Rows
    order: IntArray

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the stored array."""
        return (len(self.order), *self.rows.shape[1:])


@dataclass(frozen=True)
class Content:
    """All that a store holds; `summary` has no digest yet."""

    summary: DataSummary
    arrays: dict[str, Ordered]
    folds: tuple[tuple[IntArray, IntArray], ...]


@dataclass(frozen=True)
class Fold:
    """Which development rows train and which validate: slices if there is one fold, else row numbers."""

    train: slice | IntArray
    valid: slice | IntArray


@dataclass(frozen=True)
class Data:
    """Prepared data, read from disk as it is touched.

    `x_dev` (samples, …) and `y_dev` (samples,) int32 are train and validation together (where targets are
    no classes, `y_dev` is (samples, *target_shape), int32 or float32); `folds` tells
    which is which. The arrays are read-only memory maps: a worker opens the store itself rather
    than being sent one. The test set is read by `test()` alone, so that no search sees it by accident.
    """

    summary: DataSummary
    x_dev: AnyArray
    y_dev: AnyArray
    folds: tuple[Fold, ...]
    _folder: Path = field(repr=False)

    def test(self) -> tuple[AnyArray, AnyArray]:
        """Return the test set's x and y, for the final report only."""
        return _map(self._folder, "x_test"), _map(self._folder, "y_test")


def save(root: Path, content: Content, chunk_bytes: int = CHUNK_BYTES) -> DataSummary:
    """Write the content into `root/<digest>` unless it is there already; return its summary, with digest.

    Raises OSError if the disk is full, read-only or broken; nothing is left behind then.
    """
    if _resembles_a_store(root, content.summary):
        digest = _write(content, None, chunk_bytes)
        if (root / digest / SUMMARY).is_file():
            return content.summary.model_copy(update={"digest": digest})
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"), _building(root) as folder:
        digest = _write(content, folder, chunk_bytes)
        summary = content.summary.model_copy(update={"digest": digest})
        _finish(folder, root / digest, summary)
    return summary


def open_data(root: Path, digest: str) -> Data:
    """Open what `save` wrote; raises DataError if it is not there."""
    folder = root / digest
    try:
        summary = DataSummary.model_validate_json((folder / SUMMARY).read_text(encoding="utf-8"))
        return Data(
            summary, _map(folder, "x_dev"), _map(folder, "y_dev"), _read_folds(folder, summary), folder
        )
    except (OSError, ValueError) as error:
        raise DataError(
            f"no prepared data '{digest}' can be read in '{root}' ({type(error).__name__}); "
            "prepare it again by "
            f"starting the study with its --data, after removing '{folder}' if that exists"
        ) from error


def _resembles_a_store(root: Path, summary: DataSummary) -> bool:
    """Tell whether some finished store has this summary but for its name, notes and digest.

    Then it is likely the same data, and reading it for its digest is cheaper than writing it twice.
    """
    likely = ("kind", "input_shape", "dtype", "classes", "target_shape", "columns", "sizes", "folds")
    for path in root.glob(f"*/{SUMMARY}"):
        try:
            stored = DataSummary.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError):
            continue
        if all(getattr(stored, name) == getattr(summary, name) for name in likely):
            return True
    return False


def _write(content: Content, folder: Path | None, chunk_bytes: int) -> str:
    """Write the content into a folder, or nowhere, and return its digest: 16 hex digits of a SHA-256."""
    sha = hashlib.sha256()
    summary = content.summary.model_dump(mode="json", include={"kind", "classes", "columns"})
    sha.update(json.dumps([FORMAT, summary], sort_keys=True).encode())
    for name, ordered in content.arrays.items():
        _write_array(folder, name, ordered, chunk_bytes, sha.update)
    for pair in content.folds:
        for indices in pair:
            sha.update(len(indices).to_bytes(8, "little") + indices.astype("<i8").tobytes())
    if folder is not None and len(content.folds) > 1:
        np.savez(folder / "folds.npz", **_named_folds(content.folds))
    return sha.hexdigest()[:16]


def _write_array(
    folder: Path | None, name: str, ordered: Ordered, chunk_bytes: int, update: Callable[[bytes], None]
) -> None:
    """Write a .npy in chunks.

    Through a file, not a memory map: on a full disk that raises OSError, where a map kills the process.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(ordered.rows.dtype),
        "fortran_order": False,
        "shape": ordered.shape,
    }
    update(json.dumps([name, header], sort_keys=True).encode())
    with Path(os.devnull if folder is None else folder / f"{name}.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks(ordered.rows, ordered.order, chunk_bytes):
            content = np.ascontiguousarray(chunk).tobytes()
            update(content)
            file.write(content)


def _named_folds(folds: tuple[tuple[IntArray, IntArray], ...]) -> dict[str, Any]:
    return {
        f"{name}_{place}": indices
        for place, pair in enumerate(folds)
        for name, indices in zip(("train", "valid"), pair, strict=True)
    }


def _read_folds(folder: Path, summary: DataSummary) -> tuple[Fold, ...]:
    train, valid, _ = summary.sizes
    if summary.folds == 1:
        return (Fold(slice(0, train), slice(train, train + valid)),)
    try:
        with np.load(folder / "folds.npz") as stored:
            return tuple(Fold(stored[f"train_{k}"], stored[f"valid_{k}"]) for k in range(summary.folds))
    except KeyError as error:
        raise ValueError(f"fold {error} is missing") from error


@contextmanager
def _building(root: Path) -> Iterator[Path]:
    """Yield a folder to build in, gone afterwards. The caller holds the lock, so others are left-overs."""
    for left_over in root.glob(f"{BUILDING}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=BUILDING, dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _finish(folder: Path, target: Path, summary: DataSummary) -> None:
    """Bring a whole folder under its name; bytes reach the disk before the name does."""
    (folder / SUMMARY).write_text(summary.model_dump_json(indent=2) + "\n", encoding="utf-8")
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if not (target / SUMMARY).is_file():
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)


def _map(folder: Path, name: str) -> Any:
    return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def stored(array: AnyArray) -> Ordered:
    """Return an array that is stored as it is."""
    return Ordered(ArrayRows(array), np.arange(len(array)))
