"""Values as C source that every compiler reads alike, whatever users named their columns and classes."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from search.errors import StudyError

Array = np.ndarray[Any, np.dtype[Any]]
WIDTH = 100
C_TYPES = {
    "float32": "float", "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t",
    "int32": "int32_t",
}  # fmt: skip
# What ends or changes a string: quotes and backslashes, and the question marks that trigraphs begin with.
_UNSAFE = frozenset(b'"\\?')


def c_type(dtype: str, what: str) -> str:
    """Return the C type of values of a numpy type. Raises StudyError for one that firmware cannot take."""
    if dtype not in C_TYPES:
        raise StudyError(
            f"firmware takes {', '.join(C_TYPES)}, but {what} is {dtype}; use infer.py, or export another "
            "trial"
        )
    return C_TYPES[dtype]


def c_string(text: str) -> str:
    """Return a string literal of a text in UTF-8, of plain ASCII characters.

    Octal escapes are used, for they end after three digits; hexadecimal ones swallow what follows. Raises
    StudyError for a NUL, with which every C string ends.
    """
    data = text.encode(errors="replace")
    if b"\0" in data:
        raise StudyError(f"a text in C cannot hold the character NUL, got {text!r}; rename it in the data")
    return '"' + "".join(_character(byte) for byte in data) + '"'


def _character(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 and byte not in _UNSAFE else f"\\{byte:03o}"


def c_float(value: Any) -> str:
    """Return the shortest literal that reads back as the same float32. Raises StudyError if not finite."""
    number = np.float32(value)
    if not np.isfinite(number):
        raise StudyError(f"a literal in C is a finite float32, got {value}; export another trial")
    return np.format_float_scientific(number, trim="0", exp_digits=1) + "f"


def c_values(values: Array) -> str:
    """Return the values of an array, flattened, as lines of an initializer."""
    flat = values.ravel()
    if flat.dtype.kind == "f":
        return c_lines(map(c_float, flat))
    return c_lines(map(str, flat.tolist()))


def c_rows(values: Array) -> str:
    """Return an initializer's lines for an array of rows, (rows, *shape)."""
    return "\n".join(f"  {{\n{c_values(row)}\n  }}," for row in values)


def c_lines(items: Iterable[str]) -> str:
    """Return items of an initializer, as many on a line as fit, two columns in."""
    lines, line = [], " "
    for item in items:
        if len(line) + len(item) + 2 > WIDTH and line.strip():
            lines.append(line)
            line = " "
        line += f" {item},"
    return "\n".join([*lines, line])


def c_texts(texts: Sequence[str]) -> str:
    """Return an initializer's lines for texts, one on each."""
    return "\n".join(f"  {c_string(text)}," for text in texts)
