"""Post-training forms of a float32 `.tflite`: what they store, what they compute, what they are called."""

import brought_models
import numpy as np
import pytest

from objectives.accuracy import scores
from objectives.agreement import disagreement
from objectives.brought import forms
from objectives.brought.edges import Edges, edges, with_edges
from objectives.brought.importing import import_model, original
from objectives.errors import ObjectiveError
from objectives.flatbuffer import type_name, unpack
from objectives.guard import ChildFailed, guarded
from objectives.verify import SMALLEST_DYNAMIC_KERNEL, kernels
from spaces.candidate import PRECISIONS

STORED = {
    "float32": ("FLOAT32", "FLOAT32"),
    "float16": ("FLOAT16", "FLOAT32"),
    "int8": ("INT8", "INT8"),
    "int16x8": ("INT8", "INT16"),
}
# Two to five times what these networks showed, as parts of their scores' spread.
CLOSE = {"float32": 1e-4, "float16": 2e-3, "dynamic-int8": 0.03, "int8": 0.05, "int16x8": 0.03, "int4": 0.8}


@pytest.fixture(scope="module")
def files(warm, tmp_path_factory):
    """Return each network's float32 file, samples for it, and what the network itself makes of them."""
    folder = tmp_path_factory.mktemp("forms")
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("objectives.brought.importing.guarded", in_process)
        for name, maker in brought_models.MAKERS.items():
            network = maker(2)
            about = import_model(brought_models.saved(network, folder / f"{name}.keras"), folder / "root")
            samples = brought_models.fed(network)
            made[name] = (
                original(folder / "root", about.digest),
                samples,
                brought_models.outputs(network, samples),
            )
    return made


def in_process(function, arguments, timeout_s, *, what):
    from objectives.brought import importing

    assert function == "objectives.brought.importing:work"
    return importing.work(**arguments)


