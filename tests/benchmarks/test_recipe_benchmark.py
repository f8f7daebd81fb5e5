"""The benchmark of the training recipe: its networks, its series, its table, and a miniature of it."""

import os
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from benchmarks.recipe import Bench, plain_network
from benchmarks.recipe_lines import Recipe, Trained, error_left, recipe_lines
from benchmarks.values import circumstances
from benchmarks.waves import CHANNELS, SHAPES, STEPS, waves
from objectives.build import build
from objectives.tensorflow import one_thread
from spaces.candidate import Candidate, Problem, Training
from spaces.layers import Conv, Dense, DepthwiseSeparable, GlobalPool

PROBLEM = Problem(kind="image", input_shape=(12, 12, 1), classes=3)
CANDIDATE = Candidate(
    architecture=(
        Conv(filters=4, kernel=(3, 3)),
        DepthwiseSeparable(filters=8, kernel=(3, 3), stride=(2, 2)),
        GlobalPool(),
        Dense(units=5),
    ),
    training=Training(dropout=0.2, l1=1e-4, l2=1e-3),
)


@pytest.fixture(autouse=True, scope="module")
def _as_in_a_worker():
    one_thread()  # before TensorFlow starts: tests that share this process want it too


def trained(number, recipe, plain, data="digits", epochs=(1, 8)):
    return Trained(
        data=data, number=number, parameters=1000 + number, epochs=epochs, recipe=recipe, plain=plain
    )


def test_the_table_holds_each_network_against_itself():
    networks = (
        trained(0, (0.6, 0.9), (0.2, 0.8)),
        trained(1, (0.7, 0.8), (0.6, 0.9)),
        trained(2, (0.9, 0.96), (0.8, 0.92)),
        trained(0, (0.5, 0.5), (0.5, 0.5), data="waves"),
    )
    result = Recipe(circumstances=circumstances(), load=0.1, seed=0, networks=networks)
    text = "\n".join(recipe_lines(result))
    assert "3 networks of 1,000 to 1,002 parameters." in text
    assert "as good as plain after 8 |" in text
    assert "| 1 | 0.600 | 0.700 | **+10.0 points** | 0.50 | 3 of 3 | 0 of 3 |" in text
    assert "| 8 | 0.900 | 0.900 | **+4.0 points** | 0.50 | 2 of 3 | 2 of 3 |" in text
    assert text.index("### digits") < text.index("### waves") < text.index("**+0.0 points** | 1.00 | 0 of 1")


@pytest.mark.parametrize(
    ("recipe", "plain", "left"), [(0.9, 0.8, 0.5), (0.8, 0.9, 2.0), (1, 1, 1), (0.9, 1, np.inf), (1, 0.9, 0)]
)
def test_the_error_that_is_left_is_a_ratio(recipe, plain, left):
    assert error_left(recipe, plain) == pytest.approx(left)


def test_an_accuracy_too_few_is_refused():
    with pytest.raises(ValidationError, match="one accuracy each for 2 numbers of epochs, got 1 and 2"):
        trained(0, (0.5,), (0.4, 0.5))


def test_the_plain_network_is_the_same_with_the_defaults_of_keras():
    network = build(CANDIDATE, PROBLEM, 0)
    plain = plain_network(network, CANDIDATE)
    assert plain.count_params() == network.count_params()
    assert [type(layer) for layer in plain.layers] == [type(layer) for layer in network.layers]
    momenta = {layer.momentum for layer in plain.layers if hasattr(layer, "momentum")}
    assert momenta == {0.99}
    kernels = [v.numpy() for v in plain.trainable_variables if "kernel" in v.name]
    assert len(kernels) == 5 and len(plain.losses) == 5  # convolution, depthwise, pointwise, two dense ones
    ours = sum(1e-4 * np.abs(kernel).sum() + 1e-3 * (kernel**2).sum() for kernel in kernels)
    assert float(sum(plain.losses)) == pytest.approx(float(ours), rel=1e-4)
    starts = {
        type(getattr(layer, f"{kind}_initializer")).__name__
        for layer in plain.layers
        for kind in ("kernel", "depthwise")
        if f"{kind}_initializer" in layer.get_config()
    }
    assert starts == {"GlorotUniform"}


def test_networks_are_drawn_by_number_and_seed_and_compressed_by_nothing(tmp_path):
    first, other = (Bench.of("digits", seed, tmp_path) for seed in (0, 1))
    drawn = [first.candidate(number) for number in range(12)]
    assert drawn == [first.candidate(number) for number in range(12)]
    assert len({candidate.digest for candidate in (*drawn, other.candidate(0))}) == 13
    for candidate in drawn:
        assert candidate == candidate.base
        assert candidate.reduction is None and candidate.training.augmentation == "none"


def test_waves_repeat_for_a_seed_and_every_class_is_there():
    (x, y), (again, labels) = waves(600, 3), waves(600, 3)
    np.testing.assert_array_equal(x, again)
    np.testing.assert_array_equal(y, labels)
    assert (x.shape, x.dtype) == ((600, STEPS, CHANNELS), np.float32)
    assert np.bincount(y).min() > 60 and len(np.bincount(y)) == len(SHAPES)
    assert np.isfinite(x).all()
    assert not np.array_equal(x, waves(600, 4)[0])


def test_waves_can_be_told_apart_though_not_by_a_look_at_single_steps():
    from sklearn.ensemble import RandomForestClassifier

    x, y = waves(1500, 0)
    spectra = np.abs(np.fft.rfft(x - x.mean(axis=1, keepdims=True), axis=1)).mean(axis=2)

    def share_found(features):
        forest = RandomForestClassifier(60, random_state=0).fit(features[:1000], y[:1000])
        return forest.score(features[1000:], y[1000:])

    assert 0.7 < share_found(spectra) < 0.99
    assert share_found(x.reshape(len(x), -1)) < share_found(spectra) - 0.1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_miniature_runs_and_goes_on_where_it_was(root, tmp_path):
    out = tmp_path / "result.json"
    command = [sys.executable, "-m", "benchmarks.recipe", "--data", "digits", "--epochs", "1,2"]
    command += ["--work", str(tmp_path / "work"), "--out", str(out), "--networks"]

    def run(networks):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(
            [*command, networks], cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, Recipe.model_validate_json(out.read_text())

    said, first = run("1")
    assert said.count("training network") == 1 and "| 2 |" in said
    said, both = run("2")
    assert said.count("training network") == 1 and both.networks[0] == first.networks[0]
    for network in both.networks:
        assert network.epochs == (1, 2)
        assert all(0.05 < accuracy < 1 for accuracy in (*network.recipe, *network.plain))
