"""`edgesearch studies`, `trials` and `front`: what is there, as tables, JSON, CSV and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from search.options import as_json, example, folder, json_option, out, places, say, storage_option

if TYPE_CHECKING:
    from search.places import Places

WORDS, NUMBERS = ("study", "device", "data"), ("trials", "measured", "front")


@click.command(epilog=example("edgesearch studies --json"))
@storage_option
@json_option
def studies(storage: str | None, to_json: bool) -> None:
    """List the studies."""
    from rich.table import Table

    where = places(storage)
    found = [about for name in where.names() if (about := _about(name, where))]
    if to_json:
        as_json(found)
        return
    if not found:
        print("no studies yet; start one with `edgesearch study --data digits`")
        return
    table = Table(box=None, pad_edge=False)
    for column in (*WORDS, *NUMBERS):
        table.add_column(column, justify="right" if column in NUMBERS else "left")
    for about in found:
        table.add_row(*(str(about[column]) for column in (*WORDS, *NUMBERS)))
    out().print(table)


def _about(name: str, where: Places) -> dict[str, Any] | None:
    """Sum up a study, or say why it cannot be read: one that is broken must not hide the others."""
    from search.errors import StudyError
    from search.front import front
    from search.status import counted

    try:
        record = where.record(name)
    except StudyError as error:
        say(str(error))
        return None
    return {
        "study": record.name,
        "device": record.profile.name,
        "data": record.data.name,
        "space": record.space,
        "trials": counted(record.trials),
        "wanted": record.wanted,
        "measured": sum(trial.state == "measured" for trial in record.trials),
        "front": len(front(record.trials, record.goals)),
    }


@click.command(epilog=example("edgesearch trials digits-this-machine-1a2b3c --json"))
@click.argument("study")
@storage_option
@json_option
@click.option("--csv", metavar="FILE", help="Write the table to a CSV file.")
def trials(study: str, storage: str | None, to_json: bool, csv: str | None) -> None:
    """List the trials of a study: what was tried, how it ended and why."""
    from search.tables import rows, trials_table

    record = places(storage).record(study)
    if csv:
        _write_csv(rows(record.trials, record), csv)
    if to_json:
        as_json(rows(record.trials, record))
    elif not csv:
        out().print(trials_table(record.trials, record))


@click.command(epilog=example("edgesearch front digits-this-machine-1a2b3c --plot front.html"))
@click.argument("study")
@storage_option
@json_option
@click.option("--plot", metavar="FILE", help="Draw it into FILE.html or FILE.png.")
@click.option("--csv", metavar="FILE", help="Write the table to a CSV file.")
def front(study: str, storage: str | None, to_json: bool, plot: str | None, csv: str | None) -> None:
    """Show the Pareto front of a study."""
    from search.front import front as best_of
    from search.plot import write_plot
    from search.tables import front_table, rows

    record = places(storage).record(study)
    best = best_of(record.trials, record.goals)
    if plot:
        write_plot(record, folder(plot))
        say(f"wrote {plot}")
    if csv:
        _write_csv(rows(best, record), csv)
    if to_json:
        as_json(rows(best, record))
    elif not plot and not csv:
        out().print(front_table(best, record))


def _write_csv(rows: list[dict[str, Any]], path: str) -> None:
    import pandas as pd

    from search.errors import StudyError

    try:
        pd.DataFrame(rows).to_csv(folder(path), index=False)
    except OSError as error:
        raise StudyError(f"cannot write '{path}': {error.strerror or error}; choose another --csv") from error
    say(f"wrote {path}")
