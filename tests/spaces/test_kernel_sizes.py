"""The weight count, by hand; that it equals a built network's is seen in tests/objectives."""

import pytest

from spaces.candidate import Candidate, Problem
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Residual
from spaces.weights import KernelSize, kernel_sizes

IMAGE = Problem(kind="image", input_shape=(7, 5, 3), classes=4)
TABLE = Problem(kind="table", input_shape=(6,), classes=2)


@pytest.mark.parametrize(
    ("layers", "sizes"),
    [
        ((Conv(filters=8, kernel=(3, 5)), GlobalPool()), [3 * 5 * 3 * 8, 8 * 4]),
        ((Conv(filters=8, kernel=(3, 3), stride=(2, 2)), Flatten()), [3 * 3 * 3 * 8, 4 * 3 * 8 * 4]),
        ((Conv(filters=2, kernel=(1, 1), stride=(3, 1)), Flatten()), [3 * 2, 3 * 5 * 2 * 4]),
        ((Residual(filters=3, kernel=(3, 3)), GlobalPool()), [9 * 3 * 3, 9 * 3 * 3, 3 * 4]),
        ((Residual(filters=6, kernel=(3, 3)), GlobalPool()), [9 * 3 * 6, 9 * 6 * 6, 3 * 6, 6 * 4]),
        (
            (Residual(filters=3, kernel=(3, 3), stride=(2, 2)), Flatten(), Dense(units=5)),
            [81, 81, 9, 4 * 3 * 3 * 5, 5 * 4],
        ),
    ],
)
def test_weights_of_each_layer_and_of_the_classifier(layers, sizes):
    found = kernel_sizes(Candidate(architecture=layers), IMAGE)
    assert [kernel.weights for kernel in found] == sizes
    assert not any(kernel.depthwise for kernel in found)


def test_a_depthwise_kernel_is_marked():
    candidate = Candidate(architecture=(DepthwiseSeparable(filters=8, kernel=(3, 3)), GlobalPool()))
    depthwise, pointwise, classifier = kernel_sizes(candidate, IMAGE)
    assert depthwise == KernelSize(27, uses=7 * 5, depthwise=True)
    assert (pointwise, classifier) == (KernelSize(24, uses=7 * 5), KernelSize(32))


@pytest.mark.parametrize(
    ("layers", "uses"),
    [
        ((Conv(filters=8, kernel=(3, 5)), Flatten()), [35, 1]),
        ((Conv(filters=8, kernel=(3, 3), stride=(2, 1)), GlobalPool()), [4 * 5, 1]),
        ((DepthwiseSeparable(filters=8, kernel=(3, 3), stride=(2, 2)), GlobalPool()), [12, 12, 1]),
        ((Residual(filters=8, kernel=(3, 3), stride=(2, 2)), GlobalPool()), [12, 12, 12, 1]),
    ],
)
def test_a_weight_is_used_at_every_position_that_comes_out(layers, uses):
    assert [kernel.uses for kernel in kernel_sizes(Candidate(architecture=layers), IMAGE)] == uses


def test_a_table_needs_no_flatten_but_takes_one():
    candidate = Candidate(architecture=(Flatten(), Dense(units=5), Dense(units=3)))
    assert [kernel.weights for kernel in kernel_sizes(candidate, TABLE)] == [30, 15, 6]
