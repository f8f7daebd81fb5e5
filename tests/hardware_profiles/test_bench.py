"""What runs aboard a device: alone, as it is sent there, in an old Python's syntax."""

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from sshd import which_python

from hardware_profiles import machine
from hardware_profiles.aboard import board
from hardware_profiles.aboard.bench import Subject, random_input
from hardware_profiles.anchor import anchor_path
from hardware_profiles.runners import parcel
from hardware_profiles.runners.child import run
from hardware_profiles.runners.local import PACKAGE, START
from hardware_profiles.runners.ssh import content

ABOARD = sorted(parcel.ABOARD.glob("*.py"))
CORES = {str(part): name for part, name in machine.ARM_CORES.items()}
REQUEST: dict[str, Any] = {
    "do": "measure",
    "anchor": {"path": str(anchor_path())},
    "threads": 1,
    "delegate": None,
    "arm_cores": CORES,
    "copies": 2,
    "seed": 0,
    "budget_s": 0.02,
    "patience_s": 0.05,
    "time_limit_s": 20,
    "wait_s": 60,
    "who": "a test",
    "reference_ms": None,
    "quick": 1.25,
    "agree": 0.02,
    "few": 4,
    "many": 8,
}


def ask(start: str = START, **changes: Any) -> tuple[int, dict[str, Any]]:
    """Give a bare interpreter the request, as on this machine."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", start],
        input=json.dumps(REQUEST | changes),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}")


def send(python: tuple[str, ...] = (sys.executable,), **changes: Any) -> tuple[int, dict[str, Any]]:
    """Give a bare interpreter all that runs aboard and the request, as over SSH."""
    ended = run(
        [*python, "-I", "-c", parcel.BOOTSTRAP],
        parcel.parcel(REQUEST | changes),
        limit_s=60,
        wait_s=60,
        hold=True,
    )
    return ended.status, json.loads(ended.output)


@pytest.mark.parametrize("way", [ask, send])
def test_answers_one_json_document_with_every_round(way, small_model: Path) -> None:
    status, answer = way(models=[{"path": str(small_model)}, content(anchor_path())])
    assert status == 0
    assert answer["runtime"]["name"] == "litert"
    assert answer["peak_rss_bytes"] > 1 << 20
    assert answer["board"]["machine"] == machine.machine_id()
    assert answer["board"]["processor"] == machine.processor_core()
    for model in answer["models"]:
        assert model["runs"] >= len(model["rounds"]) >= 5
        assert model["min_ns"] <= min(middle for _, middle, _ in model["rounds"])
        assert len(model["copies"]) == len(model["rounds"])
        assert set(model["copies"]) == {0, 1}
        assert 0 < model["min_ns"] <= model["median_ns"] <= model["p90_ns"] <= model["p99_ns"]
    assert answer["anchor"]["min_ns"] <= min(before for before, _, _ in answer["models"][0]["rounds"])


@pytest.mark.parametrize("way", [ask, send])
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"models": []}, "no model to time"),
        ({"models": [{"path": "/nowhere/x.tflite"}]}, "/nowhere/x.tflite"),
        ({"models": [{"path": str(ABOARD[0])}]}, "ValueError"),
        ({"models": [{"content": "AAAA"}]}, "ValueError"),
        ({}, "models"),
        ({"do": "format the disk"}, "format the disk"),
    ],
)
def test_any_error_is_an_answer_and_a_status(way, changes: dict[str, Any], told: str) -> None:
    status, answer = way(**changes)
    assert status == 1
    assert set(answer) == {"error"}
    assert told in answer["error"]
    assert "\n" not in answer["error"]


HANG = PACKAGE + "import time; from hardware_profiles.aboard import bench; "
HANG += "bench.Session.run = lambda self: time.sleep(60); bench.run()"


def test_the_alarm_ends_a_child_that_nobody_waits_for() -> None:
    started = time.monotonic()
    status, _ = ask(HANG, models=[{"path": str(anchor_path())}], time_limit_s=0)
    assert status < 0
    assert time.monotonic() - started < 30


def test_what_was_sent_ends_when_the_one_who_asked_is_gone() -> None:
    asked = parcel.parcel(REQUEST | {"models": [content(anchor_path())], "budget_s": 50, "patience_s": 60,
                                     "many": 10**9, "few": 10**9, "time_limit_s": 100})  # fmt: skip
    command = [sys.executable, "-I", "-c", parcel.BOOTSTRAP]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as sent:
        assert sent.stdin is not None
        assert sent.stderr is not None
        sent.stdin.write(asked)
        sent.stdin.flush()
        while sent.stderr.readline() != b"bench: timing\n":
            assert sent.poll() is None
        (child,) = psutil.Process(sent.pid).children()
        sent.stdin.close()
        sent.stdin = None
        sent.wait(20)
        assert not child.is_running()


def test_a_limit_that_is_overrun_is_told_from_there() -> None:
    request = {"models": [content(anchor_path())], "budget_s": 50, "patience_s": 60, "many": 10**9}
    status, answer = send(**request, few=10**9, time_limit_s=1.5)
    assert (status, answer["kind"]) == (1, "overran")
    assert "limit of 1.5 s" in answer["error"]


def test_a_bare_python_says_what_it_lacks() -> None:
    status, answer = send((sys.executable, "-S"), models=[])
    assert (status, answer["kind"]) == (1, "numpy")
    assert "numpy" in answer["error"]


@pytest.mark.parametrize(("version", "kind"), [("3.6", "python"), ("3.7", "numpy"), ("3.8", "numpy")])
def test_an_old_python_says_what_it_lacks(version: str, kind: str) -> None:
    python = which_python(version)
    if python is None:
        pytest.skip(f"this machine has no python{version}")
    status, answer = send((python, "-S"), models=[])
    assert (status, answer["kind"]) == (1, kind)
    assert version in answer["error"] or "numpy" in answer["error"]


def test_the_bootstrap_has_nothing_that_a_shell_would_read() -> None:
    assert set(parcel.BOOTSTRAP).isdisjoint("'\"\\$`!%&|<>~#*?[]{}^")


def test_outputs_are_of_as_many_samples_as_time_allowed(small_model: Path) -> None:
    from hardware_profiles.runners.answers import Tensor

    samples = np.random.default_rng(0).normal(size=(50, 64)).astype(np.float32)
    sent = [Tensor.of(samples).model_dump()]
    for patience_s, count in ((0, 1), (60, 50)):
        _, answer = ask(do="compute", models=[content(small_model)], inputs=sent, patience_s=patience_s)
        assert answer["outputs"][0]["shape"] == [count, 16]


def test_quantiles_are_of_the_samples_that_were_kept() -> None:
    subject = object.__new__(Subject)
    subject.samples, subject.rounds, subject.runs, subject.fastest_ns = list(range(1, 102)), [], 500, 1
    summary = subject.summary()
    assert (summary["median_ns"], summary["p90_ns"], summary["p99_ns"]) == (51, 91, 100)
    assert summary["runs"] == 500


@pytest.mark.parametrize("path", ABOARD, ids=lambda path: path.stem)
def test_keeps_to_the_syntax_of_python_3_7(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 7))


@pytest.mark.parametrize("path", ABOARD, ids=lambda path: path.stem)
def test_imports_nothing_of_ours_but_its_neighbours(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    strange = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}
    assert strange <= {"numpy"} | {name for name in names if name.startswith("hardware_profiles.aboard")}


@pytest.mark.parametrize("path", ABOARD, ids=lambda path: path.stem)
def test_numpy_is_needed_only_where_models_run(path: Path) -> None:
    assert ("import numpy" in path.read_text()) == (path.stem in ("bench", "compute"))


CPUINFO = (
    "processor\t: 0\nmodel name\t: Some CPU @ 2.80GHz\n",
    "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n",
    "CPU implementer\t: 0x41\nCPU part\t: 0xfff\n",
    "isa\t: rv64imafdc\n",
    "",
)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up /proc and /sys."""
    monkeypatch.setattr(board, "ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def put(root: Path, path: str, text: object) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(f"{text}\n")


@pytest.mark.parametrize("text", CPUINFO)
def test_a_machine_has_the_same_id_from_near_and_far(text: str, tree: Path, monkeypatch) -> None:
    put(tree, "proc/cpuinfo", text)
    put(tree, "etc/machine-id", "0123456789abcdef")
    monkeypatch.setattr(machine, "cpuinfo", lambda: text)
    monkeypatch.setattr(machine, "system_id", lambda: "0123456789abcdef")
    assert board.processor(CORES) == machine.processor_core()
    assert board.machine_id(CORES) == machine.machine_id.__wrapped__()


def test_a_machine_that_tells_nothing_is_not_guessed_at(tree: Path) -> None:
    before = board.state()
    facts = board.facts(CORES, before, board.state())
    assert (facts["governor"], facts["clock_mhz"], facts["throttling"]) == (None, None, [])


FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
COUNT = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
HIGHEST = "sys/devices/system/cpu/cpu1/cpufreq/scaling_max_freq"
COOLER = "sys/class/thermal/cooling_device0/"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({FIRMWARE: "0"}, {FIRMWARE: "0"}, []),
        ({FIRMWARE: "50000"}, {FIRMWARE: "50000"}, []),
        ({FIRMWARE: "0"}, {FIRMWARE: "40000"}, ["throttled by the firmware"]),
        ({FIRMWARE: "4"}, {FIRMWARE: "0"}, ["throttled by the firmware"]),
        ({FIRMWARE: "0"}, {FIRMWARE: "10001"}, ["under-voltage"]),
        ({FIRMWARE: "0"}, {FIRMWARE: "20001"}, ["under-voltage", "clock capped by the firmware"]),
        ({FIRMWARE: "80000"}, {FIRMWARE: "80008"}, ["temperature limit of the firmware"]),
        ({FIRMWARE: "nonsense"}, {FIRMWARE: "-1"}, []),
        ({COUNT: 5}, {COUNT: 5}, []),
        ({COUNT: 5}, {COUNT: 6}, ["thermal throttling of the processor"]),
        ({HIGHEST: 1800000}, {HIGHEST: 1800000}, []),
        ({HIGHEST: 1800000}, {HIGHEST: 600000}, ["highest clock lowered"]),
        ({COOLER + "type": "cpufreq-cpu0", COOLER + "cur_state": 0}, {}, []),
        ({COOLER + "type": "cpufreq-cpu0", COOLER + "cur_state": 2}, {}, ["cooling by cpufreq-cpu0"]),
        ({COOLER + "type": "pwm-fan", COOLER + "cur_state": 2}, {}, []),
    ],
)  # fmt: skip
def test_throttling_is_what_happened_meanwhile(before, after, told: list[str], tree: Path) -> None:
    for path, text in before.items():
        put(tree, path, text)
    first = board.state()
    for path, text in after.items():
        put(tree, path, text)
    assert board.throttling(first, board.state()) == told


