"""Networks of Keras 2, Keras 3 and as SavedModels, imported: what is known, kept, trained and refused."""

import json
import re
import shutil
import zipfile

import brought_models
import numpy as np
import pytest
from brought_models import CLASSES, MAKERS, fed, keras_of, outputs, saved

from objectives.accuracy import scores
from objectives.agreement import disagreement
from objectives.brought import forms, importing
from objectives.brought.edges import Edges, edges
from objectives.brought.importing import digest_of, import_model, original
from objectives.brought.twin import load_twin
from objectives.brought.value import BroughtModel
from objectives.errors import ObjectiveError
from objectives.guard import ChildFailed, guarded

KEPT = {"original.tflite", "about.json", "twin.json", "twin.npz"}
ENDS = {"dense": ("columns", (20,), "scores"), "conv": ("image", (8, 8, 2), "logits")}
ENDS["residual"] = ("image", (6, 6, 8), "logits")


@pytest.fixture
def here(monkeypatch, warm):
    """Import in this process, which has TensorFlow already; the child is tested by itself below."""

    def in_process(function, arguments, timeout_s, *, what):
        assert function == "objectives.brought.importing:work"
        return importing.work(**arguments)

    monkeypatch.setattr(importing, "guarded", in_process)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("generation", [2, 3])
@pytest.mark.parametrize("name", MAKERS)
def test_a_keras_network_is_imported_with_a_twin(here, tmp_path, name, generation, suffix):
    network = MAKERS[name](generation)
    path = saved(network, tmp_path / f"mine{suffix}")
    about = import_model(path, tmp_path / "root")
    assert {file.name for file in (tmp_path / "root" / about.digest).iterdir()} == KEPT
    assert (about.format, about.trainable) == (f"keras-{generation}", None)
    assert (about.input_name, about.input_shape, about.output_name) == ENDS[name]
    assert (about.input_dtype, about.output_shape) == ("float32", (CLASSES,))
    assert about.parameters == network.count_params()
    assert about.probabilities == (name == "dense")
    samples = fed(network)
    expected = outputs(network, samples)
    data = original(tmp_path / "root", about.digest)
    assert edges(data) == Edges(about.input_name, about.output_name)
    assert disagreement(scores(data, samples), expected) < 1e-4
    assert disagreement(outputs(load_twin(tmp_path / "root", about.digest), samples), expected) < 1e-4


@pytest.mark.parametrize("generation", [2, 3])
@pytest.mark.parametrize("name", MAKERS)
def test_a_saved_model_is_imported_without_a_twin(here, tmp_path, name, generation):
    network = MAKERS[name](generation)
    about = import_model(saved(network, tmp_path / "mine"), tmp_path / "root")
    assert {file.name for file in (tmp_path / "root" / about.digest).iterdir()} == KEPT - {
        "twin.json",
        "twin.npz",
    }
    assert (about.format, about.trainable) == ("saved-model", "a SavedModel holds a graph and no layers")
    assert set(about.levers.values()) == {about.trainable}
    assert (about.input_shape, about.output_shape) == (ENDS[name][1], (CLASSES,))
    assert about.parameters == network.count_params()
    samples = fed(network)
    data = original(tmp_path / "root", about.digest)
    assert edges(data) == Edges(about.input_name, about.output_name)
    assert disagreement(scores(data, samples), outputs(network, samples)) < 1e-4
    with pytest.raises(ObjectiveError, match=f"the network {about.digest} has no twin"):
        load_twin(tmp_path / "root", about.digest)


@pytest.mark.parametrize(("name", "usable"), [("dense", True), ("conv", True), ("residual", False)])
def test_levers_are_usable_or_say_why_not(here, tmp_path, name, usable):
    levers = import_model(saved(MAKERS[name](3), tmp_path / "mine.keras"), tmp_path / "root").levers
    assert (levers["prune"], levers["cluster"]) == (None, None)
    assert "slimming follows edgesearch's own layers" in levers["slim"]
    assert (levers["aware"] is None) == usable
    assert "\n" not in (levers["aware"] or "")


