"""From a profile and a connection to a runner, or to what to do instead."""

import sys
from pathlib import Path

import pytest

from hardware_profiles.anchor import anchor_path
from hardware_profiles.connect import connect
from hardware_profiles.connection import parse_connection
from hardware_profiles.errors import DeviceError
from hardware_profiles.profile import load_profile, profile_names, this_machine
from hardware_profiles.runners.base import Computes
from hardware_profiles.runners.command import CommandRunner
from hardware_profiles.runners.local import LocalRunner
from hardware_profiles.runners.locked import LockedRunner
from hardware_profiles.runners.replay import Recorder, ReplayRunner, record
from hardware_profiles.runners.retrying import RetryingRunner
from hardware_profiles.runners.ssh import SshRunner


def test_this_machine_is_measured_here_one_at_a_time() -> None:
    runner = connect(this_machine(), threads=2)
    assert isinstance(runner, LockedRunner)
    assert isinstance(runner.runner, LocalRunner)
    assert (runner.runner.device, runner.runner.terms.threads) == ("this-machine", 2)


@pytest.mark.parametrize("name", [name for name in profile_names() if name != "this-machine"])
def test_what_is_elsewhere_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(
        DeviceError, match=rf"'{name}' is not this machine.*give --on.*--device this"
    ) as caught:
        connect(load_profile(name))
    assert "\n" not in str(caught.value)


def test_threads_are_at_least_one() -> None:
    with pytest.raises(DeviceError, match="1 thread or more, got 0"):
        connect(this_machine(), threads=0)


def test_a_board_is_reached_by_ssh_and_tried_again() -> None:
    runner = connect(load_profile("raspberry-pi-4"), 2, parse_connection("ssh://pi@board:2222"))
    assert isinstance(runner, RetryingRunner)
    locked = runner.runner
    assert isinstance(locked, LockedRunner)
    assert isinstance(locked.runner, SshRunner)
    assert (locked.runner.device, locked.runner.threads, locked.place) == (
        "raspberry-pi-4",
        2,
        "ssh://pi@board:2222",
    )


def test_a_program_measures_for_a_microcontroller() -> None:
    command = parse_connection(f"command:{sys.executable} flash.py")
    runner = connect(load_profile("nucleo-l4r5zi"), 1, command)
    assert isinstance(runner, RetryingRunner)
    assert isinstance(runner.runner, LockedRunner)
    assert isinstance(runner.runner.runner, CommandRunner)


def test_a_recording_is_played(tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    record(LocalRunner("this-machine", budget_s=0.02, patience_s=0.05), [anchor_path()], None).save(path)
    runner = connect(load_profile("raspberry-pi-5"), 1, parse_connection(f"replay:{path}"))
    assert isinstance(runner, ReplayRunner)
    assert runner.measure([anchor_path()], None)[0].source.provenance == "measured"


def test_what_is_measured_can_be_recorded_and_played(tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    recording = connect(this_machine(), 1, parse_connection("local", record=path))
    assert isinstance(recording, Recorder)
    assert isinstance(recording, Computes)
    seen = recording.measure([anchor_path()], None)
    assert (
        connect(this_machine(), 1, parse_connection(f"replay:{path}")).measure([anchor_path()], None) == seen
    )
    with pytest.raises(DeviceError, match="--record does not go with --on estimated"):
        parse_connection("estimated", record=path)


def test_another_processor_is_not_this_machine() -> None:
    other = this_machine().model_copy(update={"name": "board"})
    elsewhere = other.model_copy(update={"processor": other.processor.model_copy(update={"isa": "riscv64"})})
    with pytest.raises(DeviceError, match=r"processor is riscv64, but this one's is .*ssh://user@host"):
        connect(elsewhere, 1, parse_connection("local"))
    assert isinstance(connect(other, 1, parse_connection("local")), LockedRunner)


def test_an_estimate_is_no_measurement() -> None:
    with pytest.raises(DeviceError, match="nothing is measured with --on estimated"):
        connect(load_profile("nucleo-l4r5zi"), 1, parse_connection("estimated"))
