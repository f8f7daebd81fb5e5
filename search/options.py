"""What the commands share: options, where things are kept, one JSON document on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from hardware_profiles.connection import Connection
    from search.limits import Limits
    from search.places import Places

F = TypeVar("F", bound=Callable[..., Any])
PIPED_COLUMNS = 160
"""How wide tables are where there is no terminal to ask."""


def example(line: str) -> str:
    """Return the end of a command's help: an example."""
    return f"\b\nExample:\n  {line}"


def add(function: F, options: tuple[Callable[[F], F], ...]) -> F:
    """Decorate a function with options, the first one on top."""
    for option in reversed(options):
        function = option(function)
    return function


storage_option = click.option(
    "--storage",
    metavar="URL",
    envvar="EDGESEARCH_STORAGE",
    help="Optuna storage in place of the home's own; ${VAR} is filled in.",
)
tracking_option = click.option(
    "--tracking-uri",
    metavar="URL",
    envvar="EDGESEARCH_TRACKING_URI",
    help="MLflow store or server in place of the home's own; ${VAR} is filled in.",
)


def limit_options(function: F) -> F:
    """Add the hard limits."""
    return add(
        function,
        (
            click.option("--max-latency-ms", metavar="TIME", help="Milliseconds, or 800us, 1s."),
            click.option("--max-model-bytes", metavar="SIZE", help="Bytes of the .tflite, or 64K, 1M."),
            click.option("--max-compressed-bytes", metavar="SIZE", help="Of the .tflite deflated."),
            click.option("--max-arena-bytes", metavar="SIZE", help="Working memory, or 20K."),
            click.option("--max-energy-mj", metavar="MJ", type=float, help="Of one inference."),
            click.option("--min-accuracy", metavar="SHARE", type=float, help="Of the study's metric."),
            click.option(
                "--max-accuracy-drop",
                metavar="POINTS",
                type=float,
                help="Against --model (1 is one hundredth).",
            ),
        ),
    )


json_option = click.option("--json", "to_json", is_flag=True, help="One JSON document on standard output.")


LIMIT_OPTIONS = {
    "max_latency_ms": "latency_ms",
    "max_model_bytes": "model_bytes",
    "max_compressed_bytes": "compressed_bytes",
    "max_arena_bytes": "arena_bytes",
    "max_energy_mj": "energy_mj",
    "min_accuracy": "accuracy",
    "max_accuracy_drop": "accuracy_drop",
}
"""What a plan calls the limits that the options give."""


def limits_of(flags: dict[str, Any]) -> dict[str, Any]:
    """Take the limits out of a command's options; return those given, by the names a plan has for them."""
    given = {name: flags.pop(option) for option, name in LIMIT_OPTIONS.items()}
    return {name: value for name, value in given.items() if value is not None}


def checked_limits(given: dict[str, Any]) -> Limits:
    """Return limits given on the command line. Raises StudyError for what is none."""
    from pydantic import ValidationError

    from search.errors import StudyError
    from search.limits import Limits

    try:
        return Limits.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        reason = str(first["msg"]).removeprefix("Value error, ")
        shown = "" if "got " in reason else f", got {first['input']!r}"
        raise StudyError(f"the limit on {first['loc'][0]}: {reason}{shown}") from error


def as_json(value: object) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def connection_options(function: F) -> F:
    """Add where the device is."""
    return add(
        function,
        (
            click.option(
                "--on",
                metavar="WHERE",
                help="ssh://user@host, adb://serial, command:./program, replay:FILE, local or estimated.",
            ),
            click.option("--delegate", metavar="LIBRARY", help="With ssh and local: libedgetpu.so.1, say."),
            click.option("--benchmark-model", metavar="FILE", help="With adb: LiteRT's program for Android."),
            click.option(
                "--python", metavar="PATH", help="With ssh: ~/venv/bin/python there (default: python3)."
            ),
            click.option(
                "--record", metavar="FILE", help="Add what is measured to a recording, for replay:FILE."
            ),
            click.option("--accelerator", metavar="NAME", help="With adb: cpu:4, gpu, nnapi, ..."),
        ),
    )


def connection_of(flags: dict[str, Any]) -> Connection | None:
    """Take where the device is out of a command's options. Raises DeviceError for what is no connection."""
    from hardware_profiles.connect import from_anywhere
    from hardware_profiles.connection import parse_connection
    from hardware_profiles.errors import DeviceError

    on, program = flags.pop("on"), flags.pop("benchmark_model")
    delegate, accelerator, python = (flags.pop(name) for name in ("delegate", "accelerator", "python"))
    record = flags.pop("record")
    if on is None:
        if given := next(
            (n for n in (delegate, program, accelerator, python, record) if n is not None), None
        ):
            raise DeviceError(f"'{given}' says how a device is reached; say where it is as well, with --on")
        return None
    path = None if program is None else folder(program)
    connection = parse_connection(
        on,
        delegate=delegate,
        benchmark_model=path,
        accelerator=accelerator,
        python=python,
        record=None if record is None else folder(record).absolute(),
    )
    return from_anywhere(connection)


def places(
    storage: str | None = None,
    tracking_uri: str | None = None,
    ray_address: str | None = None,
    connection: Connection | None = None,
) -> Places:
    """Return where things are kept and where the device is, by the options and the environment."""
    from search.home import find_home
    from search.places import Places

    return Places(find_home(), storage, tracking_uri, ray_address, connection)


def out() -> Console:
    """Return a console for tables on standard output."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS)


def say(text: str) -> None:
    """Print a line on standard error."""
    click.echo(text, err=True)


def folder(path: str) -> Path:
    """Return a path that a user wrote, `~` filled in."""
    return Path(path).expanduser()
