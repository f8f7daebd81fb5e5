import stat
import sys
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from estimates_contract import EstimatesContract
from int8_models import Network, float_ends, small_cnn
from tiny_models import fully_connected

from hardware_profiles.edgetpu_ops import obstacle
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.graph import Op, read_graph
from hardware_profiles.profile import Accelerator, HardwareProfile, Processor, Runtime
from hardware_profiles.runners.edgetpu import EdgeTpuEstimator, mapped_by_table

CORAL = Accelerator(name="Edge TPU", kind="edge-tpu")
NO_COMPILER = "no-such-edgetpu-compiler"
# What version 16 prints, with -s, for a model that is mapped but for its ends.
PRINTED = """\
Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 51 ms.

Input model: model.tflite
Input size: 2.72KiB
Output model: model_edgetpu.tflite
Output size: 40.57KiB
On-chip memory used for caching model parameters: 6.25KiB
On-chip memory remaining for caching model parameters: 7.87MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 7
Operation log: model_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model
will instead run on the CPU, which is slower. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: 4
Number of operations that will run on CPU: 3

Operator                       Count      Status

CONV_2D                        3          Mapped to Edge TPU
CONV_2D                        1          More than one subgraph is not supported
LEAKY_RELU                     1          Operation not supported
MEAN                           1          Mapped to Edge TPU
DEQUANTIZE                     1          Operation is working on an unsupported data type
Compilation child process completed within timeout period.
Compilation succeeded!
"""


def board(accelerator: Accelerator | None = CORAL) -> HardwareProfile:
    return HardwareProfile(
        name="coral",
        title="Coral",
        processor=Processor(isa="aarch64", core="Cortex-A53"),
        runtime=Runtime(name="litert"),
        precisions=("int8",),
        input_types=("int8",),
        accelerator=accelerator,
        reach="ssh",
    )


def written(folder: Path, data: bytes) -> Path:
    (path := folder / "model.tflite").write_bytes(data)
    return path


