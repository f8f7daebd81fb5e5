"""`edgesearch devices`: the catalogue, one profile in full, and whether my device is reachable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from search.options import as_json, connection_of, connection_options, example, json_option, out, places, say

if TYPE_CHECKING:
    from rich.table import Table

    from hardware_profiles.connection import Connection
    from hardware_profiles.profile import HardwareProfile

UNKNOWN = "unknown"
_OPTIONAL = ("accelerator", "ops", "power.meter", "runtime.code_bytes")
_OPTIONAL_UNDER = ("accelerator.vela_", "default_limits.")
"""What has no line where it is null, since most devices need none; null elsewhere is not known."""


@click.command(epilog=example("edgesearch devices raspberry-pi-4 --on ssh://pi@raspberrypi.local"))
@click.argument("name", required=False)
@connection_options
@json_option
def devices(name: str | None, to_json: bool, **flags: str | None) -> None:
    """List the device profiles, show one in full, or look whether mine is reachable."""
    connection = connection_of(flags)
    if name is None and connection is not None:
        raise click.UsageError("--on looks for one device: name its profile (`edgesearch devices` lists all)")
    if name is None:
        _list(to_json)
    elif connection is None:
        _show(name, to_json)
    else:
        _look(name, connection, to_json)


def _list(to_json: bool) -> None:
    from hardware_profiles.profile import profile_names

    found = {name: _loaded(name) for name in profile_names(places().devices)}
    if to_json:
        as_json([_document(name, profile) for name, profile in found.items()])
    else:
        out().print(_catalogue(found))


def _loaded(name: str) -> HardwareProfile | str:
    """Return a profile, or what is wrong with its file: one broken file must not hide the others."""
    from hardware_profiles.errors import DeviceError
    from hardware_profiles.profile import load_profile

    try:
        return load_profile(name, places().devices)
    except DeviceError as error:
        return str(error)


def _document(name: str, profile: HardwareProfile | str) -> dict[str, Any]:
    from hardware_profiles.ways import latency_from_here

    if isinstance(profile, str):
        return {"name": name, "error": profile}
    return {**profile.model_dump(mode="json"), "latency_from_here": latency_from_here(profile)}


def _catalogue(found: dict[str, HardwareProfile | str]) -> Table:
    from rich.table import Table

    from hardware_profiles.ways import latency_from_here

    table = Table(box=None, pad_edge=False)
    for column in ("device", "what it is", "latency from here", "memory"):
        table.add_column(column, overflow="fold")
    for name, profile in found.items():
        if isinstance(profile, str):
            table.add_row(name, "cannot be used", profile, "")
        else:
            table.add_row(name, profile.title, latency_from_here(profile), _memory(profile))
    return table


def _memory(profile: HardwareProfile) -> str:
    from hardware_profiles.firmware import human_bytes

    known = {"RAM": profile.memory.ram_bytes, "storage": profile.memory.storage_bytes}
    if profile.runtime.name == "tflite-micro":
        known["flash"] = known.pop("storage")
    told = [f"{human_bytes(count)} {what}" for what, count in known.items() if count is not None]
    return ", ".join(told) or UNKNOWN


def _show(name: str, to_json: bool) -> None:
    from hardware_profiles.profile import load_profile

    profile = load_profile(name, places().devices)
    if to_json:
        as_json(_document(name, profile))
    else:
        out().print(_sheet(profile))


def _sheet(profile: HardwareProfile) -> Table:
    from rich.table import Table

    from hardware_profiles.ways import latency_from_here, needed

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for key, value in _flat("", profile.model_dump(mode="json")):
        source = profile.sources.get(key)
        table.add_row(key, UNKNOWN if value is None else str(value), f"({source})" if source else "")
    table.add_row("latency from here", latency_from_here(profile), "")
    for tool in needed(profile):
        table.add_row(f"  {tool.name}", "here" if tool.found else f"missing: {tool.how}", tool.gives)
    return table


def _flat(prefix: str, values: dict[str, Any]) -> list[tuple[str, Any]]:
    """List a document's values by their dotted names; what is empty has no line."""
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            pairs += [] if key == "sources" else _flat(f"{name}.", value)
        elif isinstance(value, list):
            pairs += [(name, ", ".join(map(str, value)))] if value else []
        elif value is not None or not (name in _OPTIONAL or name.startswith(_OPTIONAL_UNDER)):
            pairs.append((name, value))
    return pairs


def _look(name: str, connection: Connection, to_json: bool) -> None:
    """Run the anchor model once on the user's own device, and tell what was found there."""
    told = _found(name, connection)
    if to_json:
        as_json(told)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in told.items():
        table.add_row(key, UNKNOWN if value is None else str(value))
    out().print(table)


def _found(name: str, connection: Connection) -> dict[str, Any]:
    from hardware_profiles.anchor import NoAnchor, anchor_path
    from hardware_profiles.connect import connect
    from hardware_profiles.profile import load_profile

    runner = connect(load_profile(name, places().devices), 1, connection, say)
    try:
        (seen,) = runner.measure((anchor_path(),), None)
        source, anchor_ms = seen.source, seen.min_ms
    except NoAnchor as told:  # it measures, but does not run this model
        source, anchor_ms = told.source, None
    about = source.model_dump(mode="json")
    found = {key: about[key] for key in ("machine", "runtime", "runtime_version", "threads")}
    if about["delegate"]:
        found["delegate"] = about["delegate"]
    return {"device": name, "connection": str(connection), **found, "anchor_ms": anchor_ms}