@pytest.mark.parametrize(
    ("script", "flags"),
    [("echo throttled=0x50005", 0x50005), ("echo error >&2; exit 255", 0), ("echo what", 0), ("sleep 30", 0)],
)
def test_without_sysfs_the_firmware_is_asked_by_its_tool(script: str, flags: int, tree: Path) -> None:
    put(
        tree,
        "bin/vcgencmd",
        f"#!/bin/sh\nPATH=/usr/bin:/bin\nexec 2>/dev/null\n{script.replace('sleep', 'exec sleep')}",
    )
    (tree / "bin/vcgencmd").chmod(0o755)
    assert board.firmware_flags() == flags


def test_governor_and_clock_are_of_a_processor_that_we_may_use(tree: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 2}, raising=False)
    put(tree, "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "ondemand")
    put(tree, "sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq", 1500000)
    before = board.state()
    facts = board.facts(CORES, before, board.state())
    assert (facts["governor"], facts["clock_mhz"]) == ("ondemand", 1500.0)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16])
def test_small_integers_get_their_whole_range(kind: type) -> None:
    data = random_input({"name": "x", "shape": (4000,), "dtype": kind}, np.random.RandomState(0))
    bounds = np.iinfo(kind)
    assert data.dtype == kind
    assert data.min() < bounds.min + 0.01 * (bounds.max - bounds.min + 100)
    assert data.max() > bounds.max - 0.01 * (bounds.max - bounds.min + 100)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_floats_are_unit_normal(kind: type) -> None:
    data = random_input({"name": "x", "shape": (4000,), "dtype": kind}, np.random.RandomState(0))
    assert data.dtype == kind
    assert float(data.astype(float).std()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.bool_])
def test_indices_are_0_and_1(kind: type) -> None:
    data = random_input({"name": "x", "shape": (100,), "dtype": kind}, np.random.RandomState(0))
    assert data.dtype == kind
    assert set(data.astype(int)) == {0, 1}


def test_inputs_are_seeded_and_strange_types_refused() -> None:
    detail = {"name": "x", "shape": (8,), "dtype": np.int8}
    first, second = (random_input(detail, np.random.RandomState(7)) for _ in range(2))
    assert (first == second).all()
    with pytest.raises(ValueError, match="input 'x' has type complex64"):
        random_input({"name": "x", "shape": (8,), "dtype": np.complex64}, np.random.RandomState(0))
