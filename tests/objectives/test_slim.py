"""Slimming: what is left of a network computes what the whole one did, if the rest was dead."""

import numpy as np
import pytest
from small import DIGITS, IMAGE, PROBLEMS, TABLE, compressed, dense, digits, mixed, shaken, some_candidates

from objectives.build import build
from objectives.slim import transfer
from objectives.train import Trainer, train
from spaces.candidate import Candidate
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Residual

pytestmark = pytest.mark.usefixtures("warm")

RESIDUALS = Candidate(
    architecture=(
        Conv(filters=9, kernel=(3, 3)),
        Residual(filters=9, kernel=(3, 3)),
        DepthwiseSeparable(filters=7, kernel=(3, 3)),
        Residual(filters=4, kernel=(3, 3), stride=(2, 2)),
        Residual(filters=4, kernel=(3, 3)),
        Flatten(),
        Dense(units=11),
    )
)
ON_THE_INPUT = Candidate(
    architecture=(Residual(filters=2, kernel=(3, 3)), Conv(filters=6, kernel=(3, 3)), GlobalPool())
)


def killed(wide, narrow):
    """Let all but the first filters of every layer of the wide network give zero."""
    for layer in wide.layers:
        if not layer.get_weights():
            continue
        whole, part = layer.get_weights(), narrow.get_layer(layer.name).get_weights()
        for values, left in zip(whole, part, strict=True):
            axis = -2 if layer.name.startswith("depthwise") else -1
            dead = np.moveaxis(values, axis, 0)[left.shape[axis] :]
            dead[...] = 0
        layer.set_weights(whole)
    return wide


def both(candidate, problem, keep):
    slim = compressed(candidate, keep=keep)
    return build(slim.base, problem, 0), build(slim, problem, 0), slim


@pytest.mark.parametrize("keep", [0.25, 0.5, 0.75])
@pytest.mark.parametrize(
    ("candidate", "problem"),
    [(mixed(), IMAGE), (RESIDUALS, IMAGE), (ON_THE_INPUT, IMAGE), (dense(13, 9), TABLE), (dense(8), IMAGE)],
    ids=["mixed", "residuals", "on the input", "mlp", "mlp on images"],
)
def test_without_its_dead_filters_a_network_computes_the_same(candidate, problem, keep):
    wide, narrow, slim = both(candidate, problem, keep)
    killed(shaken(wide), narrow)
    transfer(wide, narrow, slim)
    x = np.random.default_rng(0).normal(0, 1, (5, *problem.input_shape)).astype(np.float32)
    np.testing.assert_allclose(narrow(x).numpy(), wide(x).numpy(), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("space", sorted(PROBLEMS))
def test_whatever_a_space_suggests_can_be_slimmed(space):
    for candidate in some_candidates(space, 6, seed=50):
        plain = compressed(candidate.model_copy(update={"reduction": None}), keep=1.0)
        wide, narrow, slim = both(plain, PROBLEMS[space], 0.5)
        killed(shaken(wide), narrow)
        transfer(wide, narrow, slim)
        x = np.random.default_rng(0).normal(0, 1, (3, *PROBLEMS[space].input_shape)).astype(np.float32)
        np.testing.assert_allclose(narrow(x).numpy(), wide(x).numpy(), atol=1e-3)


def test_the_strongest_filters_stay():
    wide, narrow, slim = both(dense(8), TABLE, 0.5)
    kernel, bias = wide.get_layer("dense_0").get_weights()
    strength = np.array([1, 9, 2, 8, 3, 7, 4, 6], np.float32)
    wide.get_layer("dense_0").set_weights([kernel / np.linalg.norm(kernel, axis=0) * strength, bias])
    transfer(wide, narrow, slim)
    found = np.linalg.norm(narrow.get_layer("dense_0").get_weights()[0], axis=0)
    np.testing.assert_allclose(found, [9, 8, 7, 6], rtol=1e-5)


def test_batch_norm_counts_for_a_filters_strength():
    candidate = Candidate(architecture=(Conv(filters=2, kernel=(1, 1)), GlobalPool()))
    wide, narrow, slim = both(candidate, IMAGE, 0.5)
    kernel = np.ones((1, 1, 2, 2), np.float32) * [[1.0], [1.0]] * np.float32([1, 3])
    wide.get_layer("conv_0").set_weights([kernel])
    one, zero = np.ones(2, np.float32), np.zeros(2, np.float32)
    wide.get_layer("norm_0").set_weights([np.float32([10, 1]), zero, zero, one])
    transfer(wide, narrow, slim)
    assert narrow.get_layer("norm_0").get_weights()[0] == pytest.approx([10])


def test_half_of_a_trained_network_still_knows_something():
    candidate = mixed(epochs=6, learning_rate=1e-2)
    wide, narrow, slim = both(candidate, DIGITS, 0.75)
    task = digits()
    train(Trainer(wide, candidate.training, task))
    transfer(wide, narrow, slim)
    x = task.inlet.normaliser.apply(task.valid.x)
    strong = task.metric(task.valid.y, narrow(x).numpy())
    transfer(build(slim.base, DIGITS, 0), narrow, slim)
    assert strong > task.metric(task.valid.y, narrow(x).numpy()) + 0.1
