"""The columns of a table in C: their names, which of them the model looks at, and the codes of categories."""

from objectives.datasets.spec import Column
from search.firmware.c_source import c_lines, c_texts
from search.shipment import Shipment

BOOLEANS = {"False", "True"}


def columns_of(shipment: Shipment) -> tuple[Column, ...]:
    """Return the columns of a table, or the channels where the model was found not to need them all."""
    data = shipment.study.data
    if data.columns:
        return data.columns
    if shipment.record.evidence.inputs_used is None:
        return ()
    return tuple(Column(name=f"channel {i}") for i in range(data.input_shape[-1]))


def column_values(columns: tuple[Column, ...], used: tuple[int, ...] | None) -> dict[str, str]:
    """Return what the templates columns.h and columns.c are filled in with."""
    needed = ["1" if used is None or place in used else "0" for place in range(len(columns))]
    return {
        "column_names": c_texts([column.name for column in columns]),
        "column_needed": c_lines(needed),
        "category_texts": "".join(_texts(place, column) for place, column in enumerate(columns)),
        "category_tables": "\n".join(_table(place, column) for place, column in enumerate(columns)),
    }


def _texts(place: int, column: Column) -> str:
    if not column.categories:
        return ""
    return f"static const char *const kTexts{place}[] = {{\n{c_texts(column.categories)}\n}};\n"


def _table(place: int, column: Column) -> str:
    if not column.categories:
        return "  {0, 0, 0},"
    any_case = int(set(column.categories) == BOOLEANS)  # as infer.py reads them
    return f"  {{kTexts{place}, {len(column.categories)}, {any_case}}},"