def compiler(folder: Path, output: str, status: int = 0, noise: str = "") -> str:
    """A program that prints what edgetpu_compiler prints, once it was called as that is called."""
    (path := folder / "edgetpu_compiler").write_text(
        f"#!{sys.executable}\nimport sys\n"
        "assert sys.argv[1:] == ['-s', 'model.tflite']\n"
        "assert open('model.tflite', 'rb').read()[4:8] == b'TFL3'\n"
        f"sys.stdout.write({output!r}); sys.stderr.write({noise!r}); sys.exit({status})\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def last_op(network: Network, output: int) -> Op:
    return read_graph(network.bytes(output)).ops[-1]


class TestContractByTable(EstimatesContract):
    @pytest.fixture
    def estimator(self):
        return EdgeTpuEstimator(board(), NO_COMPILER)

    @pytest.fixture
    def model(self, tmp_path):
        return written(tmp_path, small_cnn())


class TestContractByCompiler(TestContractByTable):
    @pytest.fixture
    def estimator(self, tmp_path_factory):
        return EdgeTpuEstimator(board(), compiler(tmp_path_factory.mktemp("bin"), PRINTED))


def test_a_full_int8_network_is_likely_compatible(tmp_path):
    estimate = EdgeTpuEstimator(board(), NO_COMPILER).estimate(written(tmp_path, small_cnn()))
    assert estimate.value("edgetpu_share") == 1
    assert estimate.value("latency_ms") is None
    assert estimate.remarks[0].startswith("likely compatible")


def test_all_from_the_first_unsupported_operator_on_runs_on_the_cpu(tmp_path):
    network = Network()
    data = network.dense(network.input(1, 8), 8)
    data = network.op("HARD_SWISH", [data], network.tensor((1, 8)))
    data = network.dense(network.dense(data, 4), 2)
    estimate = EdgeTpuEstimator(board(), NO_COMPILER).estimate(written(tmp_path, network.bytes(data)))
    assert estimate.value("edgetpu_share") == pytest.approx(1 / 4)
    assert estimate.remarks[0] == (
        "HARD_SWISH (operator 2 of 4) stops it: it is not among the supported operations; "
        "the 2 after it run on the CPU too"
    )


def test_conversions_at_the_ends_stop_nothing():
    assert mapped_by_table(read_graph(float_ends())) == (3, None)


def test_a_conversion_in_the_middle_does():
    network = Network()
    data = network.dense(network.quantize(network.dequantize(network.dense(network.input(1, 8), 8))), 2)
    mapped, stopped = mapped_by_table(read_graph(network.bytes(data)))
    assert mapped == 1 and "DEQUANTIZE (operator 2 of 4)" in stopped


@pytest.mark.parametrize(
    "data", [fully_connected(8, 4), small_cnn("FLOAT32"), small_cnn("INT16"), small_cnn(weights="INT4")]
)
def test_other_types_are_stopped_at_once(data):
    mapped, stopped = mapped_by_table(read_graph(data))
    assert mapped == 0 and "not 8 bits wide" in stopped


def test_a_batch_that_is_not_fixed_is_stopped():
    network = Network()
    data = network.input(1, 20)
    network.graph.tensors[data].shapeSignature = [-1, 20]
    assert "is not fixed" in obstacle(last_op(network, network.dense(data, 3)))


def test_only_three_dimensions_may_be_large():
    network = Network()
    data = network.input(2, 4, 4, 3)
    assert "more than 3 dimensions above 1: 2×4×4×3" in obstacle(last_op(network, network.add(data, data)))


def test_computed_weights_are_stopped():
    network = Network()
    inputs = [network.input(1, 8), network.input(4, 8), -1]
    op = last_op(network, network.op("FULLY_CONNECTED", inputs, network.tensor((1, 4))))
    assert obstacle(op) == "its weights are not constant"


def pool(network, fused):
    options = {"fusedActivationFunction": fused}
    data, output = network.input(1, 4, 4, 8), network.tensor((1, 2, 2, 8))
    return network.op("MAX_POOL_2D", [data], output, schema.Pool2DOptionsT, **options)


def dilated(network, width):
    data = network.input(1, 8, 8, 3)
    return network.conv(data, 4, dilationHFactor=2, dilationWFactor=width)


def joined(network, other):
    inputs = [network.input(1, 8), other(network)]
    return network.op("CONCATENATION", inputs, network.tensor((1, 16)), schema.ConcatenationOptionsT)


def softmax(network, *shape):
    return network.op("SOFTMAX", [network.input(*shape)], network.tensor(shape), schema.SoftmaxOptionsT)


def padded(network, batch):
    inputs = [network.input(1, 4, 3), network.integers(batch, 0, 1, 1, 0, 0, shape=(3, 2))]
    return network.op("PAD", inputs, network.tensor((1 + batch, 6, 3)), schema.PadOptionsT)


def packed(network, axis):
    data = [network.input(4, 4), network.input(4, 4)]
    shape = (2, 4, 4) if axis in (0, -3) else (4, 4, 2)
    return network.op("PACK", data, network.tensor(shape), schema.PackOptionsT, axis=axis)


def split(network, axis):
    inputs = [network.integers(axis), network.input(1, 4, 4, 8)]
    return network.op("SPLIT", inputs, network.tensor((1, 4, 4, 4)), schema.SplitOptionsT, numSplits=2)


def strided(network, stride, mask=0):
    bounds = [network.integers(0, 0), network.integers(1, 8), network.integers(1, stride)]
    inputs, output = [network.input(1, 8), *bounds], network.tensor((1, 8 // stride))
    return network.op("STRIDED_SLICE", inputs, output, schema.StridedSliceOptionsT, newAxisMask=mask)


def prelu(network, *alpha):
    inputs = [network.input(1, 4, 4, 8), network.matrix(*alpha)]
    return network.op("PRELU", inputs, network.tensor((1, 4, 4, 8)))


def resized(network, batch):
    inputs = [network.input(batch, 4, 8), network.integers(8, 8)]
    return network.op("RESIZE_BILINEAR", inputs, network.tensor((1, 8, 8, 3)), schema.ResizeBilinearOptionsT)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda n: pool(n, 0), None),
        (lambda n: pool(n, 1), "fused"),
        (lambda n: dilated(n, 2), None),
        (lambda n: dilated(n, 1), "dilation differs in x and y"),
        (lambda n: joined(n, lambda n: n.input(1, 8)), None),
        (lambda n: joined(n, lambda n: n.matrix(1, 8)), "constant"),
        (lambda n: softmax(n, 1, 16_000), None),
        (lambda n: softmax(n, 1, 16_001), "over 16000"),
        (lambda n: softmax(n, 4, 10), "several dimensions: 4×10"),
        (lambda n: n.dense(n.input(1, 6), 4), None),
        (lambda n: n.dense(n.input(3, 6), 4), "several dimensions: 3×4"),
        (lambda n: n.mean(n.input(1, 4, 4, 8)), None),
        (lambda n: n.mean(n.input(1, 4, 4, 8), (0, 1)), "batch"),
        (lambda n: n.mean(n.input(1, 4, 4, 8), (3,)), None),
        (lambda n: n.mean(n.input(1, 4, 4, 6), (-1,)), "no multiple of 4"),
        (lambda n: padded(n, 0), None),
        (lambda n: padded(n, 1), "pads the batch"),
        (lambda n: packed(n, -1), None),
        (lambda n: packed(n, -3), "packs the batch"),
        (lambda n: split(n, 3), None),
        (lambda n: split(n, 0), "batch"),
        (lambda n: strided(n, 1), None),
        (lambda n: strided(n, 2), "strides are not all 1"),
        (lambda n: strided(n, 1, mask=1), "new axis"),
        (lambda n: prelu(n, 1, 1, 8), None),
        (lambda n: prelu(n, 4, 4, 8), "slopes differ"),
        (lambda n: resized(n, 1), None),
        (lambda n: n.op("MyOp", [n.input(1, 4)], n.tensor((1, 4))), "not among the supported"),
    ],
)
def test_conditions_of_the_table(build, told):
    network = Network()
    why = obstacle(last_op(network, build(network)))
    assert why is None if told is None else told in why


