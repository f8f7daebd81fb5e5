import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
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

from hardware_profiles.anchor import anchor_path
from hardware_profiles.errors import MeasuringFailed
from hardware_profiles.graph import Graph, read_graph


def layer(network: Network, output: int) -> int:
    """The MACs of a network's last operator, which says so of itself too."""
    graph = read_graph(network.bytes(output))
    assert graph.ops[-1].macs == graph.macs
    return graph.macs


@pytest.mark.parametrize(
    ("model", "macs"),
    [
        (image_classification, 12_501_632),
        (keyword_spotting, 2_656_768),
        (visual_wake_words, 7_489_664),
        (anomaly_detection, 264_192),
    ],
)
def test_macs_of_mlperf_tiny_networks(model, macs):
    assert read_graph(model()).macs == macs


@pytest.mark.parametrize("data", [small_cnn(), keyword_spotting(), float_ends()])
def test_models_of_these_tests_really_run(data):
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.invoke()
    graph = read_graph(data)
    (about,) = interpreter.get_output_details()
    assert graph.outputs[0].shape == tuple(about["shape"])
    assert graph.outputs[0].bytes == interpreter.get_tensor(about["index"]).nbytes


@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    channels=st.integers(1, 9),
    filters=st.integers(1, 9),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.integers(1, 3),
)
def test_a_convolution_counts_as_its_loops_do(size, channels, filters, kernel, stride):
    network = Network()
    data = network.input(1, *size, channels)
    loops = 0
    for _ in range(0, size[0], stride):
        for _ in range(0, size[1], stride):
            loops += filters * kernel[0] * kernel[1] * channels
    assert layer(network, network.conv(data, filters, kernel, stride)) == loops


def test_a_depthwise_convolution_has_one_kernel_a_channel():
    network = Network()
    assert layer(network, network.depthwise(network.input(1, 8, 6, 5), 2)) == 4 * 3 * 5 * 9


def test_a_dense_layer_over_several_rows():
    network = Network()
    assert layer(network, network.dense(network.input(1, 7, 20), 3)) == 7 * 20 * 3


def test_a_transposed_convolution_counts_every_input_pixel():
    network = Network()
    data = network.input(1, 5, 6, 4)
    inputs = [network.integers(1, 10, 12, 8), network.matrix(8, 3, 3, 4), data]
    output = network.op(
        "TRANSPOSE_CONV", inputs, network.tensor((1, 10, 12, 8)), schema.TransposeConvOptionsT
    )
    assert layer(network, output) == 5 * 6 * 4 * 3 * 3 * 8


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_product_of_two_computed_matrices(transposed):
    network = Network()
    left = network.input(2, *((4, 3) if transposed else (3, 4)))
    output = network.op(
        "BATCH_MATMUL",
        [left, network.input(2, 4, 5)],
        network.tensor((2, 3, 5)),
        schema.BatchMatMulOptionsT,
        adjX=transposed,
    )
    assert layer(network, output) == 2 * 3 * 4 * 5


def test_an_lstm_multiplies_all_its_matrices_in_every_step():
    network, inputs, units, steps = Network(), 6, 4, 10
    data = network.input(1, steps, inputs)
    gates = [network.matrix(units, inputs) for _ in range(4)]
    recurrent = [network.matrix(units, units) for _ in range(4)]
    biases = [network.bias(units) for _ in range(4)]
    state, cell = network.tensor((1, units)), network.tensor((1, units), "INT16")
    for index in (state, cell):
        network.graph.tensors[index].isVariable = True
    given_inputs = [data, *gates, *recurrent, -1, -1, -1, *biases, -1, -1, state, cell]
    output = network.op(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        given_inputs,
        network.tensor((1, steps, units)),
        schema.UnidirectionalSequenceLSTMOptionsT,
    )
    assert layer(network, output) == steps * 4 * (units * inputs + units * units)
    graph = read_graph(network.bytes(output))
    assert graph.ops[0].inputs[9] is None
    assert graph.all_int8, "a wider state does not make it another model"


def test_elementwise_operators_have_none():
    network = Network()
    data = network.input(1, 4, 4, 8)
    graph = read_graph(network.bytes(network.mean(network.add(data, data))))
    assert (graph.macs, graph.kinds, graph.compute_types) == (0, ("ADD", "MEAN"), ())
    assert graph.ops[1].inputs[1].values == (1, 2)


