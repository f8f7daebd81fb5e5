"""`edgesearch study`: run a study, or take it up again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from search.options import add, as_json, example, json_option, limit_options, limits_of, out, places, places_options, say

if TYPE_CHECKING:
    from search.plan import StudyPlan
    from search.trial import StudyRecord

DATA_OPTIONS = (
    click.option("--data", "data__source", metavar="DATA", help="A name, file, folder or package.module:function."),
    click.option("--target", "data__target", metavar="COLUMN", help="The column with the classes (CSV, Parquet)."),
    click.option("--group", "data__group", metavar="COLUMN", help="Rows of one group are never split across sets."),
    click.option("--kind", "data__kind", metavar="KIND", help="table, image or series, if it is not what it seems."),
    click.option("--image-size", "data__image_size", metavar="HxW", help="Resize images of a folder."),
    click.option("--subset", "data__subset", type=int, metavar="N", help="Use N samples of the training data."),
    click.option("--split-seed", "data__split_seed", type=int, metavar="N", help="Another split of the data."),
)
PLAN_OPTIONS = (
    click.option("--device", metavar="NAME", help="See `edgesearch devices` (default: this-machine)."),
    click.option("--space", metavar="NAME", help="mlp, convnet, sequence or package.module:Space."),
    click.option("--range", "ranges", multiple=True, metavar="NAME=VALUES", help="filters=8..32, kernel=3, precision=int8,float16."),
    click.option("--metric", metavar="NAME", help="accuracy, balanced-accuracy, f1-macro or package.module:function."),
    click.option("--metric-direction", metavar="DIRECTION", help="maximize or minimize, for a metric of your own."),
    click.option("--objective", "objectives", multiple=True, metavar="NAME", help="accuracy, latency_ms, model_bytes; repeatable."),
    click.option("--limit-on", metavar="STATISTIC", help="The latency limit bounds min, median or p90."),
    click.option("--input-type", metavar="TYPE", help="float32 (raw values) or int8 (normalised by the caller)."),
    click.option("--threads", type=int, metavar="N", help="Threads that the model may use on the device."),
    click.option("--class-weights", metavar="HOW", help="none or balanced."),
    click.option("--epochs", type=int, metavar="N", help="Epochs of a training."),
    click.option("--seed", type=int, metavar="N", help="Of the search and of the trainings."),
    click.option("--trials", type=int, metavar="N", help="Candidates in all, over every call."),
    click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="Ask for nothing new after this time."),
    click.option("--workers", type=int, metavar="N", help="Trials at once (default: one per core)."),
    click.option("--name", metavar="NAME", help="Of the study (default: DATA-DEVICE-xxxxxx)."),
)  # fmt: skip
RUN_OPTIONS = (
    click.option("--ray-address", envvar="EDGESEARCH_RAY_ADDRESS", help="Join a Ray cluster: HOST:PORT or auto."),
    click.option("--executor", type=click.Choice(["ray", "in-process"]), default="ray", help="Where trials run."),
)


@click.command(**example("edgesearch study --data digits --max-model-bytes 32K --trials 30"))
@click.argument("plan", required=False, metavar="[PLAN.yaml]")
@lambda function: add(function, (*DATA_OPTIONS, *PLAN_OPTIONS))
@limit_options
@lambda function: add(function, RUN_OPTIONS)
@places_options
@json_option
def study(
    plan: str | None,
    ray_address: str | None,
    executor: str,
    storage: str | None,
    tracking_uri: str | None,
    to_json: bool,
    **flags: Any,
) -> None:
    """Search for models for a device; the same command again goes on where it was."""
    from search.display import display_on
    from search.study import run_in

    asked = plan_of(plan, flags)
    where = places(storage, tracking_uri, ray_address)
    display = display_on(sys.stderr)
    try:
        record = run_in(where, asked, executor, display)
    finally:
        display.close()
    conclude(record, where.home.root, to_json)


def plan_of(path: str | None, flags: dict[str, Any]) -> StudyPlan:
    """Return the plan of a file with the flags that were given in its place."""
    from search.errors import StudyError
    from search.options import folder
    from search.plan import make_plan, merged, read_plan_file

    content = read_plan_file(folder(path)) if path else {}
    limits = limits_of(*(flags.pop(name) for name in ("max_latency_ms", "max_model_bytes", "min_accuracy")))
    ranges = dict(_range(text) for text in flags.pop("ranges"))
    given = {name.replace("__", "."): _value(name, v) for name, v in flags.items() if v is not None and v != ()}
    given |= {f"limits.{name}": value for name, value in limits.items()}
    given |= {f"ranges.{name}": value for name, value in ranges.items()}
    plan = merged(content, given)
    if not plan.get("data"):
        raise StudyError("a study needs data; give --data (digits, a file, a folder, package.module:function)")
    return make_plan(plan)


def _value(name: str, value: Any) -> Any:
    if name != "data__image_size":
        return value
    return [int(side) if side.isdigit() else side for side in str(value).lower().split("x")]


def _range(text: str) -> tuple[str, Any]:
    from search.errors import StudyError

    name, equals, values = text.partition("=")
    if not equals or not name or not values:
        raise StudyError(f"a range is written NAME=LOW..HIGH or NAME=A,B (filters=8..32, precision=int8), got '{text}'")
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


def conclude(record: StudyRecord, home: Any, to_json: bool) -> None:
    """Show the front, where the plot lies, and which commands come next."""
    from search.front import front
    from search.plot import write_plot
    from search.tables import front_table, rows

    best = front(record.trials, record.goals)
    if to_json:
        as_json({"study": record.name, "front": rows(best)})
        return
    plot = home / "reports" / f"{record.name}.html"
    plot.parent.mkdir(exist_ok=True)
    write_plot(record, plot)
    out().print(front_table(best, record))
    print(f"\nplot      {plot}")
    print(f"export    edgesearch export {record.name} --to my-model")
    print("browse    edgesearch ui")
    print(f"go on     edgesearch study … --name {record.name} --trials {2 * record.plan.trials}")
    if not best:
        say("no trial could be measured within the limits; `edgesearch trials` says why")
