"""Arrays under names: `.npz` files and what a user's function returns.

The names are `x` and `y`, or `x_train`, `y_train`, `x_test` and `y_test`.
"""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from objectives.datasets.callables import load_callable
from objectives.datasets.raw import Part, Raw
from objectives.datasets.rows import AnyArray, ArrayRows
from objectives.datasets.spec import Column, DataSpec
from objectives.datasets.tables import encode_frame
from objectives.datasets.wording import listing, one_line
from objectives.errors import DataError

WHOLE = ("x", "y")
SPLIT = ("x_train", "y_train", "x_test", "y_test")
LOCAL_HEADER_BYTES = 30


def load_npz(spec: DataSpec, path: Path) -> Raw:
    """Read a `.npz`. What `np.savez` stored is memory-mapped in place, so it may be larger than memory.

    Raises DataError if it cannot be read or lacks the names.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = _wanted(spec.group)
            infos = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
            arrays = {n: _member(archive, i, path) for n, i in infos.items() if n in wanted}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"'{path}' cannot be read as .npz ({one_line(error)}); check the path and the file"
        ) from error
    return _from_names(arrays, path.stem, spec, tuple(infos))


def load_from_callable(spec: DataSpec) -> Raw:
    """Call `package.module:function`, which returns (x, y), (x_train, y_train, x_test, y_test) or a dict.

    The dict has the names that a .npz has.

    Raises DataError if there is no such function, if it raises, or if it returns something else.
    """
    function = load_callable(spec.source, DataError)
    try:
        answer = function()
    except Exception as error:  # whatever a user's function raises
        raise DataError(
            f"'{spec.source}' failed with {one_line(error)}; it is called without arguments and "
            "returns (x, y)"
        ) from error
    name = spec.source.rpartition(":")[2]
    if isinstance(answer, Mapping):
        return _from_names(answer, name, spec, tuple(str(key) for key in answer))
    if isinstance(answer, tuple | list) and len(answer) in (len(WHOLE), len(SPLIT)):
        names = WHOLE if len(answer) == len(WHOLE) else SPLIT
        return _from_names(dict(zip(names, answer, strict=True)), name, spec, names)
    got = f"{len(answer)} things" if isinstance(answer, tuple | list) else type(answer).__name__
    raise DataError(
        f"'{spec.source}' returns (x, y), (x_train, y_train, x_test, y_test) or a dict with these "
        f"names, got {got}"
    )


def _wanted(group: str | None) -> set[str]:
    return {*WHOLE, *SPLIT, *([group, f"{group}_train", f"{group}_test"] if group else [])}


def _from_names(arrays: Mapping[str, Any], name: str, spec: DataSpec, names: tuple[str, ...]) -> Raw:
    given = all(n in arrays for n in SPLIT)
    if given == all(n in arrays for n in WHOLE):
        raise DataError(
            f"'{spec.source}' holds arrays named x and y, or x_train, y_train, x_test and y_test, "
            f"got {listing(names) or 'none'}; rename them"
        )
    xs = [arrays[n] for n in (("x_train", "x_test") if given else ("x",))]
    inputs, columns, notes = _inputs(xs, spec)
    ends = ("_train", "_test") if given else ("",)
    parts = [_part(arrays, spec, end, x, names) for end, x in zip(ends, inputs, strict=True)]
    return Raw(name=name, train=parts[0], test=parts[1] if given else None, columns=columns, notes=notes)


def _part(arrays: Mapping[str, Any], spec: DataSpec, end: str, x: AnyArray, names: tuple[str, ...]) -> Part:
    if spec.group is None:
        return Part(ArrayRows(x), _array(arrays["y" + end], spec))
    if spec.group + end not in arrays:
        raise DataError(
            f"'{spec.source}' has no group array '{spec.group}{end}', got {listing(names)}; add it "
            "or leave out --group"
        )
    return Part(ArrayRows(x), _array(arrays["y" + end], spec), _array(arrays[spec.group + end], spec))


def _array(value: Any, spec: DataSpec) -> AnyArray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"'{spec.source}' gives what is no array ({one_line(error)}); make all samples of one shape"
        ) from error


def _inputs(
    xs: list[Any], spec: DataSpec
) -> tuple[list[AnyArray], tuple[Column, ...] | None, tuple[str, ...]]:
    """Return the inputs as arrays; pandas frames keep their names, and share one table of categories."""
    if not all(hasattr(x, "columns") and hasattr(x, "iloc") for x in xs):
        return [_array(x, spec) for x in xs], None, ()
    import pandas as pd

    if any(list(x.columns) != list(xs[0].columns) for x in xs):
        raise DataError(
            f"the test set has the columns of the train set, {listing([str(c) for c in xs[0].columns])}, "
            f"got {listing([str(c) for c in xs[1].columns])}; give both the same"
        )
    values, columns, notes = encode_frame(pd.concat(xs, ignore_index=True))
    return np.split(values, np.cumsum([len(x) for x in xs])[:-1]), columns, notes


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> AnyArray:
    """Return an array of the archive: mapped where it lies if it is stored plainly, else read."""
    with archive.open(info) as stream:
        header = _header(stream)
        header_bytes = stream.tell()
    if header is None or info.compress_type != zipfile.ZIP_STORED:
        return _read_member(archive, info, path)
    shape, fortran, dtype = header
    if dtype.hasobject or not np.prod(shape):
        return _read_member(archive, info, path)
    offset = _content_offset(path, info) + header_bytes
    return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> AnyArray:
    import psutil

    if info.file_size > psutil.virtual_memory().available:
        raise DataError(
            f"array '{info.filename}' of '{path}' is compressed and larger than the free memory "
            f"({info.file_size:,} bytes); store it with np.savez, and it is read where it lies"
        )
    with archive.open(info) as stream:
        array: AnyArray = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]] | None:
    """Read a .npy header; None for the rare version that numpy reads only as a whole."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    reader = readers.get(np.lib.format.read_magic(stream))
    return None if reader is None else reader(stream)


def _content_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Return where a stored member's bytes begin: after its local header, whose name and extra field vary.

    Layout: PKWARE APPNOTE.TXT 4.3.7.
    """
    with path.open("rb") as file:
        file.seek(info.header_offset)
        header = file.read(LOCAL_HEADER_BYTES)
    name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
    return info.header_offset + LOCAL_HEADER_BYTES + int(name_bytes) + int(extra_bytes)
