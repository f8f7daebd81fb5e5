"""Turns the name of a data set into the data: bundled, file, folder or a user's function."""

import os
from pathlib import Path

from objectives.datasets.arrays import load_from_callable, load_npz
from objectives.datasets.bundled import BUNDLED
from objectives.datasets.callables import is_reference
from objectives.datasets.fashion import load_fashion_mnist
from objectives.datasets.folders import load_folder
from objectives.datasets.raw import Raw
from objectives.datasets.spec import DataSpec
from objectives.datasets.tables import load_table
from objectives.datasets.wording import suggestion
from objectives.errors import DataError

NAMES = {**BUNDLED, "fashion-mnist": load_fashion_mnist}
TABLE_SUFFIXES = (".csv", ".parquet")
FORMS = (
    f"a name ({', '.join(NAMES)}), a .npz, .csv or .parquet file, a folder of images with a folder "
    "per class, "
    "or package.module:function"
)


def load(spec: DataSpec) -> Raw:
    """Return the data set that `spec.source` names, unchecked.

    Raises DataError on one line if there is no such data, if it cannot be read, or if the spec has an
    option that this kind of source does not know.
    """
    path = Path(os.path.expanduser(spec.source))  # noqa: PTH111 - pathlib's raises for an unknown ~user
    if spec.source in NAMES:
        _refuse_options(spec, "a bundled data set", "target", "group", "image_size")
        return NAMES[spec.source]()
    if is_reference(spec.source):
        _refuse_options(spec, "a function", "target", "image_size")
        return load_from_callable(spec)
    if path.is_dir():
        _refuse_options(spec, "a folder of images", "target", "group")
        return load_folder(spec, path)
    return _load_file(spec, path)


def _load_file(spec: DataSpec, path: Path) -> Raw:
    if not path.is_file():
        raise _unknown(spec.source, path)
    suffix = path.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        _refuse_options(spec, f"a {suffix} file", "image_size")
        return load_table(spec, path)
    if suffix == ".npz":
        _refuse_options(spec, "a .npz file", "target", "image_size")
        return load_npz(spec, path)
    raise DataError(
        f"a data file ends in .npz, .csv or .parquet, got '{spec.source}'; convert it to one of these"
    )


def _unknown(source: str, path: Path) -> DataError:
    if path.suffix.lower() in (*TABLE_SUFFIXES, ".npz") or os.sep in source:
        near = [str(path.parent / p.name) for p in path.parent.iterdir()] if path.parent.is_dir() else []
        return DataError(
            f"there is no file or folder '{source}'{suggestion(str(path), near)} (looked in {Path.cwd()})"
        )
    return DataError(f"no data named '{source}'{suggestion(source, NAMES)} (data is {FORMS})")


def _refuse_options(spec: DataSpec, what: str, *options: str) -> None:
    for option in options:
        value = getattr(spec, option)
        if value is not None:
            flag = "--" + option.replace("_", "-")
            raise DataError(
                f"{what} has no use for {flag}, got {value!r} with '{spec.source}'; leave {flag} out"
            )
