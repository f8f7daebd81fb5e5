"""The command line. Commands import what they need when they run, so that `--help` answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from search.commands.devices import devices
from search.commands.export import export
from search.commands.study import study
from search.commands.upkeep import doctor, sync, ui
from search.commands.views import front, studies, trials

INTERRUPTED = 130
ROOMS = ("search.errors", "spaces.errors", "objectives.errors", "hardware_profiles.errors")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="edgesearch")
def edgesearch() -> None:
    """Search models that really run on your device: trained, compressed, measured, ready to ship.

    \b
    edgesearch study --data digits --device this-machine --trials 30
    edgesearch front STUDY
    edgesearch export STUDY --to my-model
    """


for command in (devices, study, studies, trials, front, export, sync, ui, doctor):
    edgesearch.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 nothing fits, 2 cannot be done as asked, 130 interrupted."""
    sys.path[:] = [entry for entry in sys.path if entry]
    try:
        code = edgesearch.main(args=arguments, prog_name="edgesearch", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("interrupted; the same command goes on from here", err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        _complain(error.format_message(), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ValueError as error:
        if not any(base.__module__ in ROOMS for base in type(error).__mro__):
            raise
        _complain(str(error), getattr(error, "exit_code", 2))


def _complain(message: str, code: int) -> NoReturn:
    from search.secrets import redact

    click.echo(f"error: {redact(' '.join(message.split()))}", err=True)
    sys.exit(code)
