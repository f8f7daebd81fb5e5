import stat
import sys
from pathlib import Path

import pytest
from estimates_contract import EstimatesContract
from int8_models import Network, float_ends, keyword_spotting, small_cnn
from tiny_models import fully_connected

from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.graph import read_graph
from hardware_profiles.profile import Accelerator, HardwareProfile, Processor, Runtime
from hardware_profiles.runners.tool import find_tool
from hardware_profiles.runners.vela import VelaEstimator

pytestmark = pytest.mark.skipif(find_tool("vela") is None, reason="pip install 'edgesearch[vela]'")
U55 = Accelerator(
    name="Ethos-U55",
    kind="ethos-u",
    vela_config="ethos-u55-128",
    vela_system="Ethos_U55_High_End_Embedded",
    vela_memory="Shared_Sram",
)
U65 = U55.model_copy(
    update={
        "vela_config": "ethos-u65-256",
        "vela_system": "Ethos_U65_High_End",
        "vela_memory": "Dedicated_Sram",
    }
)
HEADER = (
    "inference_time,cycles_total,cycles_npu,cycles_sram_access,cycles_dram_access,cycles_on_chip_flash_access,"
    "cycles_off_chip_flash_access,feature_map_storage_area,weights_storage_area,sram_memory_used,"
    "dram_memory_used,on_chip_flash_memory_used,off_chip_flash_memory_used"
)
ROW = "0.001,100,60,20,0,0,70,SRAM,Off-chip Flash,1.5,0,0,50"


def board(accelerator: Accelerator | None = U55) -> HardwareProfile:
    return HardwareProfile(
        name="corstone",
        title="Corstone",
        processor=Processor(isa="armv8.1-m", core="Cortex-M55"),
        runtime=Runtime(name="tflm"),
        precisions=("int8",),
        input_types=("int8",),
        accelerator=accelerator,
        reach="simulator",
    )


def written(folder: Path, data: bytes) -> Path:
    (path := folder / "model.tflite").write_bytes(data)
    return path


def double(folder: Path, body: str) -> tuple[str, ...]:
    """A program in Vela's place; its body finds the summary's path in `summary`."""
    (path := folder / "vela_double").write_text(
        f"#!{sys.executable}\n"
        "import os, shutil, signal, sys, time\n"
        "if '--version' in sys.argv: print('5.2.0'); sys.exit()\n"
        "os.makedirs('out'); shutil.copy('model.tflite', 'out/model_vela.tflite')\n"
        f"summary = 'out/model_summary_X.csv'; header, row = {HEADER!r}, {ROW!r}\n{body}\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return (str(path),)


class TestContract(EstimatesContract):
    @pytest.fixture
    def estimator(self):
        return VelaEstimator(board())

    @pytest.fixture
    def model(self, tmp_path):
        return written(tmp_path, small_cnn())


@pytest.mark.parametrize("data", ["INT8", "INT16"])
def test_a_network_that_is_all_on_the_npu_has_a_latency(tmp_path, data):
    estimate = VelaEstimator(board()).estimate(written(tmp_path, small_cnn(data)))
    (latency, *_) = estimate.measurements
    assert estimate.value("npu_share") == 1
    assert latency.metric == "latency_ms"
    assert latency.value == pytest.approx(estimate.value("npu_cycles") / 500e6 * 1e3), "it runs at 500 MHz"
    assert latency.low < latency.value < latency.high, "the range is no point"
    assert latency.source.runtime == "vela" and latency.source.runtime_version.startswith("5.2")


def test_a_larger_network_takes_more_of_everything(tmp_path):
    (tmp_path / "large").mkdir()
    small = VelaEstimator(board()).estimate(written(tmp_path, small_cnn()))
    large = VelaEstimator(board()).estimate(written(tmp_path / "large", keyword_spotting()))
    for metric in ("latency_ms", "npu_cycles", "arena_bytes", "flash_bytes"):
        assert small.value(metric) < large.value(metric)
    largest = max(tensor.bytes for op in read_graph(keyword_spotting()).ops for tensor in op.activations)
    assert large.value("arena_bytes") > largest, "input and output of a layer are there at once"


def test_operators_left_on_the_cpu_are_named_and_there_is_no_latency(tmp_path):
    estimate = VelaEstimator(board()).estimate(written(tmp_path, float_ends()))
    assert estimate.value("latency_ms") is None
    assert estimate.value("npu_share") == pytest.approx(3 / 5)
    assert estimate.value("npu_cycles") > 0
    assert estimate.remarks[0].startswith("DEQUANTIZE, QUANTIZE fall back to the CPU")


def test_the_same_operator_twice_is_counted(tmp_path):
    network = Network()
    data = network.dense(network.input(1, 8), 8)
    for _ in range(2):
        data = network.op("MyOp", [data], network.tensor((1, 8)))
    estimate = VelaEstimator(board()).estimate(written(tmp_path, network.bytes(data)))
    assert estimate.remarks[0].startswith("2 MyOp fall back")
    assert estimate.value("npu_share") == pytest.approx(1 / 3)


def test_an_arena_that_shares_its_memory_with_weights_is_unknown(tmp_path):
    estimate = VelaEstimator(board(U65)).estimate(written(tmp_path, small_cnn()))
    assert estimate.value("arena_bytes") is None and estimate.value("latency_ms") > 0
    assert "share one memory (DRAM)" in estimate.remarks[0]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (fully_connected(64, 16), "float32 values with float32 weights"),
        (small_cnn("FLOAT32", "INT8"), "float32 values with int8 weights"),
        (small_cnn("INT8", "INT4"), r"does not read int4 \(CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED\)"),
    ],
)
def test_types_that_vela_fails_on_are_refused_without_asking_it(tmp_path, data, told):
    estimator = VelaEstimator(board(), double(tmp_path, "open('/nonexistent/asked', 'w')"))
    with pytest.raises(MeasuringFailed, match=f"{told}.*full int8"):
        estimator.estimate(written(tmp_path, data))


