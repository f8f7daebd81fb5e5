"""`edgesearch export`: the best model of a study under my preferences, ready to ship."""

from __future__ import annotations

import shlex
import shutil
from typing import TYPE_CHECKING, Any

import click

from search.options import (
    checked_limits,
    example,
    folder,
    limit_options,
    limits_of,
    places,
    say,
    storage_option,
)

if TYPE_CHECKING:
    from search.preferences import Preference
    from search.trial import StudyRecord, TrialRecord

PREFERENCES = ("accuracy", "latency", "size", "balanced")


@click.command(
    epilog=example(
        "edgesearch export digits-this-machine-1a2b3c --to my-model --prefer size --min-accuracy .95"
    )
)
@click.argument("study")
@click.option("--to", required=True, metavar="DIR", help="A new folder, or an earlier export.")
@click.option("--trial", type=int, metavar="N", help="This trial, on the front or not.")
@click.option("--prefer", type=click.Choice(PREFERENCES), help="What to look at first (default: balanced).")
@click.option("--all", "everything", is_flag=True, help="The whole front, a folder each.")
@limit_options
@storage_option
def export(
    study: str,
    to: str,
    trial: int | None,
    prefer: Preference | None,
    everything: bool,
    storage: str | None,
    **flags: Any,
) -> None:
    """Export a model with its card, an example that runs it, and the plan that repeats the study."""
    from search.export import export as write
    from search.export import others
    from search.shipping import firmware_of, shipment
    from search.storage import read_study

    limits = limits_of(flags)
    if sum((trial is not None, everything, prefer is not None or bool(limits))) > 1:
        raise click.UsageError(
            "--trial, --all and a preference (--prefer, limits) exclude each other; give one"
        )
    where = places(storage)
    opened = where.study(study)
    record = read_study(opened)
    wanted = _chosen(record, trial, prefer, limits, everything)
    gone = others(folder(to), {name for _, name in wanted}) if everything else ()
    for chosen, name in wanted:
        target = folder(to) / name
        shipped = shipment(opened, record, chosen, where.home)
        written = write(shipped, target, firmware_of(shipped, where.home))
        script = shlex.quote(str(written / "infer.py"))
        say(f"trial {chosen.number} -> {written} (try it: python {script})")
    for old in gone:
        shutil.rmtree(old)
        say(f"removed {old}: it is not on the front any more")


def _chosen(
    record: StudyRecord,
    trial: int | None,
    prefer: Preference | None,
    limits: dict[str, object],
    everything: bool,
) -> list[tuple[TrialRecord, str]]:
    from search.errors import StudyError
    from search.front import front
    from search.preferences import choose

    if not everything:
        return [(choose(record, prefer=prefer or "balanced", limits=checked_limits(limits), trial=trial), "")]
    best = front(record.trials, record.goals)
    if not best:
        raise StudyError(
            f"the study '{record.name}' has no front yet; `edgesearch trials {record.name}` says why"
        )
    return [(chosen, f"trial-{chosen.number}") for chosen in best]
