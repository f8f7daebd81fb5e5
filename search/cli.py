"""The command line. Commands import what they need when they run, so that `--help` answers at once."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import NoReturn

import click

from search.commands.devices import devices
from search.commands.export import export
from search.commands.measure import measure
from search.commands.retarget import retarget
from search.commands.study import study
from search.commands.upkeep import doctor, sync, ui
from search.commands.views import front, studies, trials

INTERRUPTED = 130
ROOMS = ("search.errors", "spaces.errors", "objectives.errors", "hardware_profiles.errors")
STORAGE_LIBRARIES = ("optuna", "sqlalchemy")
ADDRESS_VARIABLES = ("EDGESEARCH_STORAGE", "EDGESEARCH_TRACKING_URI", "EDGESEARCH_RAY_ADDRESS")
FIRST_STEPS = """\b
First steps:
  edgesearch study --data digits --device this-machine --trials 30
  edgesearch front STUDY
  edgesearch export STUDY --to my-model"""


@click.group(
    invoke_without_command=True,
    epilog=FIRST_STEPS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="edgesearch")
@click.pass_context
def edgesearch(context: click.Context) -> None:
    """Search models that really run on your device: trained, compressed, measured, ready to ship."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (devices, measure, study, retarget, studies, trials, front, export, sync, ui, doctor):
    edgesearch.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 nothing fits, 2 not as asked, 3 paused, 130 interrupted."""
    sys.path[:] = [entry for entry in sys.path if entry]
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what a library deprecates is not the user's business
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = edgesearch.main(args=given, prog_name="edgesearch", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("interrupted; the same command goes on from here", err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        _complain(error.format_message(), error.exit_code, given)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        _complain(*told, given)
    sys.exit(code if isinstance(code, int) else 0)


def _told(error: Exception) -> tuple[str, int] | None:
    """Return the line and the exit code of an error that is not our own mistake, else None."""
    modules = {base.__module__ for base in type(error).__mro__}
    if modules & set(ROOMS):
        return str(error), getattr(error, "exit_code", 2)
    if isinstance(error, OSError):
        where = f"'{error.filename}': " if error.filename else ""
        return f"{where}{error.strerror or error}; see to the file, its rights and the room on its disk", 2
    if {module.split(".")[0] for module in modules} & set(STORAGE_LIBRARIES):
        from search.storage import unreachable

        return (str(told), 2) if (told := unreachable(error)) else None
    return None


def _complain(message: str, code: int, given: Iterable[str]) -> NoReturn:
    from search.secrets import redact, secrets_of

    addresses = [*given, *(os.environ.get(variable, "") for variable in ADDRESS_VARIABLES)]
    known = frozenset().union(*map(secrets_of, map(os.path.expandvars, addresses)))
    click.echo(f"error: {redact(' '.join(message.split()), known)}", err=True)
    sys.exit(code)
