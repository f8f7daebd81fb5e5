"""`edgesearch sync`, `ui` and `doctor`: the view rebuilt, the view shown, and what works here."""

from __future__ import annotations

import click

from search.options import as_json, example, json_option, out, places, say, storage_option, tracking_option


@click.command(epilog=example("edgesearch sync digits-this-machine-1a2b3c"))
@click.argument("study", required=False)
@storage_option
@tracking_option
def sync(study: str | None, storage: str | None, tracking_uri: str | None) -> None:
    """Rebuild MLflow from a study, or from all of them, whatever it missed."""
    from search.ledger import sync as bring_up
    from search.study import mlflow_ledger

    where = places(storage, tracking_uri)
    records = [where.record(name) for name in ([study] if study else where.names())]
    if not records:
        say(f"there is no study in '{where.home.root}' yet, so nothing is missing")
        return
    where.home.ensure_writable()
    ledger = mlflow_ledger(where)
    for record in records:
        bring_up(record, ledger)
        say(f"{record.name}: {len(record.trials)} trials are in MLflow")


@click.command(epilog=example("edgesearch ui --port 5001"))
@click.option("--port", default=5000, show_default=True, type=int, help="On 127.0.0.1, for nobody else.")
@tracking_option
def ui(port: int, tracking_uri: str | None) -> None:
    """Open MLflow on the store of the studies."""
    from search.ui import serve

    where = places(None, tracking_uri)
    serve(where.home, where.tracking, port, say)


@click.command(epilog=example("edgesearch doctor"))
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
