"""The profiles that we ship: each figure has its source, and each can be served by a runner."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hardware_profiles.errors import DeviceError
from hardware_profiles.firmware import budget_of
from hardware_profiles.profile import CATALOG, THIS_MACHINE, HardwareProfile, load_profile, profile_names
from hardware_profiles.runners.cycles import CyclesEstimator
from hardware_profiles.runners.tool import find_tool
from hardware_profiles.runners.vela import VelaEstimator

SHIPPED = [name for name in profile_names() if name != THIS_MACHINE]
MICROCONTROLLERS = ["arduino-nano-33-ble", "corstone-300", "esp32-s3", "nucleo-l4r5zi", "rp2040"]
LINUX = ["coral-dev-board", "raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-zero-2w"]
PUBLISHERS = (
    "Raspberry Pi", "Google Coral", "ST,", "Arduino", "Nordic", "Espressif", "MLPerf Tiny",
    "Trusted Firmware-M", "same core and kernels; measured on the NUCLEO-L4R5ZI: MLPerf Tiny",
)  # fmt: skip
# Multiply-accumulates of MLPerf Tiny's networks, and ms on the NUCLEO-L4R5ZI: TensorFlow Lite Micro with
# CMSIS-NN (v0.5, closed/reference), CMSIS-NN under microTVM (v1.0, closed/OctoML).
MLPERF_TINY = {
    "image classification": (12_501_632, 704.26, 389.55),
    "keyword spotting": (2_656_768, 181.92, 99.81),
    "visual wake words": (7_489_664, 600.54, 301.22),
    "anomaly detection": (264_192, 10.052, 8.605),
}


def written(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CATALOG / f"{name}.yaml").read_text(encoding="utf-8"))
    return document


def test_the_catalogue() -> None:
    assert set(SHIPPED) == {"android-phone", *LINUX, *MICROCONTROLLERS}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_figure_has_its_source(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.unsourced == ()
    assert HardwareProfile.model_validate_json(profile.model_dump_json()) == profile


@pytest.mark.parametrize("name", SHIPPED)
def test_a_source_names_who_published_what_and_what_it_says(name: str) -> None:
    for figure, source in load_profile(name).sources.items():
        assert source.startswith(PUBLISHERS), f"{figure}: {source}"
        assert ": " in source and len(source.split(": ", 1)[1].split()) >= 2, f"{figure}: {source}"
        assert len(set(re.findall(r"[A-Za-z]{3,}", source))) >= 5, f"{figure}: {source}"


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_not_known_is_written_down_as_unknown(name: str) -> None:
    document = written(name)
    assert {"ram_bytes", "storage_bytes"} <= set(document["memory"])
    assert {"cores", "clock_mhz"} <= set(document["processor"])


@pytest.mark.parametrize("name", SHIPPED)
def test_reach_runtime_and_precisions_go_together(name: str) -> None:
    profile = load_profile(name)
    runs = set(profile.precisions)
    if name in MICROCONTROLLERS:
        assert (profile.runtime.name, profile.counts) == ("tflite-micro", "stored")
        assert profile.reach in ("command", "simulator")
        assert runs <= {"float32", "int8", "int16x8"} and {"int8", "int16x8"} <= runs
    else:
        assert (profile.runtime.name, profile.runtime.kernels) == ("litert", "xnnpack")
        assert profile.reach == ("adb" if name == "android-phone" else "ssh")
        assert runs == {"float32", "float16", "dynamic-int8", "int8"}
        assert not profile.cycles_per_mac, "published for microcontrollers only"
    assert set(profile.input_types) == ({"float32", "int8"} if "float32" in runs else {"int8"})


@pytest.mark.parametrize("name", [name for name in MICROCONTROLLERS if load_profile(name).cycles_per_mac])
def test_published_cycles_give_an_estimate(name: str) -> None:
    profile = load_profile(name)
    assert list(profile.cycles_per_mac) == [profile.runtime.kernels]
    assert CyclesEstimator(profile).clock_mhz == profile.processor.clock_mhz


@pytest.mark.parametrize("name", ["rp2040", "corstone-300"])
def test_where_nobody_published_cycles_there_is_no_estimate(name: str) -> None:
    with pytest.raises(DeviceError, match="no published cycles per MAC"):
        CyclesEstimator(load_profile(name))


def test_the_cycles_of_the_l4r5zi_are_those_of_its_published_runs() -> None:
    profile = load_profile("nucleo-l4r5zi")
    clock_khz = (profile.processor.clock_mhz or 0) * 1e3
    seen = [ms * clock_khz / macs for macs, *runs in MLPERF_TINY.values() for ms in runs]
    cost = profile.cycles_per_mac["cmsis-nn"]
    assert (round(min(seen), 1), round(max(seen), 1)) == (cost.low, cost.high)
    assert load_profile("arduino-nano-33-ble").cycles_per_mac == profile.cycles_per_mac, "the same core"


def test_the_published_network_of_the_esp32_s3_lies_within_its_kernels() -> None:
    profile = load_profile("esp32-s3")
    cost = profile.cycles_per_mac["esp-nn"]
    kernels = [461_398 / (10 * 10 * 64 * 64), 643_689 / (8 * 8 * 64 * 3 * 3 * 3)]
    assert (round(min(kernels), 1), round(max(kernels), 1)) == (cost.low, cost.high)
    assert cost.low < 54 * (profile.processor.clock_mhz or 0) * 1e3 / 7_157_888 < cost.high


def test_well_known_figures() -> None:
    pi = load_profile("raspberry-pi-4")
    assert (pi.processor.core, pi.processor.cores, pi.processor.clock_mhz) == ("Cortex-A72", 4, 1500)
    assert (pi.power.idle_w, pi.power.active_w, pi.memory.ram_bytes) == (3.1, 6.1, None)
    memory = {name: load_profile(name).memory for name in ("nucleo-l4r5zi", "arduino-nano-33-ble", "rp2040")}
    assert {name: (m.ram_bytes, m.storage_bytes) for name, m in memory.items()} == {
        "nucleo-l4r5zi": (640 * 1024, 2 * 1024**2),
        "arduino-nano-33-ble": (256 * 1024, 1024**2),
        "rp2040": (264 * 1024, 2 * 1024**2),
    }
    assert load_profile("android-phone").counts == "compressed"


@pytest.mark.parametrize("name", ["nucleo-l4r5zi", "arduino-nano-33-ble", "rp2040"])
def test_a_board_with_known_memory_has_a_budget(name: str) -> None:
    memory = load_profile(name).memory
    budget = budget_of(load_profile(name), reserve_flash_bytes=90 * 1024)
    assert (budget.flash_bytes, budget.ram_bytes) == (memory.storage_bytes, memory.ram_bytes)


def test_the_accelerators() -> None:
    found = {name: load_profile(name).accelerator for name in SHIPPED}
    kinds = {name: accelerator.kind for name, accelerator in found.items() if accelerator}
    assert kinds == {"coral-dev-board": "edge-tpu", "corstone-300": "ethos-u"}


@pytest.mark.skipif(find_tool("vela") is None, reason="Vela is not installed (the 'vela' extra)")
def test_velas_own_configuration_file_has_the_names_of_ours() -> None:
    npu = load_profile("corstone-300").accelerator
    assert npu is not None
    assert f"--system-config={npu.vela_system}" in VelaEstimator(load_profile("corstone-300")).options
    import ethosu

    text = (Path(ethosu.__path__[0]) / "config_files" / "Arm" / "vela.ini").read_text(encoding="utf-8")
    assert f"[System_Config.{npu.vela_system}]" in text
    assert f"[Memory_Mode.{npu.vela_memory}]" in text
