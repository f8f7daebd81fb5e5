"""What works on this machine and what is missing, each with the way to get it."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from search.errors import StudyError
from spaces.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from hardware_profiles.ways import Tool
    from search.places import Places

NEEDED = (
    "tensorflow",
    "tf-keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "optuna",
    "ray",
    "mlflow",
)
ROOM_BYTES = 2_000_000_000


class Check(Value):
    """One thing that was looked at. What is not `needed` widens what can be done."""

    name: str
    works: bool
    detail: str
    needed: bool = True


def examine(places: Places) -> tuple[Check, ...]:
    """Look at everything and change nothing but the home, which is made if it is missing."""
    checks: tuple[Callable[[], Check], ...] = (
        _python,
        *(partial(_package, name) for name in NEEDED),
        lambda: _home(places),
        lambda: _storage(places),
        _cores,
        _measuring,
        _fashion_mnist,
    )
    return (*(check() for check in checks), *of_devices(places))


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Check(
        name="Python", works=fits, detail=found if fits else f"{found}; edgesearch needs 3.11 to 3.13"
    )


def _package(name: str) -> Check:
    try:
        return Check(name=name, works=True, detail=version(name))
    except PackageNotFoundError:
        return Check(
            name=name,
            works=False,
            detail="not installed; run scripts/quickstart, which installs from the lock",
        )


def _home(places: Places) -> Check:
    root = places.home.root
    try:
        places.home.ensure_writable()
    except StudyError as error:
        return Check(name="home", works=False, detail=str(error))
    free = shutil.disk_usage(root).free
    detail = f"{root}, {free / 1e9:.1f} GB free"
    if free < ROOM_BYTES:
        detail += f"; a study of some hundred trials takes up to {ROOM_BYTES / 1e9:.0f} GB"
    return Check(name="home", works=free >= ROOM_BYTES, detail=detail)


def _storage(places: Places) -> Check:
    from search.secrets import redact
    from search.storage import study_names

    try:
        found = len(study_names(places.opened))
    except StudyError as error:
        return Check(name="storage", works=False, detail=str(error))
    return Check(name="storage", works=True, detail=f"{redact(places.storage_url)}, {found} studies")


def _cores() -> Check:
    import psutil

    from search.study import cores

    memory = psutil.virtual_memory()
    detail = f"{cores()} cores, {memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB of memory free"
    enough = memory.available > 1.5e9 * (1 + cores())
    return Check(
        name="workers", works=True, detail=detail if enough else f"{detail}; --workers 1 needs about 3 GB"
    )


def _measuring() -> Check:
    from hardware_profiles.anchor import calibrate
    from hardware_profiles.connect import connect
    from hardware_profiles.errors import DeviceError
    from hardware_profiles.profile import load_profile

    try:
        anchor = calibrate(connect(load_profile("this-machine")), processes=1)
    except DeviceError as error:
        return Check(name="measuring", works=False, detail=str(error))
    took = f"the anchor model took {1e3 * anchor.constant_ms:.1f} us on {anchor.source.device}"
    return Check(
        name="measuring",
        works=True,
        detail=f"{took} ({anchor.source.runtime} {anchor.source.runtime_version})",
    )


def _fashion_mnist() -> Check:
    from objectives.datasets.fashion import found_in

    where = found_in()
    missing = "not here; --data fashion-mnist downloads it, or `apt-get install dataset-fashion-mnist`"
    return Check(name="fashion-mnist", works=where is not None, detail=str(where or missing), needed=False)


def of_devices(places: Places) -> tuple[Check, ...]:
    """Tell for each tool whether it is here, which devices want it and how it is got."""
    from hardware_profiles.errors import DeviceError
    from hardware_profiles.profile import load_profile, profile_names
    from hardware_profiles.ways import TOOLS, needed

    wanting: dict[str, list[str]] = {tool.name: [] for tool in TOOLS}
    for name in profile_names(places.devices):
        with suppress(DeviceError):  # a broken file is told by `edgesearch devices`
            for tool in needed(load_profile(name, places.devices)):
                wanting[tool.name].append(name)
    return tuple(_tool(tool, wanting[tool.name]) for tool in TOOLS)


def _tool(tool: Tool, devices: list[str]) -> Check:
    use = f"{tool.gives}, for {', '.join(devices) or 'no device of the catalogue'}"
    detail = use if tool.found else f"not here; {tool.how} ({use})"
    return Check(name=tool.name, works=tool.found, detail=detail, needed=False)
