"""Pruning reaches the sparsity that was asked, in the network and in whatever file is made of it."""

from dataclasses import replace

import numpy as np
import pytest
from small import DIGITS, dense, digits, mixed

from objectives.accuracy import Scorer
from objectives.build import build, kernels, prunable
from objectives.convert import convert
from objectives.prune import prune
from objectives.train import Samples, Trainer, train
from objectives.verify import kernels as stored_kernels
from objectives.verify import verify
from spaces.candidate import PRECISIONS, Compression

pytestmark = pytest.mark.usefixtures("warm")


def zeros(variables):
    """Return (zeros, weights, kernels) over some kernels of a network."""
    values = [variable.numpy() for variable in variables]
    return sum(int((v == 0).sum()) for v in values), sum(v.size for v in values), len(values)


def few(rows):
    task = digits()
    return replace(task, train=Samples(task.train.x[:rows], task.train.y[:rows]))


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.8, 0.97])
@pytest.mark.parametrize(
    ("rows", "batch_size", "epochs"),
    [(20, 128, 1), (20, 20, 1), (64, 32, 1), (100, 32, 2), (300, 7, 3), (1000, 32, 10)],
    ids=["one step an epoch", "whole batch", "two", "six", "odd", "many"],
)
def test_the_sparsity_is_reached_however_few_the_steps(sparsity, rows, batch_size, epochs):
    candidate = dense(24, 9, batch_size=batch_size, epochs=epochs, sparsity=sparsity)
    trainer = Trainer(build(candidate, DIGITS, 0), candidate.training, few(rows))
    prune(trainer, sparsity)
    found, total, count = zeros(prunable(trainer.network))
    assert sparsity * total - count <= found <= sparsity * total + count


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.8])
def test_weights_that_are_all_alike_do_not_escape(sparsity):
    """RMSprop moves what learns nothing in step: a third of a kernel had one magnitude."""
    candidate = dense(24, 9, batch_size=32, epochs=2, sparsity=sparsity)
    network = build(candidate, DIGITS, 0)
    for kernel in prunable(network):
        signs = np.random.default_rng(0).choice([-1.0, 1.0], kernel.shape)
        kernel.assign(np.where(np.arange(kernel.shape[0])[:, None] % 3, 1e-6 * signs, kernel.numpy()))
    trainer = Trainer(network, candidate.training.model_copy(update={"learning_rate": 1e-12}), few(100))
    prune(trainer, sparsity)
    found, total, count = zeros(prunable(trainer.network))
    assert sparsity * total - count <= found <= sparsity * total + count


@pytest.fixture(scope="module")
def pruned():
    """The mixed network, trained and pruned to 0.6."""
    candidate = mixed(sparsity=0.6, epochs=6, learning_rate=1e-2)
    trainer = Trainer(build(candidate, DIGITS, 0), candidate.training, digits())
    base = train(trainer)
    return trainer, base, prune(trainer, 0.6)


def test_depthwise_kernels_stay_dense(pruned):
    dense_ones = [kernel for kernel in kernels(pruned[0].network) if "depthwise" in kernel.name]
    assert zeros(dense_ones)[0] == 0
    for kernel in prunable(pruned[0].network):
        assert zeros([kernel])[0] == pytest.approx(0.6 * kernel.numpy().size, abs=1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("input_type", ["float32", "int8"])
def test_the_sparsity_is_in_the_file(pruned, precision, input_type):
    trainer = pruned[0]
    task = trainer.task
    compression = Compression(precision=precision, sparsity=0.6)
    data = convert(trainer.network, task.inlet, compression, input_type, task.train.x[:100])
    held = verify(data, mixed(precision, 0.6))
    # Rounding to 4 bits takes small weights to zero too.
    assert held.sparsity == pytest.approx(0.6, abs=0.06) or (precision == "int4" and held.sparsity > 0.6)
    assert held.sparsity_overall < held.sparsity
    (depthwise,) = [kernel for kernel in stored_kernels(data) if not kernel.prunable]
    assert np.mean(depthwise.values == 0) < 0.2


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_was_pruned_still_knows_digits(pruned, precision):
    task = pruned[0].task
    data = convert(
        pruned[0].network, task.inlet, Compression(precision=precision), "float32", task.train.x[:200]
    )
    assert task.metric(task.valid.y, Scorer(data, task.inlet.normaliser).scores(task.valid.x)) > 0.8


def test_the_curve_ends_with_what_the_network_is(pruned):
    trainer, base, curve = pruned
    task = trainer.task
    scores = trainer.network(task.inlet.normaliser.apply(task.valid.x), training=False).numpy()
    assert task.metric(task.valid.y, scores) == pytest.approx(curve[-1].valid)
    assert len(curve) == max(2, np.ceil(0.3 * 6))
    assert len(base) <= 6


def test_pruning_goes_the_same_way_whether_training_was_just_now_or_long_ago():
    """A base that is read from the store must lead to the same pruned network as a fresh one.

    But for dropout: TensorFlow's generators go on from where the last phase left them.
    """
    candidate = dense(16, epochs=3, sparsity=0.5)
    task = few(200)
    fresh = Trainer(build(candidate, DIGITS, 0), candidate.training, task)
    train(fresh)
    base = [np.array(weight) for weight in fresh.network.get_weights()]
    prune(fresh, 0.5)
    network = build(candidate, DIGITS, 0)
    network.set_weights(base)
    stored = Trainer(network, candidate.training, task)
    prune(stored, 0.5)
    for one, other in zip(fresh.network.get_weights(), stored.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_sparsity_of_the_same_trainer_starts_from_what_is_there():
    candidate = dense(16, epochs=3)
    trainer = Trainer(build(candidate, DIGITS, 0), candidate.training, few(200))
    for sparsity in (0.3, 0.7):
        prune(trainer, sparsity)
        found, total, count = zeros(prunable(trainer.network))
        assert abs(found - sparsity * total) <= count
