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
    unsupported_ops,
)

MINIMAL: dict[str, Any] = {
    "name": "board",
    "title": "A board",
    "processor": {"isa": "armv7", "core": "Cortex-M7"},
    "runtime": {"name": "tflite-micro"},
    "precisions": ["int8"],
    "input_types": ["int8"],
    "reach": "command",
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "board.yaml"
    path.write_text(yaml.safe_dump(MINIMAL | changes))
    return path


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
            {"accelerator": {"name": "npu", "kind": "gpu", "powerw": 1}},
            "unknown key 'accelerator.powerw'; did you mean 'power_w'",
        ),
        ({"qqqqqqq": 1}, "unknown key 'qqqqqqq'$"),
        ({"processor": {"isa": "a"}}, "key 'processor.core' is missing"),
        ({"precisions": ["int3"]}, r"'precisions\.0'.*got 'int3'"),
        ({"precisions": []}, "'precisions'"),
        ({"precisions": ["int8", "float16"]}, "'tflite-micro' does not run float16: leave it out"),
        ({"precisions": ["dynamic-int8"]}, "'tflite-micro' does not run dynamic-int8: leave it out"),
        ({"slow_precisions": ["float32"]}, "slow_precisions are among precisions, but 'float32' is not"),
        ({"accelerator": {"name": "npu"}}, "key 'accelerator.kind' is missing"),
        ({"cycles_per_mac": {"mine": {"low": 2, "high": 1}}}, "low to high, got 2 to 1"),
        (
            {"cycles_per_mac": {"mine": {"low": 1, "high": 2, "hihg": 3}}},
            "unknown key 'cycles_per_mac.mine.hihg'; did you mean 'high'",
        ),
        ({"runtime": {"name": "tflite-micro", "code_bytes": 0}}, r"'runtime\.code_bytes'.*got 0"),
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


@pytest.mark.parametrize("written", ["{}", "./{}", "~/{}"])
def test_a_profile_is_named_by_its_path_too(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_profile(written.format("board.yaml")).name == "board"
    assert load_profile(str(tmp_path / "board.yaml")) == read_profile(tmp_path / "board.yaml")


def test_a_path_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"cannot read the device profile .*none\.yaml: No such file"):
        load_profile(str(tmp_path / "none.yaml"))


def test_the_ending_yml_does_for_a_path_and_is_kept_in_advice(tmp_path: Path) -> None:
    path = write(tmp_path).rename(tmp_path / "board.yml")
    assert load_profile(str(path)).name == "board"
    with pytest.raises(DeviceError, match=r"rename the file to board\.yml or write 'name: mine'"):
        load_profile(str(path.rename(tmp_path / "mine.yml")))


def test_a_plan_beside_the_profiles_is_no_profile(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "plan.yaml").write_text("data: digits\ntrials: 3\n")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00processor:")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "broken.yaml").write_text("processor:\n  - [")
    mine = set(profile_names([tmp_path])) - set(profile_names())
    assert mine == {"board", "broken"}, "what was meant as a profile is named, so that its error is told"


def test_operators_without_a_kernel(tmp_path: Path) -> None:
    board = read_profile(write(tmp_path))
    assert unsupported_ops(board, ["CONV_2D", "SOFTMAX", "MEAN"]) == ()
    assert unsupported_ops(board, ["TILE", "CONV_2D", "CONV_3D", "TILE"]) == ("CONV_3D", "TILE")
    few = read_profile(write(tmp_path, ops=["CONV_2D"]))
    assert unsupported_ops(few, ["CONV_2D", "SOFTMAX"]) == ("SOFTMAX",)
    assert unsupported_ops(read_profile(write(tmp_path, ops=[])), ["ADD"]) == ("ADD",)
    assert unsupported_ops(this_machine(), ["CONV_3D", "anything"]) == (), "nothing is known, nothing said"


PRECISIONS = ("float32", "float16", "dynamic-int8", "int8", "int16x8", "int4")
positive = st.floats(min_value=1e-9, max_value=1e12)
counts = st.integers(min_value=1, max_value=2**60)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Valid profiles, some of whose figures are not known, and a source for each that is."""
    low, high = sorted((draw(positive), draw(positive)))
    document = MINIMAL | {
        "processor": {
            "isa": draw(st.text(max_size=9)),
            "core": draw(st.text(max_size=9)),
            "cores": draw(st.none() | counts),
            "clock_mhz": draw(st.none() | positive),
        },
        "memory": {"ram_bytes": draw(st.none() | counts), "storage_bytes": draw(st.none() | counts)},
        "runtime": {"name": "litert", "kernels": "mine", "code_bytes": draw(st.none() | counts)},
        "precisions": draw(st.lists(st.sampled_from(PRECISIONS), min_size=1, unique=True)),
        "ops": draw(st.none() | st.lists(st.text(min_size=1, max_size=9))),
        "counts": draw(st.sampled_from(["stored", "compressed"])),
        "accelerator": draw(st.none() | st.builds(dict, name=st.just("npu"), kind=st.just("gpu"))),
        "cycles_per_mac": draw(st.sampled_from([{}, {"mine": {"low": low, "high": high}}])),
        "power": {"idle_w": draw(st.none() | positive)},
    }
    figures = HardwareProfile.model_validate(document).figures
    return document | {"sources": dict.fromkeys(figures, "a leaflet")}


@given(document=documents())
def test_a_profile_survives_writing_and_reading(document: dict[str, Any]) -> None:
    profile = HardwareProfile.model_validate(document)
    assert profile.unsourced == ()
    assert HardwareProfile.model_validate_json(profile.model_dump_json()) == profile
    assert HardwareProfile.model_validate(
        yaml.safe_load(yaml.safe_dump(profile.model_dump(mode="json")))
    ) == (profile)


@given(document=documents(), data=st.data())
def test_a_figure_without_its_source_is_told(document: dict[str, Any], data: st.DataObject) -> None:
    sources = document["sources"]
    kept = data.draw(st.sets(st.sampled_from(sorted(sources)))) if sources else set()
    bare = HardwareProfile.model_validate(document | {"sources": {key: sources[key] for key in kept}})
    assert set(bare.unsourced) == set(sources) - kept


@given(
    kinds=st.lists(st.sampled_from(["CONV_2D", "ADD", "TILE", "CONV_3D", "mine"])),
    ops=st.none() | st.lists(st.sampled_from(["CONV_2D", "TILE"])),
)
def test_unsupported_is_what_is_used_and_not_there(kinds: list[str], ops: list[str] | None) -> None:
    board = HardwareProfile.model_validate(MINIMAL | {"ops": ops})
    missing = unsupported_ops(board, iter(kinds))
    assert list(missing) == sorted(set(missing))
    assert set(missing) <= set(kinds)
    has = {"CONV_2D", "ADD"} if ops is None else set(ops)
    assert set(missing) == set(kinds) - has