def test_tells_types_apart():
    assert read_graph(small_cnn()).all_int8
    assert read_graph(small_cnn()).compute_types == (("INT8", "INT8"),)
    assert read_graph(small_cnn("FLOAT32", "INT8")).compute_types == (("FLOAT32", "INT8"),)
    assert read_graph(small_cnn("INT16")).compute_types == (("INT16", "INT8"),)
    assert read_graph(fully_connected(4, 2)).compute_types == (("FLOAT32", "FLOAT32"),)
    assert read_graph(float_ends()).compute_types == (("INT8", "INT8"),)
    assert not read_graph(float_ends()).all_int8


def test_int4_takes_half_the_bytes():
    weights = {op.kind: op.weights[0] for op in read_graph(small_cnn(weights="INT4")).ops if op.macs}
    assert weights["FULLY_CONNECTED"].type == "INT4"
    assert weights["FULLY_CONNECTED"].bytes == weights["FULLY_CONNECTED"].elements // 2


def test_a_batch_that_is_not_fixed_is_dynamic_and_counts_once():
    network = Network()
    data = network.input(1, 20)
    network.graph.tensors[data].shapeSignature = [-1, 20]
    graph = read_graph(network.bytes(network.dense(data, 3)))
    assert graph.has_dynamic_shapes and graph.macs == 60
    assert not read_graph(small_cnn()).has_dynamic_shapes


def test_a_custom_operator_has_its_own_name_and_no_count():
    network = Network()
    data = network.input(1, 4)
    graph = read_graph(network.bytes(network.op("MyOp", [network.dense(data, 4)], network.tensor((1, 4)))))
    assert graph.kinds == ("FULLY_CONNECTED", "MyOp")
    assert graph.uncounted == ("MyOp",)


def test_reads_what_a_converter_wrote():
    graph = read_graph(anchor_path().read_bytes())
    assert graph.kinds == ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MEAN")
    assert graph.inputs[0].shape == (1, 28, 28, 3)
    assert graph.ops[0].options["strideH"] == 2
    assert not graph.uncounted and graph.all_int8 and graph.macs > 100_000


def test_weights_may_stand_behind_the_tree():
    whole = fully_connected(16, 4)
    weights = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32).tobytes()
    model = schema.ModelT.InitFromPackedBuf(whole, 0)
    stored = bytes(model.buffers[1].data)
    assert stored == weights

    network = Network("FLOAT32", "FLOAT32")
    output = network.dense(network.input(1, 16), 4)
    matrix = network.graph.operators[0].inputs[1]
    outside = network.buffers[network.graph.tensors[matrix].buffer]
    outside.data, outside.offset, outside.size = None, 1 << 20, len(weights)
    base = network.bytes(output)
    outside.offset = len(base)
    data = network.bytes(output)
    assert len(data) == len(base)
    graph = read_graph(data + weights)
    assert graph.ops[0].inputs[1].constant and graph.ops[0].inputs[1].bytes == len(weights)
    with pytest.raises(MeasuringFailed, match="damaged"):
        read_graph(data + weights[:-1])


@pytest.mark.parametrize(
    ("field", "value"),
    [("inputs", [0, 99, -1]), ("inputs", [0, -7, -1]), ("inputs", [0]), ("opcodeIndex", 9)],
)
def test_references_that_lead_nowhere_are_refused(field, value):
    network = Network()
    output = network.dense(network.input(1, 4), 2)
    setattr(network.graph.operators[0], field, value)
    with pytest.raises(MeasuringFailed, match="damaged") as caught:
        read_graph(network.bytes(output))
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind_is_told_so():
    with pytest.raises(MeasuringFailed, match=r"no TensorFlow Lite model.*give a \.tflite"):
        read_graph(b"\x89PNG\r\n\x1a\n" + bytes(100))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_is_refused_in_one_line_or_harmless(data):
    whole = bytearray(small_cnn())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    assert isinstance(read_or_refusal(damaged), Graph | str)


def read_or_refusal(data: bytes) -> Graph | str:
    try:
        graph = read_graph(data)
    except MeasuringFailed as error:
        return "" if "\n" not in str(error) else pytest.fail(f"several lines: {error}")
    return graph if graph.macs >= 0 else pytest.fail(f"{graph.macs} MACs")
