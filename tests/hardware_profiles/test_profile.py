"""Profiles: the catalogue, this machine, the user's own, and what is wrong with them."""

from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware_profiles.errors import DeviceError
from hardware_profiles.profile import (
    CATALOG,
    HardwareProfile,
    load_profile,
    profile_names,
    read_profile,
    this_machine,
)

SHIPPED = [name for name in profile_names() if name != "this-machine"]
MINIMAL: dict[str, Any] = {
    "name": "board",
    "title": "A board",
    "processor": {"isa": "armv7", "core": "Cortex-M7"},
    "runtime": {"name": "tflite-micro"},
    "precisions": ["int8"],
    "input_types": ["int8"],
    "reach": "serial",
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "board.yaml"
    path.write_text(yaml.safe_dump(MINIMAL | changes))
    return path


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_is_valid_and_every_figure_has_its_source(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.unsourced == ()
    assert all(len(source) > 20 for source in profile.sources.values())
    assert HardwareProfile.model_validate_json(profile.model_dump_json()) == profile


def test_the_raspberry_pi_4() -> None:
    profile = load_profile("raspberry-pi-4")
    assert (profile.processor.core, profile.processor.cores, profile.processor.clock_mhz) == (
        "Cortex-A72",
        4,
        1500,
    )
    assert (profile.power.idle_w, profile.power.active_w) == (3.1, 6.1)
    assert (profile.memory.ram_bytes, profile.reach) == (None, "ssh")


def test_names_begin_with_this_machine_and_include_the_users_own(tmp_path: Path) -> None:
    write(tmp_path)
    names = profile_names([tmp_path])
    assert names[0] == "this-machine"
    assert list(names[1:]) == sorted(names[1:])
    assert {"board", "raspberry-pi-4"} < set(names)
    assert "board" not in profile_names()


def test_this_machine_is_what_is_found() -> None:
    profile = load_profile("this-machine")
    assert profile == this_machine()
    assert profile.reach == "local"
    assert profile.memory.ram_bytes == psutil.virtual_memory().total
    assert profile.memory.storage_bytes is None
    assert profile.processor.core
    assert 1 <= (profile.processor.cores or 0) <= (profile.processor.logical_cores or 0)


def test_a_users_profile_is_a_file_and_goes_before_ours(tmp_path: Path) -> None:
    write(tmp_path)
    assert load_profile("board", [tmp_path]).memory.ram_bytes is None
    mine = yaml.safe_load((CATALOG / "raspberry-pi-4.yaml").read_text()) | {"title": "Mine"}
    (tmp_path / "raspberry-pi-4.yaml").write_text(yaml.safe_dump(mine))
    assert load_profile("raspberry-pi-4", [tmp_path]).title == "Mine"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("raspbery-pi-4", "did you mean 'raspberry-pi-4'"), ("this_machine", "did you mean 'this-machine'")],
)
def test_an_unknown_device_comes_with_the_nearest_name(name: str, hint: str) -> None:
    with pytest.raises(DeviceError, match=rf"no device profile named '{name}'; {hint}.*edgesearch devices"):
        load_profile(name)


@pytest.mark.parametrize("name", ["", "zzz", "../board", "catalog/raspberry-pi-4", "/etc/passwd"])
def test_other_unknown_devices_and_paths(name: str, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "inner").mkdir()
    with pytest.raises(DeviceError, match="no device profile named"):
        load_profile(name, [tmp_path / "inner"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"proccessor": 1}, "unknown key 'proccessor'; did you mean 'processor'"),
        (
            {"processor": {"isa": "a", "core": "b", "clock_mzh": 1}},
            "'processor.clock_mzh'; did you mean 'clock_mhz'",
        ),
        (
            {"accelerator": {"name": "npu", "powerw": 1}},
            "unknown key 'accelerator.powerw'; did you mean 'power_w'",
        ),
        ({"qqqqqqq": 1}, "unknown key 'qqqqqqq'$"),
        ({"processor": {"isa": "a"}}, "key 'processor.core' is missing"),
        ({"precisions": ["int3"]}, r"'precisions\.0'.*got 'int3'"),
        ({"precisions": []}, "'precisions'"),
        ({"power": {"idle_w": -1}}, r"'power\.idle_w'.*greater than 0, got -1"),
        ({"memory": {"ram_bytes": float("nan")}}, r"'memory\.ram_bytes'"),
        ({"sources": {"processor.clock_mhz": "a leaflet"}}, "'processor.clock_mhz' is none"),
        ({"name": "other"}, "rename the file to other.yaml or write 'name: board'"),
        ({"name": "Board Nr 1"}, "'name'"),
        ({"reach": "post"}, "'reach'.*got 'post'"),
    ],
)
def test_what_is_wrong_is_told_on_one_line(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(DeviceError, match=told) as caught:
        load_profile("board", [tmp_path])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["a: [", "\t- x", "- 1", "", "just text"])
def test_what_is_no_profile_at_all(content: str, tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    path.write_text(content)
    with pytest.raises(DeviceError, match=r"board\.yaml") as caught:
        read_profile(path)
    assert "\n" not in str(caught.value)


def test_a_profile_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / "board.yaml").write_text(f"!!python/object/apply:os.mkdir ['{tmp_path / 'made'}']")
    with pytest.raises(DeviceError, match="is not YAML"):
        load_profile("board", [tmp_path])
    assert not (tmp_path / "made").exists()


@given(content=st.binary(max_size=200))
def test_any_bytes_give_a_profile_or_one_line(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    with pytest.raises(DeviceError) as caught:
        read_profile(path)
    assert "\n" not in str(caught.value)


@settings(max_examples=30)
@given(
    key=st.sampled_from(sorted(MINIMAL)), value=st.recursive(st.none() | st.text() | st.floats(), st.lists)
)
def test_any_value_under_a_known_key_gives_a_profile_or_one_line(
    key: str, value: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert "\n" not in name_or_error(write(tmp_path_factory.getbasetemp(), **{key: value}))


def name_or_error(path: Path) -> str:
    try:
        return read_profile(path).name
    except DeviceError as error:
        return str(error)


def test_a_folder_is_no_profile(tmp_path: Path) -> None:
    (tmp_path / "board.yaml").mkdir()
    with pytest.raises(DeviceError, match="no device profile named 'board'"):
        load_profile("board", [tmp_path])
    with pytest.raises(DeviceError, match="cannot read the device profile"):
        read_profile(tmp_path / "board.yaml")