def test_a_network_without_kernels_has_nothing_to_train(here, tmp_path):
    k = keras_of(2)
    network = k.Sequential([k.Input((5,)), k.layers.BatchNormalization(), k.layers.Softmax()])
    about = import_model(saved(network, tmp_path / "mine.keras"), tmp_path / "root")
    assert about.trainable is None
    for lever in ("prune", "cluster", "aware"):
        assert "no convolution or fully connected layer" in about.levers[lever]


def test_what_trains_a_twin_finds_its_settings(here, tmp_path):
    """Regularizers, names and rates of dropout are the user's own in the twin of a Keras 3 network."""
    about = import_model(saved(MAKERS["dense"](3), tmp_path / "mine.keras"), tmp_path / "root")
    twin = load_twin(tmp_path / "root", about.digest)
    first, dropout, last = twin.layers
    assert float(first.kernel_regularizer.l2) == pytest.approx(0.01)
    assert (dropout.rate, last.name, last.get_config()["activation"]) == (0.1, "scores", "softmax")


def test_operations_that_are_no_layers_have_no_twin(here, tmp_path):
    k = keras_of(3)
    inputs = k.Input((5,))
    x = k.ops.sin(k.layers.Dense(4)(inputs))
    has_no_twin(k.Model(inputs, x), tmp_path, r"^tf_keras has no layer for its Sin \(keras\.src\.ops\.\w+\)$")


def test_layers_that_tf_keras_has_not_have_no_twin(here, tmp_path):
    k = keras_of(3)
    network = k.Sequential([k.Input((5,)), k.layers.Dense(4), k.layers.RMSNormalization()])
    has_no_twin(network, tmp_path, r"^tf_keras has no layer for its RMSNormalization \(keras\.layers\)$")


def has_no_twin(network, folder, match):
    about = import_model(saved(network, folder / "mine.keras"), folder / "root")
    assert re.search(match, about.trainable)
    assert set(about.levers.values()) == {about.trainable}
    assert not list((folder / "root" / about.digest).glob("twin.*"))
    data = original(folder / "root", about.digest)
    assert disagreement(scores(data, fed(network)), outputs(network, fed(network))) < 1e-4


def test_other_weights_than_the_networks_are_found_out(here, tmp_path, monkeypatch):
    monkeypatch.setattr("objectives.brought.rebuild._copy_weights", lambda network, twin: None)
    about = import_model(saved(MAKERS["conv"](3), tmp_path / "mine.keras"), tmp_path / "root")
    assert "rebuilt in tf_keras, give other outputs" in about.trainable


def test_a_file_that_computes_something_else_is_refused(here, tmp_path, monkeypatch):
    real = importing._outputs
    monkeypatch.setattr(importing, "_outputs", lambda *arguments: real(*arguments)[::-1])
    with pytest.raises(ObjectiveError, match=r"mine.keras as a .tflite gives other outputs than the network"):
        import_model(saved(MAKERS["dense"](2), tmp_path / "mine.keras"), tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


def test_an_import_is_done_once_and_again_if_it_was_of_another_version(here, tmp_path, monkeypatch):
    path, root = saved(MAKERS["dense"](2), tmp_path / "mine.keras"), tmp_path / "root"
    about = import_model(path, root)
    real = importing.guarded
    monkeypatch.setattr(importing, "guarded", None)  # may not be called
    assert import_model(path, root) == about
    monkeypatch.setattr(importing, "guarded", real)
    kept = root / about.digest / "about.json"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "of_old": 1}))
    assert import_model(path, root) == about
    assert BroughtModel.model_validate_json(kept.read_bytes()) == about
    assert [folder.name for folder in root.iterdir()] == [about.digest]


