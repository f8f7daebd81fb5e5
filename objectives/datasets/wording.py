"""Small pieces of the sentences that this folder's errors and notes are made of."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

SHOWN = 6


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean '…'?" if something known looks like the name, else nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def listing(names: Sequence[str]) -> str:
    """Return the names quoted and with commas; of many, the first ones and how many more."""
    quoted = ", ".join(f"'{name}'" for name in names[:SHOWN])
    return quoted if len(names) <= SHOWN else f"{quoted} and {len(names) - SHOWN} more"


def one_line(error: BaseException) -> str:
    """Return what an error says, with its type, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return the number with its noun: "1 column", "3 columns"."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
