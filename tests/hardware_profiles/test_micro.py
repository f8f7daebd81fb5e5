"""Arena and outputs of real files, by TensorFlow Lite Micro in a child; and why others have none."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from computes_contract import ComputesContract, here
from int8_models import Network
from tiny_models import fully_connected

from hardware_profiles import micro
from hardware_profiles.anchor import anchor_path
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.micro import ArenaUnknown, MicroRunner, arena
from hardware_profiles.runners.base import Runner

needs_micro = pytest.mark.skipif(
    find_spec("tflite_micro") is None, reason="this machine has no tflite-micro: it exists for x86-64 alone"
)


@pytest.fixture
def dense(tmp_path):
    path = tmp_path / "dense.tflite"
    path.write_bytes(fully_connected(64, 16))
    return path


@needs_micro
def test_the_arena_holds_input_and_output_at_least(dense):
    found = arena(dense)
    assert found.head_bytes >= (64 + 16) * 4
    assert found.total_bytes == found.head_bytes + found.tail_bytes


@needs_micro
def test_wider_models_need_more(tmp_path, dense):
    wide = tmp_path / "wide.tflite"
    wide.write_bytes(fully_connected(256, 64))
    assert arena(wide).head_bytes > arena(dense).head_bytes


@needs_micro
def test_the_answer_is_the_same_every_time():
    assert arena(anchor_path()) == arena(anchor_path())


@needs_micro
@pytest.mark.parametrize("content", [b"", b"TFL3 and no model", fully_connected(8, 4)[:200]])
def test_a_broken_file_is_a_reason_and_no_crash(tmp_path, content):
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(ArenaUnknown, match="does not run it"):
        arena(path)


def test_a_child_that_takes_too_long_is_ended(dense):
    with pytest.raises(ArenaUnknown, match=r"more than 0\.01 s"):
        arena(dense, timeout_s=0.01)


def test_without_the_package_the_reason_is_how_to_get_it(dense, monkeypatch):
    hidden = "import sys\nsys.modules['tflite_micro'] = None\n"
    monkeypatch.setattr(
        micro, "_SCRIPT", f"{hidden}raise ModuleNotFoundError(\"No module named 'tflite_micro'\")"
    )
    with pytest.raises(ArenaUnknown, match="pip install"):
        arena(dense)
    assert sys.modules.get("tflite_micro", "") is not None


@needs_micro
def test_the_least_arena_does_and_a_smaller_one_does_not(dense):
    samples = np.ones((3, 64), np.float32)
    for model, inputs in ((dense, samples), (anchor_path(), np.ones((3, 28, 28, 3), np.int8))):
        found = arena(model)
        assert found.least_bytes >= found.total_bytes
        (ample,) = MicroRunner().compute(model, [inputs])
        (tight,) = MicroRunner(arena_bytes=found.least_bytes).compute(model, [inputs])
        assert np.array_equal(tight, ample)
        with pytest.raises(MeasuringFailed, match="does not run it"):
            MicroRunner(arena_bytes=found.least_bytes - 16).compute(model, [inputs])


@needs_micro
def test_a_narrow_model_needs_more_to_start_than_to_run(tmp_path):
    network = Network()
    data = network.input(1, 8)
    for _ in range(6):
        data = network.dense(data, 8)
    narrow = tmp_path / "narrow.tflite"
    narrow.write_bytes(network.bytes(data))
    found = arena(narrow)
    assert found.least_bytes > found.total_bytes
    samples = [np.ones((1, 8), np.int8)]
    assert MicroRunner(arena_bytes=found.least_bytes).compute(narrow, samples)[0].shape == (1, 8)
    with pytest.raises(MeasuringFailed):
        MicroRunner(arena_bytes=found.total_bytes).compute(narrow, samples)


@needs_micro
def test_an_arena_says_where_it_comes_from(dense):
    found = arena(dense)
    seen = found.measurement("rp2040")
    assert (seen.metric, seen.value, seen.high) == ("arena_bytes", found.least_bytes, found.least_bytes)
    assert seen.low == found.head_bytes
    assert (seen.source.provenance, seen.source.device) == ("measured", "rp2040")
    assert seen.source.runtime == "tflite-micro"
    assert seen.source.runtime_version
    assert seen.source.machine


@needs_micro
class TestMicroRunner(ComputesContract):
    @pytest.fixture
    def computer(self):
        return MicroRunner()

    @pytest.fixture
    def models(self, small_model, large_model):
        return small_model, large_model

    def test_it_times_nothing(self, computer):
        assert not isinstance(computer, Runner)

    def test_outputs_are_of_the_models_own_types(self, computer):
        samples = np.random.default_rng(1).integers(-128, 128, (20, 28, 28, 3), np.int8)
        (outputs,) = computer.compute(anchor_path(), [samples])
        (expected,) = here(anchor_path(), [samples])
        assert (outputs.shape, outputs.dtype) == ((20, 10), np.int8)
        assert np.abs(outputs.astype(int) - expected.astype(int)).max() <= 1

    def test_several_inputs_and_outputs_keep_their_order(self, computer, tmp_path):
        network = Network(data="FLOAT32")
        ends = network.input(1, 4), network.input(1, 4)
        results = [
            network.op(kind, ends, network.tensor((1, 4)), options)
            for kind, options in (("SUB", schema.SubOptionsT), ("ADD", schema.AddOptionsT))
        ]
        model = tmp_path / "two.tflite"
        model.write_bytes(network.bytes(*results))
        left, right = np.arange(8, dtype=np.float32).reshape(2, 4), np.ones((2, 4), np.float32)
        outputs = computer.compute(model, [left, right])
        assert [output.tolist() for output in outputs] == [(left - right).tolist(), (left + right).tolist()]

    def test_an_unknown_operator_is_named(self, computer, tmp_path):
        network = Network(data="FLOAT32")
        data = network.input(1, 64)
        model = tmp_path / "where.tflite"
        model.write_bytes(network.bytes(network.op("WHERE", [data], network.tensor((1, 64)))))
        with pytest.raises(MeasuringFailed, match=r"where\.tflite': .* 'WHERE'"):
            computer.compute(model, [np.zeros((1, 64), np.float32)])

    def test_an_operator_without_a_kernel_for_its_types_is_named(self, computer, tmp_path):
        network = Network(data="FLOAT32", weights="INT8")
        model = tmp_path / "hybrid.tflite"
        model.write_bytes(network.bytes(network.dense(network.input(1, 64), 8)))
        with pytest.raises(MeasuringFailed, match="FULLY_CONNECTED"):
            computer.compute(model, [np.zeros((1, 64), np.float32)])

    def test_nan_is_no_result(self, computer, small_model):
        samples = np.full((1, 64), np.inf, np.float32)
        with pytest.raises(MeasuringFailed, match="NaN"):
            computer.compute(small_model, [samples * np.tile([1, -1], 32).astype(np.float32)])

    def test_a_model_that_takes_too_long_is_ended(self, small_model):
        with pytest.raises(MeasuringFailed, match=r"more than the limit of 0\.01 s"):
            MicroRunner(timeout_s=0.01).compute(small_model, [np.zeros((1, 64), np.float32)])

    def test_a_crash_is_one_line_with_its_signal(self, computer, small_model, monkeypatch):
        monkeypatch.setattr(micro, "_COMPUTE", "import os\nos.abort()")
        with pytest.raises(MeasuringFailed, match="SIGABRT"):
            computer.compute(small_model, [np.zeros((1, 64), np.float32)])

    def test_without_the_package_nothing_can_be_computed_at_all(self, computer, small_model, monkeypatch):
        gone = "raise ModuleNotFoundError(\"No module named 'tflite_micro'\")"
        monkeypatch.setattr(micro, "_COMPUTE", gone)
        with pytest.raises(DeviceError, match="pip install 'edgesearch") as caught:
            computer.compute(small_model, [np.zeros((1, 64), np.float32)])
        assert not isinstance(caught.value, MeasuringFailed)


@pytest.mark.parametrize("wrong", [{"arena_bytes": 0}, {"timeout_s": 0}])
def test_limits_are_more_than_nothing(wrong):
    with pytest.raises(DeviceError, match="more than 0"):
        MicroRunner(**wrong)
