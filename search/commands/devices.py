"""`edgesearch devices`: the catalogue, and one profile in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from search.options import as_json, example, json_option, out, places

if TYPE_CHECKING:
    from rich.table import Table

    from hardware_profiles.profile import HardwareProfile


@click.command(epilog=example("edgesearch devices raspberry-pi-4"))
@click.argument("name", required=False)
@json_option
def devices(name: str | None, to_json: bool) -> None:
    """List the device profiles, or show one in full."""
    from hardware_profiles.profile import load_profile, profile_names

    folders = places().devices
    names = profile_names(folders) if name is None else (name,)
    profiles = [load_profile(known, folders) for known in names]
    if to_json:
        listed = [profile.model_dump(mode="json") for profile in profiles]
        as_json(listed if name is None else listed[0])
    else:
        out().print(_catalogue(profiles) if name is None else _sheet(profiles[0]))


def _catalogue(profiles: list[HardwareProfile]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("device", "what it is", "latency from here"):
        table.add_column(column)
    for profile in profiles:
        table.add_row(profile.name, profile.title, told(profile))
    return table


def told(profile: HardwareProfile) -> str:
    """Say what can be told about a device from here."""
    from hardware_profiles.connect import connect
    from hardware_profiles.errors import DeviceError

    try:
        connect(profile)
    except DeviceError:
        return f"none: reached by {profile.reach}, for which there is no runner"
    return "measured"


def _sheet(profile: HardwareProfile) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in _flat("", profile.model_dump(mode="json")):
        source = profile.sources.get(key)
        table.add_row(key, "unknown" if value is None else str(value), f"({source})" if source else "")
    table.add_row("latency from here", told(profile), "")
    return table


def _flat(prefix: str, values: dict[str, Any]) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        if key == "sources":
            continue
        name = f"{prefix}{key}"
        pairs += _flat(f"{name}.", value) if isinstance(value, dict) else [(name, _plain(value))]
    return pairs


def _plain(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
