"""`edgesearch retarget`: the networks of a study, measured for another device."""

from __future__ import annotations

from typing import Any

import click

from search.commands.study import run_and_conclude
from search.commands.study_options import DEVICE_OPTIONS, FIRMWARE_OPTIONS, RUN_OPTIONS
from search.options import (
    add,
    connection_of,
    connection_options,
    example,
    json_option,
    limit_options,
    limits_of,
    places,
    storage_option,
    tracking_option,
)

OWN = ("objectives", "name", "workers", "timeout_s", "limit_on", "input_type", "threads")


@click.command(
    epilog=example("edgesearch retarget digits-this-machine-1a2b3c --device nucleo-l4r5zi --on estimated")
)
@click.argument("study")
@click.option("--device", required=True, metavar="NAME", help="The other device; see `edgesearch devices`.")
@click.option("--trials", type=int, metavar="N", help="Go on searching from there, to N candidates in all.")
@click.option("--objective", "objectives", multiple=True, metavar="NAME", help="What is optimised there.")
@click.option("--name", metavar="NAME", help="Of the new study.")
@click.option("--workers", type=int, metavar="N", help="Trials at once (default: one per core).")
@click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="Begin nothing new after it.")
@limit_options
@lambda function: add(function, DEVICE_OPTIONS)
@lambda function: add(function, FIRMWARE_OPTIONS)
@connection_options
@lambda function: add(function, RUN_OPTIONS)
@storage_option
@tracking_option
@json_option
def retarget(
    study: str,
    device: str,
    trials: int | None,
    ray_address: str | None,
    executor: str,
    storage: str | None,
    tracking_uri: str | None,
    to_json: bool,
    **flags: Any,
) -> None:
    """Measure a study's networks for another device: its front there, without any training."""
    from hardware_profiles.device import Device
    from hardware_profiles.profile import load_profile
    from search.carried import of_study, plan_for
    from search.plan import make_plan, merged

    where = places(storage, tracking_uri, ray_address, connection_of(flags))
    given = {name: flags[name] for name in OWN if flags[name] not in (None, ())}
    given |= {f"limits.{name}": value for name, value in limits_of(flags).items()}
    given |= {
        name.replace("__", "."): value
        for name, value in flags.items()
        if name.startswith("firmware__") and value is not None
    }
    source, profile = of_study(where, study), load_profile(device, where.devices)
    runs = Device.at(profile, flags["threads"] or 1, where.connection).precisions
    content = plan_for(source.plan, source.ranges, study, device, trials, runs)
    run_and_conclude(where, make_plan(merged(content, given)), executor, to_json)
