"""`edgesearch studies`, `trials` and `front`: what is there, as tables, JSON, CSV and plots."""

from __future__ import annotations

from typing import Any

import click

from search.options import as_json, example, folder, json_option, out, places, places_options, record_of, say


@click.command(**example("edgesearch studies --json"))
@places_options
@json_option
def studies(storage: str | None, tracking_uri: str | None, to_json: bool) -> None:
    """List the studies."""
    from rich.table import Table

    from search.storage import study_names

    where = places(storage, tracking_uri)
    found = [_about(record_of(name, where)) for name in study_names(where.opened)]
    if to_json:
        return as_json(found)
    table = Table(box=None, pad_edge=False)
    for column in ("study", "device", "data", "trials", "measured", "front"):
        table.add_column(column, justify="left" if column in ("study", "device", "data") else "right")
    for about in found:
        table.add_row(*(str(about[c.header]) for c in table.columns))  # type: ignore[index]
    out().print(table if found else "no studies yet; start one with `edgesearch study --data digits`")
    return None


def _about(record: Any) -> dict[str, Any]:
    from search.front import front
    from search.status import counted

    return {
        "study": record.name,
        "device": record.profile.name,
        "data": record.data.name,
        "space": record.space,
        "trials": counted(record.trials),
        "wanted": record.plan.trials,
        "measured": sum(trial.state == "measured" for trial in record.trials),
        "front": len(front(record.trials, record.goals)),
    }


@click.command(**example("edgesearch trials digits-this-machine-1a2b3c --json"))
@click.argument("study")
@places_options
@json_option
@click.option("--csv", metavar="FILE", help="Write the table to a CSV file.")
def trials(study: str, storage: str | None, tracking_uri: str | None, to_json: bool, csv: str | None) -> None:
    """List the trials of a study: what was tried, how it ended and why."""
    from search.tables import rows, trials_table

    record = record_of(study, places(storage, tracking_uri))
    if csv:
        _write_csv(rows(record.trials), csv)
    if to_json:
        return as_json(rows(record.trials))
    if not csv:
        out().print(trials_table(record.trials, record))
    return None


@click.command(**example("edgesearch front digits-this-machine-1a2b3c --plot front.html"))
@click.argument("study")
@places_options
@json_option
@click.option("--plot", metavar="FILE", help="Draw it into FILE.html or FILE.png.")
@click.option("--csv", metavar="FILE", help="Write the table to a CSV file.")
def front(
    study: str, storage: str | None, tracking_uri: str | None, to_json: bool, plot: str | None, csv: str | None
) -> None:
    """Show the Pareto front of a study."""
    from search.front import front as best_of
    from search.plot import write_plot
    from search.tables import front_table, rows

    record = record_of(study, places(storage, tracking_uri))
    best = best_of(record.trials, record.goals)
    if plot:
        write_plot(record, folder(plot))
        say(f"wrote {plot}")
    if csv:
        _write_csv(rows(best), csv)
    if to_json:
        return as_json(rows(best))
    if not plot and not csv:
        out().print(front_table(best, record))
    return None


def _write_csv(rows: list[dict[str, Any]], path: str) -> None:
    import pandas as pd

    from search.errors import StudyError

    try:
        pd.DataFrame(rows).to_csv(folder(path), index=False)
    except OSError as error:
        raise StudyError(f"cannot write '{path}': {error.strerror or error}; choose another --csv") from error
    say(f"wrote {path}")
