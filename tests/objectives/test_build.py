"""Networks: every layer, every space, and that the weight count reads the description as the builder does."""

import numpy as np
import pytest
from small import IMAGE, MIXED, PROBLEMS, SERIES, TABLE, dense, mixed, some_candidates

from objectives.build import BATCH_NORM_MOMENTUM, build, kernels, prunable
from objectives.errors import ObjectiveError
from spaces.candidate import Candidate
from spaces.layers import Conv, DepthwiseSeparable, Flatten, GlobalPool, Residual
from spaces.reduced import reduced
from spaces.weights import KernelSize, kernel_sizes

pytestmark = pytest.mark.usefixtures("warm")


def sizes(network):
    """Return the network's kernels as the weight count gives them."""
    owner = {id(weight): layer for layer in network.layers for weight in layer.trainable_weights}
    return [
        KernelSize(
            weights=int(np.prod(kernel.shape)),
            uses=int(np.prod(owner[id(kernel)].output_shape[1:-1])),
            depthwise="depthwise" in kernel.name,
        )
        for kernel in kernels(network)
    ]


@pytest.mark.parametrize("space", sorted(PROBLEMS))
def test_the_weight_count_equals_the_networks_kernels(space):
    problem = PROBLEMS[space]
    for candidate in some_candidates(space, 8):
        network = build(candidate, problem, seed=0)
        assert sorted(sizes(network)) == sorted(kernel_sizes(candidate, problem))
        assert network.input_shape == (None, *reduced(problem, candidate).input_shape)
        assert network.output_shape == (None, problem.classes)


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (Conv(filters=5, kernel=(3, 3), stride=(2, 2)), IMAGE),
        (Conv(filters=5, kernel=(3, 1), stride=(2, 1)), SERIES),
        (Conv(filters=5, kernel=(1, 5), stride=(1, 2)), IMAGE),
        (DepthwiseSeparable(filters=5, kernel=(3, 3), stride=(2, 2)), IMAGE),
        (DepthwiseSeparable(filters=5, kernel=(5, 1), stride=(3, 1)), SERIES),
        (DepthwiseSeparable(filters=5, kernel=(5, 1)), SERIES),
        (Residual(filters=2, kernel=(3, 3)), IMAGE),
        (Residual(filters=5, kernel=(3, 3), stride=(2, 2)), IMAGE),
        (Residual(filters=3, kernel=(7, 1), stride=(3, 1)), SERIES),
    ],
    ids=str,
)
@pytest.mark.parametrize("head", [GlobalPool(), Flatten()], ids=["pool", "flatten"])
def test_every_block_builds_on_every_head_and_is_counted(block, problem, head):
    candidate = Candidate(architecture=(block, head))
    network = build(candidate, problem, seed=0)
    assert sorted(sizes(network)) == sorted(kernel_sizes(candidate, problem))


def test_a_chain_is_counted_in_the_order_in_which_it_is_built():
    chain = Candidate(architecture=tuple(layer for layer in MIXED if not isinstance(layer, Residual)))
    assert tuple(sizes(build(chain, IMAGE, seed=0))) == kernel_sizes(chain, IMAGE)


def test_a_depthwise_block_with_two_strides_is_refused():
    block = DepthwiseSeparable(filters=4, kernel=(3, 3), stride=(1, 2))
    with pytest.raises(ObjectiveError, match=r"one stride for both axes, got \(1, 2\)"):
        build(Candidate(architecture=(block, GlobalPool())), IMAGE, seed=0)


def test_all_but_depthwise_kernels_are_prunable():
    network = build(mixed(), IMAGE, seed=0)
    names = {kernel.name for kernel in kernels(network)}
    left_out = names - {kernel.name for kernel in prunable(network)}
    assert len(left_out) == 1
    assert "depthwise" in left_out.pop()


@pytest.mark.parametrize("candidate", [mixed(), mixed(dropout=0.3)], ids=["plain", "dropout"])
def test_equal_seeds_make_equal_weights_and_other_seeds_others(candidate):
    first, again, other = (build(candidate, IMAGE, seed).get_weights() for seed in (1, 1, 2))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.ptp(one) == 0 or np.any(one != three)


def test_no_two_kernels_start_alike():
    network = build(dense(16, 16, 16), TABLE, seed=0)
    first, second = (kernel.numpy() for kernel in list(kernels(network))[1:3])
    assert np.any(first != second)


def test_statistics_keep_up_with_a_short_training():
    norms = [layer for layer in build(mixed(), IMAGE, 0).layers if hasattr(layer, "moving_mean")]
    assert norms
    assert {norm.momentum for norm in norms} == {BATCH_NORM_MOMENTUM}


def test_dropout_stands_before_every_dense_layer_and_only_if_asked():
    def count(candidate):
        return sum("dropout" in layer.name for layer in build(candidate, TABLE, 0).layers)

    assert count(dense(8, 8, dropout=0.2)) == 3
    assert count(dense(8, 8)) == 0


def test_the_output_is_logits():
    network = build(dense(8), TABLE, seed=0)
    assert network.layers[-1].activation.__name__ == "linear"