@pytest.mark.parametrize("name", brought_models.MAKERS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_form_stores_what_was_asked_and_computes_the_same(files, name, precision):
    data, samples, expected = files[name]
    made = forms.post_training(data, precision, 1.0, samples)
    for kernel in kernels(made):
        assert (kernel.weights, kernel.activations) == asked(kernel, precision)
    assert disagreement(scores(made, samples), expected) < CLOSE[precision]
    assert (made == data) == (precision == "float32")


def asked(kernel, precision):
    if precision == "dynamic-int8":
        return ("FLOAT32" if kernel.values.size < SMALLEST_DYNAMIC_KERNEL else "INT8", "FLOAT32")
    if precision == "int4":
        return ("INT4" if kernel.prunable else "INT8", "INT8")
    return STORED[precision]


def test_dynamic_kernels_are_both_kept_and_quantized(files):
    made = forms.post_training(files["dense"][0], "dynamic-int8", 1.0, files["dense"][1])
    assert {kernel.weights for kernel in kernels(made)} == {"INT8", "FLOAT32"}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_ends_stay_what_they_are(files, precision):
    data, samples, _ = files["conv"]
    made = forms.post_training(data, precision, 0.5, samples)
    assert edges(made) == edges(data) == Edges("image", "logits")
    graph = unpack(made).subgraphs[0]
    for tensor, name in ((graph.inputs[0], b"image"), (graph.outputs[0], b"logits")):
        assert (graph.tensors[tensor].name, type_name(graph.tensors[tensor].type)) == (name, "FLOAT32")
    assert (len(graph.inputs), len(graph.outputs)) == (1, 1)
    assert list(graph.tensors[graph.inputs[0]].shape) == [1, 8, 8, 2]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_large_file_keeps_its_constants(warm, precision):
    """The quantizer writes the constants of larger files behind the tree, where only offsets lead."""
    generator = np.random.default_rng(0)
    first, second = (generator.normal(0, 0.05, shape).astype(np.float32) for shape in ((600, 900), (900, 5)))

    def network(x):
        return warm.matmul(warm.nn.relu(warm.matmul(x, first)), second)

    data = with_edges(lite(warm, network, (1, 600)), Edges("in", "out"))
    samples = generator.normal(0, 1, (30, 600)).astype(np.float32)
    made = forms.post_training(data, precision, 1.0, samples)
    assert disagreement(scores(made, samples), scores(data, samples)) < CLOSE[precision]
    assert all(buffer.offset == 0 for buffer in unpack(made).buffers)


def test_a_share_of_the_layers_gets_four_bits(files):
    data, samples, _ = files["conv"]
    made = kernels(forms.post_training(data, "int4", 0.5, samples))
    assert [kernel.weights for kernel in made].count("INT4") == 2  # of three, rounded up
    assert sum(kernel.prunable for kernel in made) == 3


def test_a_form_is_smaller_with_fewer_bits(files):
    data, samples, _ = files["residual"]
    order = ("float32", "float16", "int8", "int4")
    sizes = [len(forms.post_training(data, precision, 1.0, samples)) for precision in order]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(sizes)


def test_a_form_is_the_same_every_time(files):
    data, samples, _ = files["dense"]
    for precision in PRECISIONS:
        first, second = (forms.post_training(data, precision, 0.5, samples) for _ in range(2))
        assert first == second


def test_int4_without_a_layer_that_could_have_it_is_refused(warm):
    data = with_edges(lite(warm, lambda x: warm.nn.softmax(x * x), (1, 5)), Edges("in", "out"))
    with pytest.raises(ObjectiveError, match="this network has none; ask for another precision"):
        forms.post_training(data, "int4", 1.0, np.zeros((3, 5), np.float32))


def test_whole_numbers_as_input_stay_so(warm):
    table = np.random.default_rng(0).normal(0, 1, (10, 40)).astype(np.float32)
    weights = np.random.default_rng(1).normal(0, 1, (120, 30)).astype(np.float32)

    def network(x):
        return warm.matmul(warm.reshape(warm.gather(table, x), (1, 120)), weights)

    data = with_edges(lite(warm, network, (1, 3), warm.int32), Edges("words", "logits"))
    samples = np.random.default_rng(2).integers(0, 10, (20, 3))
    exact = scores(data, samples)
    for precision in ("float16", "dynamic-int8", "int8"):
        made = forms.post_training(data, precision, 1.0, samples)
        assert disagreement(scores(made, samples), exact) < 0.1
        graph = unpack(made).subgraphs[0]
        assert type_name(graph.tensors[graph.inputs[0]].type) == "INT32"


def lite(tf, function, shape, dtype=None):
    concrete = tf.function(function).get_concrete_function(tf.TensorSpec(shape, dtype or tf.float32))
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert()


@pytest.fixture
def arrays(files, tmp_path):
    """Return the arguments of a form with its samples on disk."""
    data, samples, expected = files["dense"]
    np.save(tmp_path / "calibration.npy", samples)
    np.save(tmp_path / "samples.npy", samples)
    paths = {"calibration": tmp_path / "calibration.npy", "samples": tmp_path / "samples.npy"}
    return {"data": data, "int4_share": 1.0, **paths}, expected


def test_a_child_makes_the_form_and_scores_it(arrays):
    arguments, expected = arrays
    data, scores = forms.form_in_child(precision="int8", **arguments)
    assert data == forms.post_training(arguments["data"], "int8", 1.0, np.load(arguments["calibration"]))
    assert (scores.shape, scores.dtype) == (expected.shape, np.float32)
    assert disagreement(scores, expected) < CLOSE["int8"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_form_takes_tensorflow(arrays, precision):
    arguments = {"precision": precision, **arrays[0]}
    (_, scores), heavy = guarded("brought_models:form_and_modules", arguments, 60, what="making it")
    assert heavy == []
    assert scores.shape == arrays[1].shape


def test_a_form_that_crashes_costs_that_form_alone(arrays, monkeypatch):
    def crashing(function, arguments, timeout_s, *, what):
        assert function == "objectives.brought.forms:form"
        return guarded("brought_models:segfault", arguments, timeout_s, what=what)

    monkeypatch.setattr(forms, "guarded", crashing)
    with pytest.raises(ChildFailed, match=r"^making the int8 form was ended by SIGSEGV"):
        forms.form_in_child(precision="int8", **arrays[0])


def test_samples_of_another_shape_are_a_failure_in_one_line(arrays, tmp_path):
    np.save(tmp_path / "other.npy", np.zeros((3, 7), np.float32))
    arguments = {**arrays[0], "samples": tmp_path / "other.npy"}
    with pytest.raises(ChildFailed, match=r"^making the float32 form failed with ValueError: [^\n]+$"):
        forms.form_in_child(precision="float32", **arguments)