def test_a_digest_is_that_of_the_content_and_its_places(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "variables").mkdir(parents=True)
        (tmp_path / name / "saved_model.pb").write_bytes(b"graph")
        (tmp_path / name / "variables" / "data").write_bytes(b"weights")
    assert digest_of(tmp_path / "a") == digest_of(tmp_path / "b")
    shutil.move(tmp_path / "b" / "variables" / "data", tmp_path / "b" / "variables" / "index")
    assert digest_of(tmp_path / "a") != digest_of(tmp_path / "b")
    (tmp_path / "one.keras").write_bytes(b"x")
    shutil.copy(tmp_path / "one.keras", tmp_path / "two.h5")
    assert digest_of(tmp_path / "one.keras") == digest_of(tmp_path / "two.h5") == "2d711642b726b044"


def refused(path, root, match):
    with pytest.raises(ObjectiveError, match=match) as raised:
        import_model(path, root)
    assert "\n" not in str(raised.value)
    assert not root.exists() or list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("mine.keras", None, "there is no .*mine.keras; a model is a .keras, .h5 or a SavedModel folder"),
        ("mine.onnx", b"x", "^a model is a .keras, .h5 or a SavedModel folder, got mine.onnx$"),
        ("mine.keras", b"neither", "^mine.keras is neither a zip archive nor an HDF5 file"),
        ("mine.h5", b"\x89HDF\r\n\x1a\n torn", "^mine.h5 cannot be read: "),
    ],
)
def test_what_is_no_model_is_refused(here, tmp_path, name, content, match):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, tmp_path / "root", match)


def test_a_folder_without_a_graph_is_refused(here, tmp_path):
    (tmp_path / "mine").mkdir()
    refused(tmp_path / "mine", tmp_path / "root", "mine has no saved_model.pb; a model is a .keras")
    (tmp_path / "mine" / "saved_model.pb").write_bytes(b"torn")
    refused(tmp_path / "mine", tmp_path / "root", "^mine cannot be read as a SavedModel: ")


