"""`edgesearch measure`: any model, measured properly, without a study."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from search.options import (
    as_json,
    connection_of,
    connection_options,
    example,
    folder,
    json_option,
    out,
    places,
    say,
)

if TYPE_CHECKING:
    from hardware_profiles.connection import Connection
    from search.measured import Measured


@click.command(epilog=example("edgesearch measure float.tflite int8.tflite --device this-machine"))
@click.argument("models", nargs=-1, required=True, metavar="MODEL.tflite...")
@click.option("--device", metavar="NAME", default="this-machine", show_default=True, help="See `devices`.")
@click.option("--threads", type=int, metavar="N", default=1, show_default=True, help="That a model may use.")
@connection_options
@json_option
def measure(models: tuple[str, ...], device: str, threads: int, to_json: bool, **flags: Any) -> None:
    """Measure a .tflite on a device: latency with its spread, bytes, memory, and whether its outputs agree.

    Several are measured in turn and held side by side: which is quicker, and whether int8 really is.
    """
    from search.measured import as_row
    from search.measuring import measure as measured

    where = places(connection=connection_of(flags))
    with _telling(_doing(device, where.connection)) as tell:
        found = measured([folder(model) for model in models], device, threads, where, tell)
    if to_json:
        rows = [as_row(one) for one in found]
        as_json(rows[0] if len(rows) == 1 else rows)
    else:
        _show(found)
    _complain(found)


def _doing(device: str, connection: Connection | None) -> str:
    from hardware_profiles.connect import is_estimated

    if is_estimated(connection):
        return f"estimating for {device}"
    return f"measuring on {device}" + (f" over {connection}" if connection else "")


@contextmanager
def _telling(what: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal that something goes on; yield what tells a line."""
    if not sys.stderr.isatty():
        yield say
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(what):
        yield lambda text: console.print(text, markup=False, highlight=False)


def _show(found: Sequence[Measured]) -> None:
    from search.measured_sheet import beside, sheet
    from search.quicker import verdicts

    console, known = out(), [one for one in found if one.content is not None]
    for one in known:
        console.print(sheet(one))
        console.print()
    if len(known) > 1:
        console.print(beside(known))
        console.print()
        for sentence in verdicts(known):
            print(sentence)


def _complain(found: Sequence[Measured]) -> None:
    """Tell every file that failed in a line of its own, the last one by the error that ends the command."""
    from search.errors import StudyError

    errors = list(dict.fromkeys(one.error for one in found if one.error))
    for error in errors[:-1]:
        say(f"error: {' '.join(error.split())}")
    if errors:
        raise StudyError(errors[-1])
