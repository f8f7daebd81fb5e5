"""`edgesearch study`: run a study, or take it up again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from search.commands.forecast import show_forecast
from search.commands.study_options import (
    DATA_OPTIONS,
    DRY_RUN_OPTION,
    FIRMWARE_OPTIONS,
    PLAN_OPTIONS,
    RUN_OPTIONS,
)
from search.options import (
    add,
    as_json,
    connection_of,
    connection_options,
    example,
    folder,
    json_option,
    limit_options,
    limits_of,
    out,
    places,
    say,
    storage_option,
    tracking_option,
)

if TYPE_CHECKING:
    from search.places import Places
    from search.plan import StudyPlan
    from search.trial import StudyRecord


@click.command(epilog=example("edgesearch study --data digits --max-model-bytes 32K --trials 30"))
@click.argument("plan", required=False, metavar="[PLAN.yaml]")
@lambda function: add(function, (*DATA_OPTIONS, *PLAN_OPTIONS))
@limit_options
@lambda function: add(function, FIRMWARE_OPTIONS)
@connection_options
@DRY_RUN_OPTION
@lambda function: add(function, RUN_OPTIONS)
@storage_option
@tracking_option
@json_option
def study(
    plan: str | None,
    ray_address: str | None,
    executor: str,
    storage: str | None,
    tracking_uri: str | None,
    to_json: bool,
    dry_run: bool,
    **flags: Any,
) -> None:
    """Search for models for a device; the same command again goes on where it was."""
    where = places(storage, tracking_uri, ray_address, connection_of(flags))
    asked = plan_of(plan, flags, where)
    if dry_run and asked.model is None:
        return show_forecast(asked, where, executor, to_json=to_json)
    if dry_run:
        return show_levers(asked, where, to_json)
    return run_and_conclude(where, asked, executor, to_json)


def run_and_conclude(where: Places, asked: StudyPlan, executor: str, to_json: bool) -> None:
    """Run a study, or take it up again, and show how it stands at its end."""
    from search.errors import NothingFits

    try:
        record = _run(where, asked, executor)
    except NothingFits as error:
        if error.record is not None:
            conclude(error.record, where, to_json)
        raise
    conclude(record, where, to_json)


def show_levers(asked: StudyPlan, where: Places, to_json: bool) -> None:
    """Show which levers work on the network that was brought, and why the others do not."""
    from rich.table import Table

    from search.levers import lever_table

    found = lever_table(asked, where)
    if to_json:
        return as_json([about._asdict() for about in found])
    table = Table(box=None, pad_edge=False)
    for column in ("lever", "usable", "reason"):
        table.add_column(column)
    for about in found:
        table.add_row(about.lever, "yes" if about.usable else "no", about.reason or "")
    out().print(table)
    return None


def _run(where: Places, asked: StudyPlan, executor: str) -> StudyRecord:
    """Run the study with its progress on standard error and nothing at all on standard output."""
    from search.display import display_on, logging_to, printed_on, undisturbed
    from search.study import run_in

    with undisturbed(sys.stderr) as stream:
        display = display_on(stream)
        try:
            with printed_on(display), logging_to(display, where.addresses):
                return run_in(where, asked, executor, display)
        finally:
            display.close()


def plan_of(path: str | None, flags: dict[str, Any], where: Places) -> StudyPlan:
    """Return the plan: that of a file, else that of the study named, with the flags in its place."""
    from search.errors import StudyError
    from search.plan import make_plan, merged, read_plan_file

    limits = limits_of(flags)
    ranges = dict(_range(text) for text in flags.pop("ranges"))
    given = {n.replace("__", "."): _value(n, v) for n, v in flags.items() if v is not None and v != ()}
    if "strategy" in given:
        given.setdefault("without", ())  # who names a strategy means all of it, whatever was left out before
    given |= {f"limits.{name}": value for name, value in limits.items()}
    given |= {f"ranges.{name}": value for name, value in ranges.items()}
    if path is None and "data.source" not in given and flags["name"] is not None:
        content = _stored(flags["name"], where)
    else:
        content = read_plan_file(folder(path)) if path else {}
    plan = merged(content, given)
    if not plan.get("data"):
        raise StudyError(
            "a study needs data; give --data (digits, a file, a folder, package.module:function), a plan "
            "file, or the --name of a study to go on with"
        )
    return make_plan(plan)


def _stored(name: str, where: Places) -> dict[str, Any]:
    """Return the plan that a study has, but for the time limit, which holds for one call."""
    from search.errors import StudyError
    from search.storage import read_facts

    try:
        study = where.study(name)
    except StudyError as error:
        raise StudyError(f"{error}; a new study needs --data") from error
    return read_facts(study).plan.model_dump(mode="json", exclude={"timeout_s"})


def _value(name: str, value: Any) -> Any:
    if name != "data__image_size":
        return value
    from search.errors import StudyError

    height, cross, width = str(value).lower().partition("x")
    if not (cross and height.isdecimal() and width.isdecimal()):
        raise StudyError(f"an image size is written HEIGHTxWIDTH (64x48), got '{value}'")
    return [int(height), int(width)]


def _range(text: str) -> tuple[str, Any]:
    from search.errors import StudyError

    name, equals, values = text.partition("=")
    if not equals or not name.strip() or not values.strip():
        raise StudyError(
            f"a range is written NAME=LOW..HIGH or NAME=A,B (filters=8..32, precision=int8), got '{text}'"
        )
    low, dots, high = values.partition("..")
    if dots:
        return name.strip(), {"low": _number(low, text), "high": _number(high, text)}
    return name.strip(), [_plain(value) for value in values.split(",")]


def _number(value: str, text: str) -> int | float:
    from search.errors import StudyError

    number = _plain(value)
    if isinstance(number, str):
        raise StudyError(f"a range has numbers as its ends (filters=8..32), got '{text}'")
    return number


def _plain(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value.strip()


def conclude(record: StudyRecord, where: Places, to_json: bool) -> None:
    """Show the front, where the plot lies, and which commands come next."""
    from search.front import front
    from search.home import make_private, writing
    from search.lessons import about_frugality
    from search.plot import write_plot
    from search.status import counted
    from search.tables import front_table, rows

    best, done = front(record.trials, record.goals), counted(record.trials)
    if to_json:
        return as_json({"study": record.name, "trials": done, "front": rows(best, record)})
    plot = where.home.root / "reports" / f"{record.name}.html"
    with writing(plot):
        make_private(plot.parent)
        write_plot(record, plot)
    out().print(front_table(best, record))
    print(f"\nplot      {plot}")
    if best:
        print(f"export    edgesearch export {record.name} --to my-model{where.again()}")
    print(f"browse    edgesearch ui{where.again(tracking=True)}")
    more = f" --trials {2 * record.plan.trials}" if done >= record.plan.trials else ""
    if not record.plan.only_carried:
        print(
            f"go on     edgesearch study --name {record.name}{more}{where.again(tracking=True, device=True)}"
        )
    for line in about_frugality(record):
        print(line)
    if not best:
        say(f"no trial could be measured within the limits; `edgesearch trials {record.name}` says why")
    return None
