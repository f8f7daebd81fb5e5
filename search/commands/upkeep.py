"""`edgesearch sync`, `ui` and `doctor`: the view rebuilt, the view shown, and what works here."""

from __future__ import annotations

import click

from search.options import as_json, example, json_option, out, places, places_options, record_of, say


@click.command(**example("edgesearch sync digits-this-machine-1a2b3c"))
@click.argument("study", required=False)
@places_options
def sync(study: str | None, storage: str | None, tracking_uri: str | None) -> None:
    """Rebuild MLflow from a study, or from all of them, whatever it missed."""
    from search.ledger import sync as bring_up
    from search.storage import study_names
    from search.study import mlflow_ledger

    where = places(storage, tracking_uri)
    names = [study] if study else study_names(where.opened)
    records = [record_of(name, where) for name in names]
    ledger = mlflow_ledger(where)
    for record in records:
        bring_up(record, ledger)
        say(f"{record.name}: {len(record.trials)} trials are in MLflow")


@click.command(**example("edgesearch ui --port 5001"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Anything else opens MLflow to the network.")
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535))
@places_options
def ui(host: str, port: int, storage: str | None, tracking_uri: str | None) -> None:
    """Open MLflow on the store of the studies."""
    from search.ui import serve

    where = places(storage, tracking_uri)
    serve(where.home, where.tracking if tracking_uri else None, host, port)


@click.command(**example("edgesearch doctor"))
@json_option
@click.pass_context
def doctor(context: click.Context, to_json: bool) -> None:
    """Check what works on this machine, and say how to get what is missing."""
    from rich.table import Table

    from search.doctor import examine

    checks = examine(places())
    if to_json:
        as_json([check.model_dump() for check in checks])
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        for check in checks:
            table.add_row({True: "ok", False: "missing"}[check.works], check.name, check.detail)
        out().print(table)
    context.exit(0 if all(check.works or not check.needed for check in checks) else 1)
