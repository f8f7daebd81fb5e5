"""Tables with named columns: `.csv` and `.parquet` files and pandas frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from objectives.datasets.raw import Part, Raw
from objectives.datasets.rows import AnyArray, ArrayRows
from objectives.datasets.spec import Column, DataSpec
from objectives.datasets.wording import listing, one_line, suggestion
from objectives.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

# A text column with more categories than this share of its rows holds names or ids, not kinds of something.
MANY_CATEGORIES = 0.5


def load_table(spec: DataSpec, path: Path) -> Raw:
    """Read the file; `spec.target` is what to predict, every other column but `spec.group` an input.

    Raises DataError if the file cannot be read, a named column is not there, or a column holds what
    is neither numbers nor categories.
    """
    frame, notes = _without_row_numbers(_read_frame(path))
    target = _target(spec, list(frame.columns))
    groups = None if spec.group is None else _column(frame, spec.group, "group").to_numpy()
    labels = _column(frame, target, "target").to_numpy()
    inputs = frame.drop(columns=[target, *([spec.group] if spec.group else [])])
    values, columns, more = encode_frame(inputs)
    part = Part(ArrayRows(values), labels, groups)
    return Raw(name=path.stem, train=part, columns=columns, notes=notes + more)


def encode_frame(frame: "pd.DataFrame") -> tuple[AnyArray, tuple[Column, ...], tuple[str, ...]]:
    """Return the frame as float32 (rows, columns), what its columns are, and what is worth saying of them.

    Numbers stay numbers, categories (text, booleans, pandas categories) become their place in the
    column's sorted list; what is missing becomes NaN.
    """
    if not len(frame.columns):
        raise DataError(
            "a table needs at least one input column beside its target and group, got none; add one"
        )
    values = np.empty((len(frame), len(frame.columns)), np.float32)
    columns = []
    for place, name in enumerate(frame.columns):
        values[:, place], column = _encode(frame.iloc[:, place], str(name))
        columns.append(column)
    many = [c.name for c in columns if len(c.categories or ()) > max(20, MANY_CATEGORIES * len(frame))]
    notes = (
        [f"column {listing(many)}: nearly every row has its own category, as names and ids have"]
        if many
        else []
    )
    return values, tuple(columns), tuple(notes)


def _encode(series: "pd.Series[float]", name: str) -> tuple[AnyArray, Column]:
    import pandas as pd

    if pd.api.types.is_bool_dtype(series.dtype) or not pd.api.types.is_numeric_dtype(series.dtype):
        return _encode_categories(series, name)
    if pd.api.types.is_complex_dtype(series.dtype):
        raise DataError(f"column '{name}' holds complex numbers; give real and imaginary part as two columns")
    with np.errstate(over="ignore"):
        numbers: AnyArray = series.to_numpy(np.float64, na_value=np.nan).astype(np.float32)
    return numbers, Column(name=name)


def _encode_categories(series: "pd.Series[float]", name: str) -> tuple[AnyArray, Column]:
    import pandas as pd

    missing = series.isna().to_numpy()
    if isinstance(series.dtype, pd.CategoricalDtype):
        table = [str(category) for category in series.cat.categories]
        codes = series.cat.codes.to_numpy()
    else:
        _check_categories(series[~missing], name)
        codes, table = _factorize(series[~missing].astype(str).to_numpy(str), missing)
    numbers = np.where(missing, np.float32("nan"), codes.astype(np.float32))
    return numbers, Column(name=name, categories=tuple(table))


def _factorize(texts: AnyArray, missing: AnyArray) -> tuple[AnyArray, list[str]]:
    table, places = np.unique(texts, return_inverse=True)
    codes = np.zeros(len(missing), np.int64)
    codes[~missing] = places
    return codes, [str(text) for text in table]


def _check_categories(series: "pd.Series[float]", name: str) -> None:
    """Refuse what is neither text nor booleans: dates, lists, decimals."""
    strange = next((value for value in series if not isinstance(value, str | bool | np.bool_)), None)
    if strange is not None:
        raise DataError(
            f"a column holds numbers or categories (text, booleans), and '{name}' holds "
            f"{type(strange).__name__}; "
            "make numbers or text of it, or leave it out"
        )


def _read_frame(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path, low_memory=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"'{path}' cannot be read as {path.suffix} ({one_line(error)}); check the path and the file"
        ) from error
    frame.columns = pd.Index([str(name) for name in frame.columns])
    return frame


def _without_row_numbers(frame: "pd.DataFrame") -> tuple["pd.DataFrame", tuple[str, ...]]:
    """Drop the row index that pandas writes as a nameless first column: order is no input."""
    first = str(frame.columns[0]) if len(frame.columns) else ""
    if first != "Unnamed: 0" or not np.array_equal(frame[first].to_numpy(), np.arange(len(frame))):
        return frame, ()
    return frame.drop(columns=[first]), ("the nameless first column numbers the rows and was left out",)


def _target(spec: DataSpec, names: Sequence[str]) -> str:
    if spec.target is None:
        raise DataError(
            f"'{spec.source}' needs the column to predict; name it with --target, one of {listing(names)}"
        )
    if spec.target == spec.group:
        raise DataError(
            f"target and group are two columns, got '{spec.target}' for both; name another --group"
        )
    return spec.target


def _column(frame: "pd.DataFrame", name: str, role: str) -> "pd.Series[float]":
    names = [str(column) for column in frame.columns]
    if names.count(name) == 1:
        return frame[name]
    hint = suggestion(name, names) or ("; are its columns separated by commas?" if len(names) == 1 else "")
    raise DataError(f"the table has no {role} column '{name}'{hint} (its columns: {listing(names)})")
