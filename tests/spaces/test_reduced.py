"""What reduction and slimming leave, told without building anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.candidate import Candidate, Compression, Pca, Problem, Resize, Rfe
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Residual
from spaces.reduced import reduced, reduced_shape, slimmed, smaller
from spaces.weights import kernel_sizes, projection_size


def of(*layers, keep=0.5, reduction=None):
    return Candidate(architecture=layers, reduction=reduction, compression=Compression(keep=keep))


@pytest.mark.parametrize(
    ("shape", "reduction", "left"),
    [
        ((30,), None, (30,)),
        ((30,), Rfe(columns=8), (8,)),
        ((30,), Pca(components=3), (3,)),
        ((50, 1, 6), Rfe(columns=2), (50, 1, 2)),
        ((28, 20, 3), Resize(scale=0.5), (14, 10, 3)),
        ((9, 9, 1), Resize(scale=0.75), (7, 7, 1)),
    ],
)
def test_the_shape_that_is_left(shape, reduction, left):
    assert reduced_shape(shape, reduction) == left


def test_the_network_sees_the_reduced_problem():
    problem = Problem(kind="table", input_shape=(30,), classes=2)
    candidate = of(Flatten(), Dense(units=4), reduction=Pca(components=5))
    assert reduced(problem, candidate).input_shape == (5,)
    assert kernel_sizes(candidate, problem)[0].weights == 5 * 2  # two of the four units are kept
    assert projection_size(candidate, problem) == 30 * 5


@given(count=st.integers(1, 10_000), share=st.floats(0.01, 1))
def test_a_share_is_never_nothing_nor_more_than_all(count, share):
    assert 1 <= smaller(count, share) <= count


def test_every_width_is_slimmed():
    layers = (
        Conv(filters=8, kernel=(3, 3)),
        DepthwiseSeparable(filters=10, kernel=(3, 3)),
        GlobalPool(),
        Dense(units=6),
    )
    widths = [
        getattr(layer, "filters", None) or getattr(layer, "units", None)
        for layer in slimmed(of(*layers), 3).architecture
    ]
    assert widths == [4, 5, None, 3]
    assert slimmed(of(*layers), 3).compression.keep == 1


def test_without_slimming_nothing_changes():
    candidate = of(Conv(filters=8, kernel=(3, 3)), GlobalPool(), keep=1.0)
    assert slimmed(candidate, 3) is candidate


def test_a_shortcut_stays_what_it_was():
    """4 → 6 filters has a projection; both halves are narrower, and may have become equal."""
    layers = (Conv(filters=5, kernel=(3, 3)), Residual(filters=4, kernel=(3, 3)), GlobalPool())
    _, block, _ = slimmed(of(*layers), 1).architecture
    assert (block.filters, block.projected) == (2, True)
    same = (Conv(filters=4, kernel=(3, 3)), Residual(filters=4, kernel=(3, 3)), GlobalPool())
    _, block, _ = slimmed(of(*same), 1).architecture
    assert (block.filters, block.projected) == (2, False)


def test_what_is_added_to_the_raw_input_keeps_its_width():
    layers = (Residual(filters=3, kernel=(3, 3)), Residual(filters=3, kernel=(1, 1)), GlobalPool())
    assert slimmed(of(*layers), 3).architecture == layers
    after = (*layers[:2], Conv(filters=4, kernel=(3, 3)), Residual(filters=4, kernel=(3, 3)), GlobalPool())
    assert [getattr(layer, "filters", None) for layer in slimmed(of(*after), 3).architecture] == [
        3,
        3,
        2,
        2,
        None,
    ]
