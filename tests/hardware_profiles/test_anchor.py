"""The anchor's file and its constant."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from ai_edge_litert.interpreter import Interpreter
from test_replay_runner import latency

from hardware_profiles.anchor import anchor_path, anchor_sha256, calibrate
from hardware_profiles.measurement import Latency
from hardware_profiles.runners.base import Anchor

SHA256 = "39fe901faea14bd137cb7ed2f9055bcf762f27f4caaecc1ab60bbb6daac56ce6"


class Scripted:
    """A runner that gives one figure after the other."""

    def __init__(self, *ms: float) -> None:
        self.ms = list(ms)

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        assert (tuple(models), anchor) == ((anchor_path(),), None)
        return (latency(self.ms.pop(0)),)


def test_the_file_is_the_one_that_recorded_ratios_refer_to() -> None:
    assert anchor_sha256() == SHA256


def test_it_is_small_int8_and_runs() -> None:
    assert anchor_path().stat().st_size < 40_000
    interpreter = Interpreter(model_path=str(anchor_path()))
    details = interpreter.get_input_details() + interpreter.get_output_details()
    assert {detail["dtype"].__name__ for detail in details} == {"int8"}
    interpreter.allocate_tensors()
    interpreter.invoke()
    assert len(set(interpreter.get_tensor(details[1]["index"]).ravel())) > 1


def test_the_constant_is_the_minimum_over_processes() -> None:
    anchor = calibrate(Scripted(0.03, 0.02, 0.05), processes=3)
    assert anchor.constant_ms == 0.02
    assert anchor.source.device == "board"


def test_a_calibration_needs_a_process() -> None:
    with pytest.raises(ValueError, match="1 process or more, got 0"):
        calibrate(Scripted(), processes=0)


@pytest.mark.slow
def test_the_script_makes_the_same_bytes_again(tmp_path: Path) -> None:
    script = anchor_path().parent.parent / "scripts" / "make_anchor"
    subprocess.run([sys.executable, script, tmp_path / "again.tflite"], check=True, capture_output=True)
    assert (tmp_path / "again.tflite").read_bytes() == anchor_path().read_bytes()
