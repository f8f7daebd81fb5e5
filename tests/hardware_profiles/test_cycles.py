import math
from pathlib import Path

import pytest
from estimates_contract import EstimatesContract
from hypothesis import given
from hypothesis import strategies as st
from int8_models import (
    Network,
    anomaly_detection,
    float_ends,
    image_classification,
    keyword_spotting,
    small_cnn,
    visual_wake_words,
)
from tiny_models import fully_connected

from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.profile import CyclesPerMac, HardwareProfile, Processor, Runtime
from hardware_profiles.runners.cycles import CyclesEstimator

# MLPerf Tiny v0.5 and v1.1, closed division, NUCLEO-L4R5ZI at 120 MHz: ms a run.
PUBLISHED_MS = {
    "tflm": {
        image_classification: 704.0,
        keyword_spotting: 182.0,
        visual_wake_words: 600.0,
        anomaly_detection: 10.05,
    },
    "x-cube-ai": {
        image_classification: 214.0,
        keyword_spotting: 62.9,
        visual_wake_words: 118.7,
        anomaly_detection: 6.86,
    },
}
COST = {"tflm": CyclesPerMac(low=4.5, high=9.7), "x-cube-ai": CyclesPerMac(low=1.9, high=3.2)}


def board(clock_mhz=120.0, costs=COST, kernels="tflm"):
    return HardwareProfile(
        name="board",
        title="A board",
        processor=Processor(isa="armv7e-m", core="Cortex-M4F", clock_mhz=clock_mhz),
        runtime=Runtime(name="tflm", kernels=kernels),
        precisions=("int8",),
        input_types=("int8",),
        cycles_per_mac=costs,
        reach="command",
    )


def written(folder: Path, data: bytes) -> Path:
    (path := folder / "model.tflite").write_bytes(data)
    return path


class TestContract(EstimatesContract):
    @pytest.fixture
    def estimator(self):
        return CyclesEstimator(board())

    @pytest.fixture
    def model(self, tmp_path):
        return written(tmp_path, small_cnn())


@pytest.mark.parametrize("kernels", ["tflm", "x-cube-ai"])
@pytest.mark.parametrize(
    "network", [image_classification, keyword_spotting, visual_wake_words, anomaly_detection]
)
def test_published_runs_lie_in_the_range(tmp_path, kernels, network):
    estimate = CyclesEstimator(board(), kernels).estimate(written(tmp_path, network()))
    (latency,) = estimate.measurements
    assert latency.low <= PUBLISHED_MS[kernels][network] <= latency.high
    assert latency.source.runtime == kernels


@given(
    low=st.floats(0.01, 50),
    span=st.floats(1, 20),
    clock_mhz=st.floats(1, 4000),
)
def test_the_formula(tmp_path_factory, low, span, clock_mhz):
    model = written(tmp_path_factory.getbasetemp(), small_cnn())
    profile = board(clock_mhz, {"tflm": CyclesPerMac(low=low, high=low * span)})
    (latency,) = CyclesEstimator(profile).estimate(model).measurements
    assert latency.low == pytest.approx(26_784 * low / (clock_mhz * 1e6) * 1e3)
    assert latency.high == pytest.approx(latency.low * span)
    assert latency.value == pytest.approx(math.sqrt(latency.low * latency.high))
    assert latency.low <= latency.value <= latency.high


def test_says_what_it_is_made_of_and_when_it_is_too_low(tmp_path):
    large = CyclesEstimator(board()).estimate(written(tmp_path, anomaly_detection()))
    assert large.remarks == ("264,192 multiply-accumulates at 4.5–9.7 cycles each (tflm) and 120 MHz",)
    small = CyclesEstimator(board()).estimate(written(tmp_path, small_cnn()))
    assert "may take longer" in small.remarks[1]


def test_float_ends_come_on_top(tmp_path):
    remarks = CyclesEstimator(board()).estimate(written(tmp_path, float_ends())).remarks
    assert remarks[-1] == "DEQUANTIZE, QUANTIZE in floating point come on top"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (small_cnn("FLOAT32", "FLOAT32"), "float32 with float32 weights"),
        (small_cnn("FLOAT32", "INT8"), "float32 with int8 weights"),
        (small_cnn("INT16", "INT8"), "int16 with int8 weights"),
        (small_cnn("INT8", "INT4"), "int8 with int4 weights"),
        (fully_connected(64, 16), "float32 with float32 weights"),
    ],
)
def test_other_kernels_than_the_published_are_refused(tmp_path, data, told):
    with pytest.raises(MeasuringFailed, match=f"int8 kernels.*{told}: convert it to full int8"):
        CyclesEstimator(board()).estimate(written(tmp_path, data))


def test_what_cannot_be_counted_is_refused_by_name(tmp_path):
    network = Network()
    output = network.op("MyOp", [network.dense(network.input(1, 4), 4)], network.tensor((1, 4)))
    with pytest.raises(MeasuringFailed, match="multiply-accumulates of MyOp"):
        CyclesEstimator(board()).estimate(written(tmp_path, network.bytes(output)))


def test_a_model_without_multiplications_is_refused(tmp_path):
    network = Network()
    data = network.mean(network.input(1, 4, 4, 8))
    with pytest.raises(MeasuringFailed, match=r"multiplies and accumulates nothing \(MEAN\)"):
        CyclesEstimator(board()).estimate(written(tmp_path, network.bytes(data)))


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        (board(clock_mhz=None), "has no clock"),
        (board(costs={}), "no published cycles per MAC"),
        (board(kernels="cmsis-nn"), "for the kernels 'cmsis-nn'; it has: tflm, x-cube-ai"),
        (board(kernels=None), "for kernels that its runtime does not name"),
    ],
)
def test_a_profile_that_says_too_little_is_refused(profile, told):
    with pytest.raises(DeviceError, match=told) as caught:
        CyclesEstimator(profile)
    assert not isinstance(caught.value, MeasuringFailed)
