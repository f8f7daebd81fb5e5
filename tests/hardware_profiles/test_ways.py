"""Which tools a device needs here, and what can be told of its latency with those that are here."""

from typing import Any

import pytest

from hardware_profiles import ways
from hardware_profiles.profile import HardwareProfile, load_profile, profile_names
from hardware_profiles.ways import ADB, EDGETPU, MICRO, SSH, TOOLS, VELA, Tool, latency_from_here, needed

NEEDED = {
    "this-machine": (),
    "raspberry-pi-4": (SSH,),
    "android-phone": (ADB,),
    "coral-dev-board": (SSH, EDGETPU),
    "corstone-300": (VELA, MICRO),
    "rp2040": (MICRO,),
}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The programs that are on this machine, to be added to."""
    programs: set[str] = set()
    monkeypatch.setattr(ways, "find_tool", lambda name: f"/bin/{name}" if name in programs else None)
    return programs


@pytest.mark.parametrize("name", NEEDED)
def test_what_a_device_needs(name: str) -> None:
    assert needed(load_profile(name)) == NEEDED[name]


def test_every_tool_is_needed_by_a_device_that_we_ship() -> None:
    wanted = {tool for name in profile_names() for tool in needed(load_profile(name))}
    assert wanted == set(TOOLS)


@pytest.mark.parametrize(
    ("name", "program", "with_it", "without"),
    [
        (
            "raspberry-pi-4",
            "ssh",
            "measured with --on ssh://USER@HOST",
            "none until ssh is here: `apt-get install openssh-client`",
        ),
        (
            "android-phone",
            "adb",
            "measured with --on adb://SERIAL",
            "none until adb is here: `apt-get install",
        ),
        (
            "corstone-300",
            "vela",
            "estimated with --on estimated (Vela)",
            "none until vela is here: `pip install 'edgesearch[vela]'`",
        ),
    ],
)
def test_a_device_that_a_tool_tells_about(
    name: str, program: str, with_it: str, without: str, here: set[str]
) -> None:
    profile = load_profile(name)
    assert latency_from_here(profile).startswith(without)
    here.add(program)
    assert latency_from_here(profile) == with_it


def changed(name: str, **changes: Any) -> HardwareProfile:
    return load_profile(name).model_copy(update=changes)


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        (load_profile("this-machine"), "measured"),
        (
            load_profile("nucleo-l4r5zi"),
            "measured with --on command:PROGRAM, estimated with --on estimated (cycles per MAC)",
        ),
        (
            load_profile("rp2040"),
            "measured with --on command:PROGRAM, else static only (bytes, arena)",
        ),
        (changed("corstone-300", accelerator=None), "none: static only (bytes, arena)"),
        (
            changed("nucleo-l4r5zi", cycles_per_mac={}),
            "measured with --on command:PROGRAM, else static only (bytes, arena)",
        ),
    ],
    ids=["local", "cycles", "no cycles", "nothing", "cycles taken away"],
)
def test_a_device_that_needs_no_tool(profile: HardwareProfile, told: str, here: set[str]) -> None:
    assert latency_from_here(profile) == told


def test_a_microcontroller_of_which_nothing_is_estimated_says_so_when_vela_is_missing(here: set[str]) -> None:
    board = changed("corstone-300", reach="command")
    assert latency_from_here(board) == "measured with --on command:PROGRAM, else static only (bytes, arena)"


def test_a_tool_is_a_program_or_a_package() -> None:
    assert Tool(name="python", gives="", how="").found
    assert not Tool(name="no-such-program", gives="", how="").found
    assert Tool(name="any", gives="", how="", module="json").found
    assert not Tool(name="python", gives="", how="", module="no_such_module").found