def test_a_model_with_nothing_for_the_npu_has_no_figures(tmp_path):
    network = Network("FLOAT32")
    data = network.input(1, 8)
    with pytest.raises(MeasuringFailed, match="no figures"):
        VelaEstimator(board()).estimate(written(tmp_path, network.bytes(network.add(data, data))))


def test_a_model_that_vela_made_is_refused(tmp_path):
    network = Network()
    data = network.op("ethos-u", [network.input(1, 8)], network.tensor((1, 8)))
    with pytest.raises(MeasuringFailed, match="compiled by Vela already"):
        VelaEstimator(board()).estimate(written(tmp_path, network.bytes(data)))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("inference_time", "0.0", "'inference_time' is 0.0"),
        ("cycles_total", "nan", "'cycles_total' is nan"),
        ("sram_memory_used", "-1", "'sram_memory_used' is -1"),
        ("cycles_npu", "", "'cycles_npu' is "),
    ],
)
def test_zeros_and_nan_are_no_figures(tmp_path, field, value, told):
    cells = dict(zip(HEADER.split(","), ROW.split(","), strict=True)) | {field: value}
    command = double(tmp_path, f"open(summary, 'w').write(header + '\\n' + {','.join(cells.values())!r})")
    with pytest.raises(MeasuringFailed, match=f"no figures for the model: {told}"):
        VelaEstimator(board(), command).estimate(written(tmp_path, small_cnn()))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"crashed on this model \(SIGSEGV\)"),
        ("sys.exit(136)", r"crashed on this model \(SIGFPE\)"),
        ("sys.exit(139)", r"crashed on this model \(SIGSEGV\)"),
        ("sys.exit('no such graph')", "Vela 5.2.0 cannot compile the model: no such graph"),
        ("print('done')", "wrote no summary for the model; it said: done"),
        ("open(summary, 'w').write(header)", "not one row"),
        ("open(summary, 'w').write('a,b\\n1,2')", "no column 'inference_time'"),
        ("time.sleep(60)", "took more than the limit of 2 s"),
        (
            "open(summary, 'w').write(f'{header}\\n{row}'); os.remove('out/model_vela.tflite')",
            "cannot read the model",
        ),
    ],
)
def test_what_goes_wrong_in_vela_is_told_in_one_line(tmp_path, body, told):
    estimator = VelaEstimator(board(), double(tmp_path, body), timeout_s=2)
    with pytest.raises(MeasuringFailed, match=told) as caught:
        estimator.estimate(written(tmp_path, small_cnn()))
    assert "\n" not in str(caught.value)


def test_a_configuration_that_vela_does_not_know_is_the_profiles_fault(tmp_path):
    unknown = U55.model_copy(update={"vela_system": "Ethos_U55_Nowhere"})
    with pytest.raises(DeviceError, match=r"refuses the accelerator of 'corstone'.*Nowhere") as caught:
        VelaEstimator(board(unknown)).estimate(written(tmp_path, small_cnn()))
    assert not isinstance(caught.value, MeasuringFailed)


def test_another_program_of_that_name_is_told_apart(tmp_path):
    other = tmp_path / "vela"
    other.write_text("#!/bin/sh\necho unknown flag: --version >&2\nexit 1\n")
    other.chmod(0o755)
    with pytest.raises(DeviceError, match="is not Arm's Vela"):
        VelaEstimator(board(), (str(other),)).estimate(written(tmp_path, small_cnn()))


@pytest.mark.parametrize(
    ("accelerator", "told"),
    [
        (None, "has no Ethos-U"),
        (Accelerator(name="Edge TPU", kind="edge-tpu"), "has no Ethos-U"),
        (U55.model_copy(update={"vela_config": None}), r"lacks accelerator\.vela_config"),
        (U55.model_copy(update={"vela_memory": None}), r"lacks accelerator\.vela_memory"),
        (U55.model_copy(update={"vela_system": "Ethos_U65_High_End"}), "begins with 'Ethos_U55_'"),
    ],
)
def test_a_profile_that_does_not_say_which_npu_is_refused(accelerator, told):
    with pytest.raises(DeviceError, match=told):
        VelaEstimator(board(accelerator))


def test_without_vela_it_says_how_to_get_it():
    with pytest.raises(DeviceError, match=r"pip install 'edgesearch\[vela\]'"):
        VelaEstimator(board(), ("no-such-vela",))
