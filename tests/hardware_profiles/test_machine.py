"""What is found out about the machine, and that it stays the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hardware_profiles import machine
from hardware_profiles.machine import (
    clock_mhz,
    core_from_cpuinfo,
    machine_id,
    output_of,
    system_id,
    usable_cores,
)

X86 = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Some CPU @ 2.80GHz\nflags\t\t: a b\n"
PI_4 = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\nModel\t\t: Raspberry Pi 4\n"


@pytest.mark.parametrize(
    ("text", "core"),
    [
        (X86, "Some CPU @ 2.80GHz"),
        (PI_4, "Cortex-A72"),
        (PI_4.replace("0xd08", "0xfff"), "Arm part 0xfff"),
        ("isa\t: rv64imafdc\n", ""),
        ("", ""),
    ],
)
def test_the_core_is_read_from_cpuinfo(text: str, core: str) -> None:
    assert core_from_cpuinfo(text) == core


def test_the_machine_id_is_the_same_in_every_process_and_tells_nothing() -> None:
    code = "from hardware_profiles.machine import machine_id; print(machine_id())"
    root = str(Path(machine.__file__).parent.parent)
    out = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": root}, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert out == machine_id()
    assert re.fullmatch("[0-9a-f]{12}", out)
    assert out not in (system_id() or "")


@pytest.mark.parametrize("part", ["system_id", "processor_core"])
def test_another_machine_has_another_id(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, part, lambda: "something else")
    assert machine.machine_id.__wrapped__() != machine_id()


def test_without_a_system_id_the_host_name_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "system_id", lambda: None)
    first = machine.machine_id.__wrapped__()
    monkeypatch.setattr(machine.platform, "node", lambda: "some-other-host")
    assert machine.machine_id.__wrapped__() != first


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no processor affinity")
def test_cores_are_those_that_may_be_used() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == (1, 1)
    finally:
        os.sched_setaffinity(0, before)
    assert usable_cores()[1] == len(before)


@pytest.mark.parametrize("failure", [NotImplementedError(), OSError(), AttributeError(), RuntimeError()])
def test_a_clock_that_cannot_be_read_is_unknown(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise failure

    monkeypatch.setattr(machine.psutil, "cpu_freq", fail)
    assert clock_mhz() is None


def test_a_command_that_is_not_there_says_nothing() -> None:
    assert output_of("no-such-command-here") == ""
    assert output_of(sys.executable, "-c", "raise SystemExit(1)") == ""