def test_the_compilers_table_and_bytes_are_read(tmp_path):
    estimator = EdgeTpuEstimator(board(), compiler(tmp_path, PRINTED))
    estimate = estimator.estimate(written(tmp_path, small_cnn()))
    assert estimate.value("edgetpu_share") == pytest.approx(4 / 7)
    share, cached, streamed = estimate.measurements
    assert share.source.runtime_version == "16.0.384591198"
    assert (cached.low, cached.value, cached.high) == pytest.approx((6.245 * 1024, 6.25 * 1024, 6.255 * 1024))
    assert (streamed.low, streamed.value, streamed.high) == (0, 0, 0)
    assert estimate.remarks == (
        "1 LEAKY_RELU on the CPU: Operation not supported",
        "1 DEQUANTIZE on the CPU: Operation is working on an unsupported data type",
        "1 CONV_2D on the CPU: More than one subgraph is not supported",
    )


def test_a_table_without_a_cpu_row_is_all_mapped(tmp_path):
    printed = (
        "Edge TPU Compiler version 2.1.302470888\n\n"
        "On-chip memory used for caching model parameters: 1.50MiB\n"
        "Off-chip memory used for streaming uncached model parameters: 2.00KiB\n"
        "Total number of operations: 2\n\nOperator                       Count      Status\n\n"
        "CONV_2D                        2          Mapped to Edge TPU\n"
    )
    estimate = EdgeTpuEstimator(board(), compiler(tmp_path, printed)).estimate(written(tmp_path, small_cnn()))
    assert estimate.value("edgetpu_share") == 1
    assert estimate.value("edgetpu_cached_bytes") == 1.5 * 2**20
    assert estimate.value("edgetpu_streamed_bytes") == 2048
    assert estimate.remarks == ("all operators are mapped to the Edge TPU",)


@pytest.mark.parametrize("end", range(0, len(PRINTED) - 200, 97))
def test_output_that_was_cut_off_is_refused(tmp_path, end):
    estimator = EdgeTpuEstimator(board(), compiler(tmp_path, PRINTED[:end]))
    with pytest.raises(MeasuringFailed) as caught:
        estimator.estimate(written(tmp_path, small_cnn()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("output", "noise", "told"),
    [
        (
            "Edge TPU Compiler version 16.0\nInvalid model: model.tflite\nModel not quantized\n",
            "",
            "Invalid model: model.tflite; Model not quantized",
        ),
        (
            "Edge TPU Compiler version 16.0\n\nInternal compiler error. Aborting! \n",
            "",
            "Internal compiler error",
        ),
        ("", "ERROR: quantized_dimension must be in range\nbye\n", "quantized_dimension must be in range"),
    ],
)
def test_what_the_compiler_refuses_is_told_in_its_words(tmp_path, output, noise, told):
    estimator = EdgeTpuEstimator(board(), compiler(tmp_path, output, 1, noise))
    with pytest.raises(MeasuringFailed, match=f"cannot compile the model: .*{told}"):
        estimator.estimate(written(tmp_path, small_cnn()))


def test_a_table_after_a_failure_does_not_count(tmp_path):
    estimator = EdgeTpuEstimator(board(), compiler(tmp_path, PRINTED, 1))
    with pytest.raises(MeasuringFailed, match="cannot compile"):
        estimator.estimate(written(tmp_path, small_cnn()))


def test_a_model_that_was_compiled_is_refused(tmp_path):
    network = Network()
    data = network.op("edgetpu-custom-op", [network.input(1, 8)], network.tensor((1, 8)))
    with pytest.raises(MeasuringFailed, match="compiled for the Edge TPU already"):
        EdgeTpuEstimator(board(), NO_COMPILER).estimate(written(tmp_path, network.bytes(data)))


def test_a_model_without_operators_is_refused(tmp_path):
    network = Network()
    with pytest.raises(MeasuringFailed, match="no operators"):
        EdgeTpuEstimator(board(), NO_COMPILER).estimate(written(tmp_path, network.bytes(network.input(1, 8))))


@pytest.mark.parametrize("accelerator", [None, Accelerator(name="Ethos-U55", kind="ethos-u")])
def test_a_profile_without_an_edge_tpu_is_refused(accelerator):
    with pytest.raises(DeviceError, match="has no Edge TPU"):
        EdgeTpuEstimator(board(accelerator), NO_COMPILER)
