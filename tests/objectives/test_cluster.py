"""Clustering: few values per kernel, zeros among them if there were any, and training keeps it so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import DIGITS, dense, digits, mixed

from objectives.build import build, kernels, prunable
from objectives.cluster import cluster_of_each, tie
from objectives.prune import prune
from objectives.train import Phase, Trainer, train

pytestmark = pytest.mark.usefixtures("warm")

WEIGHTS = st.lists(st.floats(-2, 2, width=32, allow_subnormal=False), min_size=3, max_size=200)


@given(values=WEIGHTS, clusters=st.integers(2, 16))
@settings(max_examples=60, deadline=None)
def test_there_are_no_more_clusters_than_asked_and_zeros_have_their_own(values, clusters):
    values = np.array(values, np.float32)
    labels = cluster_of_each(values, clusters)
    assert labels.shape == values.shape
    assert len(np.unique(labels)) <= clusters
    if (values == 0).any():
        (zero,) = np.unique(labels[values == 0])
        assert not values[labels == zero].any()


@given(values=WEIGHTS, clusters=st.integers(2, 16))
@settings(max_examples=30, deadline=None)
def test_what_is_clustered_already_stays(values, clusters):
    values = np.array(values, np.float32)
    labels = cluster_of_each(values, clusters)
    means = np.array([values[labels == label].mean() for label in range(labels.max() + 1)], np.float32)[
        labels
    ]
    again = cluster_of_each(means, clusters)
    for label in np.unique(again):
        assert len(np.unique(means[again == label])) == 1


def test_clusters_lie_where_the_weights_are():
    generator = np.random.default_rng(0)
    centres = np.array([-3, -1, 0.5, 4], np.float32)
    true = generator.integers(0, 4, 400)
    labels = cluster_of_each(centres[true] + generator.normal(0, 0.01, 400).astype(np.float32), 4)
    assert all(len(np.unique(labels[true == i])) == 1 for i in range(4))


def most_values(network):
    return max(len(np.unique(kernel.numpy())) for kernel in prunable(network))


def test_every_kernel_is_tied_but_depthwise_ones():
    network = build(mixed(), DIGITS, 0)
    before = {k.name: k.numpy() for k in kernels(network)}
    ties = tie(network, 8)
    assert most_values(network) <= 8
    assert len(ties) == len(list(prunable(network)))
    (depthwise,) = [k for k in kernels(network) if "depthwise" in k.name]
    np.testing.assert_array_equal(depthwise.numpy(), before[depthwise.name])


@pytest.mark.parametrize("sparsity", [0.0, 0.6])
def test_training_keeps_clusters_and_zeros(sparsity):
    candidate = dense(24, epochs=4, learning_rate=1e-2)
    base = Trainer(build(candidate, DIGITS, 0), candidate.training, digits())
    train(base)
    if sparsity:
        prune(base, sparsity)
    zeros = [k.numpy() == 0 for k in prunable(base.network)]
    ties = tie(base.network, 16)
    tied = [k.numpy() for k in prunable(base.network)]
    trainer = Trainer(base.network, candidate.training, digits(), ties)
    trainer.keep_zeros()
    curve = trainer.run(Phase(3, 3e-3))
    assert most_values(base.network) <= 16
    for kernel, before, zero in zip(prunable(base.network), tied, zeros, strict=True):
        assert not np.array_equal(kernel.numpy(), before)  # the clusters themselves have learnt
        assert not kernel.numpy()[zero].any() or not sparsity
    assert curve[-1].valid > 0.8
