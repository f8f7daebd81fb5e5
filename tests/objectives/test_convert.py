"""Converted files: what they hold, what they compute, and what reading them back notices."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from small import IMAGE, SERIES, TABLE, a_file, dense, mixed, normaliser, samples, shaken, some_candidates

from objectives.accuracy import Scorer
from objectives.build import build
from objectives.convert import convert
from objectives.errors import Mismatch
from objectives.flatbuffer import constant, op_name, pack, type_name, unpack
from objectives.inlet import Inlet
from objectives.normalise import Normaliser
from objectives.verify import SMALLEST_DYNAMIC_KERNEL, kernels, lost_columns, verify
from spaces.candidate import PRECISIONS, Compression, Problem

pytestmark = pytest.mark.usefixtures("warm")

INT8 = Compression(precision="int8")
RAW = Normaliser(offset=(0.0,) * 13, scale=(1.0,) * 13)
"""Normalises nothing: what the naive way would hand to the quantizer."""


@pytest.fixture(scope="module")
def files():
    """The mixed candidate in every precision with float input, and in int8 with int8 input."""
    network = shaken(build(mixed(), IMAGE, 0))
    made = {precision: a_file(mixed(precision), IMAGE, network=network) for precision in PRECISIONS}
    made["int8-input"] = a_file(mixed("int8"), IMAGE, "int8", network)
    return network, made


def ops(data):
    """Return the operators of a file with the type of what each gives."""
    model = unpack(data)
    graph = model.subgraphs[0]
    return [(op_name(model, op), type_name(graph.tensors[op.outputs[0]].type)) for op in graph.operators]


def precision_of(name):
    return name.removesuffix("-input")


@pytest.mark.parametrize("name", [*PRECISIONS, "int8-input"])
def test_a_file_has_one_sample_in_and_logits_out_by_name(files, name):
    interpreter = Interpreter(model_content=files[1][name])
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    kind = np.int8 if name == "int8-input" else np.float32
    assert (given["name"], tuple(given["shape"]), given["dtype"]) == ("input", (1, 8, 8, 2), kind)
    assert (result["name"], tuple(result["shape"]), result["dtype"]) == ("logits", (1, 4), kind)
    assert tuple(given["shape_signature"]) == (1, 8, 8, 2)


@pytest.mark.parametrize("name", [*PRECISIONS, "int8-input"])
def test_a_file_runs_with_xnnpack_as_without(files, name):
    from ai_edge_litert.interpreter import OpResolverType

    outputs = []
    for resolver in (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
        interpreter = Interpreter(model_content=files[1][name], experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
        given, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        x = normaliser(IMAGE).apply(samples(IMAGE)[:1]) * 20 if name == "int8-input" else samples(IMAGE)[:1]
        interpreter.set_tensor(given["index"], x.astype(given["dtype"]))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(result["index"]).astype(np.float32))
    # Kernels may round the last bit otherwise.
    np.testing.assert_allclose(*outputs, atol=2 if name == "int8-input" else 0.05)


@pytest.mark.parametrize(("name", "within"), [("float32", 1e-4), ("float16", 0.02), ("dynamic-int8", 0.1)])
def test_a_file_agrees_with_the_network_on_raw_samples(files, name, within):
    network, made = files
    x = samples(IMAGE)[:20]
    expected = network(normaliser(IMAGE).apply(x), training=False).numpy()
    found = Scorer(made[name], normaliser(IMAGE)).scores(x)
    np.testing.assert_allclose(found, expected, atol=within * np.abs(expected).max())


@pytest.mark.parametrize("name", ["int8", "int8-input"])
def test_an_int8_file_is_near_the_network_on_raw_samples(files, name):
    network, made = files
    x = samples(IMAGE)
    expected = network(normaliser(IMAGE).apply(x), training=False).numpy()
    found = Scorer(made[name], normaliser(IMAGE)).scores(x)
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    assert np.abs(found - expected).mean() < 0.1 * expected.std()


@pytest.mark.parametrize("asked", PRECISIONS)
@pytest.mark.parametrize("stored", [*PRECISIONS, "int8-input"])
def test_what_is_stored_is_told_from_what_was_asked(files, asked, stored):
    data, candidate = files[1][stored], mixed(asked)
    if precision_of(stored) == asked:
        assert (
            0 <= verify(data, candidate).sparsity < (0.5 if asked == "int4" else 0.2)
        )  # small weights are 0 when they are quantized
        return
    with pytest.raises(
        Mismatch, match=f"^{asked} was asked(, but the file stores a [A-Z_0-9]+ with| in 7 layers)"
    ):
        verify(data, candidate)


def test_every_kernel_is_read_back(files):
    network, made = files
    expected = sorted(int(np.prod(w.shape)) for w in network.trainable_weights if "kernel" in w.name)
    for data in made.values():
        found = kernels(data)
        assert sorted(kernel.values.size for kernel in found) == expected
        assert [kernel.op for kernel in found if not kernel.prunable] == ["DEPTHWISE_CONV_2D"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_too_few_zeros_are_a_mismatch(files, precision):
    with pytest.raises(Mismatch, match=r"a sparsity of 0\.50 was asked, the file has 0\.\d"):
        verify(files[1][precision], mixed(precision, 0.5))


def test_the_normaliser_stands_in_front_as_float_ops(files):
    first = ops(files[1]["int8"])[:5]
    assert first == [(op, "FLOAT32") for op in ("SUB", "MUL", "MAXIMUM", "MINIMUM")] + [("QUANTIZE", "INT8")]
    assert ops(files[1]["float32"])[:4] == first[:4]


def test_after_the_first_quantize_all_is_int8_until_the_last_dequantize(files):
    assert ops(files[1]["int8"])[-1] == ("DEQUANTIZE", "FLOAT32")
    assert {kind for _, kind in ops(files[1]["int8"])[4:-1]} == {"INT8"}


def test_an_int8_input_file_is_int8_throughout(files):
    found = ops(files[1]["int8-input"])
    assert {kind for _, kind in found} == {"INT8"}
    assert not {"QUANTIZE", "DEQUANTIZE", "SUB"} & {op for op, _ in found}


def test_bytes_need_no_clip():
    plain = Normaliser(offset=(3.0, 2.0), scale=(0.5, 2.0))
    data = convert(shaken(build(mixed(), IMAGE, 0)), Inlet(plain), Compression(), "float32", samples(IMAGE))
    names = [op for op, _ in ops(data)]
    assert names[:2] == ["SUB", "MUL"]
    assert "MAXIMUM" not in names


def test_no_op_depends_on_the_batch(files):
    for data in files[1].values():
        assert not {"SHAPE", "PACK", "STRIDED_SLICE"} & {op for op, _ in ops(data)}


@pytest.mark.parametrize("problem", [TABLE, IMAGE, SERIES], ids=["table", "image", "series"])
def test_the_front_end_computes_what_the_normaliser_does(problem):
    """The identity network in float: what comes out of a file is what went into the network."""
    scale = normaliser(problem)
    network = shaken(build(dense(5), problem, 0))
    x = samples(problem)[:10] * np.float32(40)  # far outside of train, so that it clips
    expected = network(scale.apply(x), training=False).numpy()
    found = Scorer(a_file(dense(5), problem, network=network), scale).scores(x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("input_type", ["float32", "int8"])
def test_packing_what_was_unpacked_changes_no_output(files, input_type):
    data = files[1]["int8" if input_type == "float32" else "int8-input"]
    x = samples(IMAGE)[:5]
    before, after = (Scorer(d, normaliser(IMAGE)).scores(x) for d in (data, pack(unpack(data))))
    np.testing.assert_array_equal(before, after)


def test_constants_are_read_in_their_own_shape(files):
    model = unpack(files[1]["int8"])
    tensors = {t.name.decode(): t for t in model.subgraphs[0].tensors if t.name}
    np.testing.assert_array_equal(
        constant(model, tensors["sub_values"]), np.float32(normaliser(IMAGE).offset)
    )
    assert constant(model, tensors["input"]) is None


@pytest.mark.parametrize(("units", "kind"), [((33, 31), "FLOAT32"), ((32, 32), "INT8")], ids=["1023", "1024"])
def test_the_converter_leaves_kernels_below_1024_weights_float(units, kind):
    assert SMALLEST_DYNAMIC_KERNEL == 1024
    data = a_file(dense(*units, precision="dynamic-int8"), TABLE)
    hidden = kernels(data)[1]
    assert hidden.values.size == units[0] * units[1]
    assert (hidden.weights, hidden.activations) == (kind, "FLOAT32")


@pytest.mark.parametrize("space", ["mlp", "convnet", "sequence"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_whatever_a_space_suggests_is_stored_as_asked(space, precision):
    problem = {"mlp": TABLE, "convnet": IMAGE, "sequence": SERIES}[space]
    candidate = some_candidates(space, 1, seed=7)[0]
    plain = candidate.model_copy(update={"compression": Compression(precision=precision), "reduction": None})
    data = a_file(plain, problem)
    verify(data, plain)
    assert np.isfinite(Scorer(data, normaliser(problem)).scores(samples(problem)[:3])).all()


@pytest.mark.parametrize("input_type", ["float32", "int8"])
def test_normalised_columns_all_survive_the_quantizer(input_type):
    data = a_file(dense(8, precision="int8"), TABLE, input_type)
    assert lost_columns(data, normaliser(TABLE).apply(samples(TABLE))) == 0


def test_raw_columns_of_small_range_are_lost_and_counted():
    x = samples(TABLE)
    data = convert(shaken(build(dense(8), TABLE, 0)), Inlet(RAW), INT8, "int8", x)
    scale, zero = Scorer(data, RAW).input["quantization"]
    coded = np.clip(np.round(x / scale) + zero, -128, 127)
    lost = lost_columns(data, x)
    assert lost == int((np.ptp(coded, axis=0) == 0).sum())
    assert lost >= 9  # columns of ranges from .1 to 1e11 share 256 values


def test_a_constant_column_is_not_counted_as_lost():
    x = np.concatenate(
        [normaliser(TABLE).apply(samples(TABLE))[:, :12], np.zeros((120, 1), np.float32)], axis=1
    )
    data = convert(shaken(build(dense(8), TABLE, 0)), Inlet(RAW), INT8, "int8", x)
    assert lost_columns(data, x) == 0


def test_float_files_lose_no_column():
    assert lost_columns(a_file(dense(8), TABLE), samples(TABLE)) == 0


def test_channels_are_columns_too():
    problem = Problem(kind="series", input_shape=(20, 1, 2), classes=2)
    x = samples(problem) * np.array([1.0, 1e-6], np.float32)
    plain = Normaliser(offset=(0.0, 0.0), scale=(1.0, 1.0))
    data = convert(shaken(build(dense(4), problem, 0)), Inlet(plain), INT8, "int8", x)
    assert lost_columns(data, x) == 1