def test_archives_that_keras_did_not_write_are_refused(here, tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
    refused(
        tmp_path / "mine.keras", tmp_path / "root", "^mine.keras is an archive, but not one that Keras wrote"
    )
    torn = saved(MAKERS["dense"](3), tmp_path / "whole.keras").read_bytes()[:-40]
    (tmp_path / "torn.keras").write_bytes(torn)
    refused(tmp_path / "torn.keras", tmp_path / "root", "^torn.keras is neither a zip archive")


@pytest.mark.parametrize("generation", [2, 3])
def test_weights_alone_are_refused(here, tmp_path, generation):
    path = saved(MAKERS["dense"](generation), tmp_path / "mine.weights.h5")
    refused(path, tmp_path / "root", "^mine.weights.h5 holds weights at most and no layers; save the whole")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("generation", [2, 3])
def test_code_in_a_file_is_not_run(here, tmp_path, generation, suffix):
    k = keras_of(generation)
    network = k.Sequential([k.Input((4,)), k.layers.Dense(3), k.layers.Lambda(lambda x: x * 2)])
    path = saved(network, tmp_path / f"mine{suffix}")
    refused(path, tmp_path / "root", "has a Lambda layer, and code from a file is not run")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("generation", [2, 3])
def test_layers_of_the_users_own_are_refused_by_name(here, tmp_path, generation, suffix):
    k = keras_of(generation)

    class Doubling(k.layers.Layer):
        def call(self, x):
            return x * 2

    path = saved(k.Sequential([k.Input((4,)), Doubling(), k.layers.Dense(3)]), tmp_path / f"mine{suffix}")
    refused(path, tmp_path / "root", r"uses Doubling, which is no part of Keras; .*SavedModel")


@pytest.mark.parametrize("suffix", [".keras", ""])
@pytest.mark.parametrize("generation", [2, 3])
def test_one_input_and_one_output_are_served(here, tmp_path, generation, suffix):
    k = keras_of(generation)
    first, second = k.Input((4,), name="first"), k.Input((4,), name="second")
    out = k.layers.Dense(3, name="out")(k.layers.Add()([first, second]))
    path = saved(k.Model([first, second], out), tmp_path / f"mine{suffix}")
    refused(path, tmp_path / "root", r"^mine\S* has 2 inputs \(first, second\), and only one can be served$")
    heads = [k.layers.Dense(3, name=name)(first) for name in ("a", "b", "c")]
    path = saved(k.Model(first, heads), tmp_path / f"heads{suffix}")
    refused(
        path, tmp_path / "root", r"^heads\S* has 3 outputs \(\w+, \w+, \w+\), and only one can be served$"
    )


@pytest.mark.parametrize("suffix", [".keras", ""])
@pytest.mark.parametrize("generation", [2, 3])
def test_open_sizes_are_refused(here, tmp_path, generation, suffix):
    k = keras_of(generation)
    inputs = k.Input((None, 8, 1))
    out = k.layers.Dense(3)(k.layers.GlobalAveragePooling2D()(inputs))
    path = saved(k.Model(inputs, out), tmp_path / f"mine{suffix}")
    refused(path, tmp_path / "root", r"takes the shape \(None, None, 8, 1\); every size but the batch's must")


def test_batches_of_a_fixed_size_are_refused(here, tmp_path):
    k = keras_of(3)
    inputs = k.Input(batch_shape=(32, 4))
    path = saved(k.Model(inputs, k.layers.Dense(3)(inputs)), tmp_path / "mine.keras")
    refused(path, tmp_path / "root", "^mine.keras takes batches of 32, and a device gives one sample")


def test_text_is_refused(here, tmp_path):
    k = keras_of(2)
    inputs = k.Input((1,), dtype="string")
    words = k.layers.TextVectorization(vocabulary=["a", "b"], output_mode="multi_hot")(inputs)
    path = saved(k.Model(inputs, k.layers.Dense(3)(words)), tmp_path / "mine.keras")
    refused(path, tmp_path / "root", "^mine.keras takes string, and an input is one of float32, int8")


def test_outputs_that_are_no_scores_are_refused(here, tmp_path, warm):
    class Classes(warm.Module):
        @warm.function(input_signature=[warm.TensorSpec((None, 4), warm.float32)])
        def __call__(self, x):
            return warm.argmax(x, axis=-1)

    warm.saved_model.save(Classes(), str(tmp_path / "mine"))
    refused(tmp_path / "mine", tmp_path / "root", "^mine gives int64, and scores are float32$")


def test_a_graph_without_signature_is_refused(here, tmp_path, warm):
    warm.saved_model.save(warm.Module(), str(tmp_path / "mine"))
    refused(tmp_path / "mine", tmp_path / "root", r"^mine has no signature 'serving_default' \(it has none\)")


def test_a_graph_of_constants_counts_its_parameters(here, tmp_path, warm):
    weights = np.random.default_rng(0).normal(0, 1, (4, 3)).astype(np.float32)

    class Constant(warm.Module):
        @warm.function(input_signature=[warm.TensorSpec((None, 4), warm.float32, name="x")])
        def __call__(self, x):
            return warm.matmul(x, weights)

    warm.saved_model.save(Constant(), str(tmp_path / "mine"))
    about = import_model(tmp_path / "mine", tmp_path / "root")
    assert (about.parameters, about.input_name) == (12, "x")


def test_an_operation_that_the_runtime_has_not_is_named(here, tmp_path, warm):
    class Odd(warm.Module):
        @warm.function(input_signature=[warm.TensorSpec((None, 4, 4), warm.float32)])
        def __call__(self, x):
            return warm.linalg.inv(x)

    warm.saved_model.save(Odd(), str(tmp_path / "mine"))
    refused(
        tmp_path / "mine", tmp_path / "root", "^mine cannot be converted to .tflite: LiteRT has no MatrixInv"
    )


def test_recurrent_layers_of_an_open_batch_are_refused_and_those_of_a_single_sample_served(here, tmp_path):
    k = keras_of(3)
    inputs = k.Input((10, 3), name="series")
    network = brought_models.shaken(k.Model(inputs, k.layers.Dense(2)(k.layers.LSTM(8)(inputs))))
    match = r"^mine cannot be converted to .tflite: it has recurrent layers of an open batch size; bring"
    refused(saved(network, tmp_path / "mine"), tmp_path / "root", match)
    one = [k.InputSpec(shape=(1, 10, 3), dtype="float32", name="series")]
    network.export(str(tmp_path / "one"), input_signature=one, verbose=False)
    for path in (tmp_path / "one", saved(network, tmp_path / "mine.keras")):
        about = import_model(path, tmp_path / "root")
        data = original(tmp_path / "root", about.digest)
        assert disagreement(scores(data, fed(network)), outputs(network, fed(network))) < 1e-4
        forms.post_training(data, "dynamic-int8", 1.0, fed(network))
        with pytest.raises(
            ObjectiveError, match="inside the loop of a recurrent layer cannot be seen; ask for"
        ):
            forms.post_training(data, "int8", 1.0, fed(network))


def test_outputs_that_are_not_finite_are_refused(here, tmp_path, warm):
    class Logarithm(warm.Module):
        @warm.function(input_signature=[warm.TensorSpec((None, 4), warm.float32)])
        def __call__(self, x):
            return warm.math.log(x)

    warm.saved_model.save(Logarithm(), str(tmp_path / "mine"))
    refused(tmp_path / "mine", tmp_path / "root", "^mine gives NaN or infinity for random inputs")


def test_words_are_taken_as_whole_numbers(here, tmp_path):
    k = keras_of(3)
    inputs = k.Input((6,), dtype="int32", name="words")
    x = k.layers.Flatten()(k.layers.Embedding(10, 4)(inputs))
    network = brought_models.shaken(k.Model(inputs, k.layers.Dense(3)(x)))
    about = import_model(saved(network, tmp_path / "mine.keras"), tmp_path / "root")
    assert (about.input_dtype, about.trainable) == ("int32", None)
    assert {about.levers[lever] for lever in ("prune", "cluster", "aware")} == {
        "its input is int32, and what is trained on here takes float32"
    }
    words = np.random.default_rng(0).integers(0, 10, (20, 6)).astype(np.int32)
    found = scores(original(tmp_path / "root", about.digest), words)
    assert disagreement(found, outputs(network, words)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("generation", "suffix"), [(2, ".h5"), (3, ".keras"), (3, "")])
def test_a_child_process_imports(warm, tmp_path, generation, suffix):
    network = MAKERS["conv"](generation)
    about = import_model(saved(network, tmp_path / f"mine{suffix}"), tmp_path / "root")
    samples = fed(network)
    found = scores(original(tmp_path / "root", about.digest), samples)
    assert disagreement(found, outputs(network, samples)) < 1e-4


@pytest.mark.slow
def test_a_refusal_of_the_child_comes_back(tmp_path):
    (tmp_path / "mine.keras").write_bytes(b"neither")
    refused(
        tmp_path / "mine.keras", tmp_path / "root", "^mine.keras is neither a zip archive nor an HDF5 file"
    )


def test_a_crash_leaves_nothing_behind(tmp_path, monkeypatch):
    def crashing(function, arguments, timeout_s, *, what):
        return guarded("brought_models:segfault", arguments, timeout_s, what=what)

    monkeypatch.setattr(importing, "guarded", crashing)
    (tmp_path / "mine.keras").write_bytes(b"x")
    with pytest.raises(ChildFailed, match=r"^importing mine.keras was ended by SIGSEGV"):
        import_model(tmp_path / "mine.keras", tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []
