"""What is told of a candidate without TensorFlow: its canonical form and the bound on its bytes."""

import pytest
from small import IMAGE, TABLE, dense, mixed

from objectives.canonical import canonical, least_bytes
from objectives.lowbit import low_bit_count
from spaces.candidate import PRECISIONS, Compression
from spaces.weights import kernel_sizes


@pytest.mark.parametrize("units", [(8,), (70, 14)])
def test_dynamic_int8_of_small_kernels_alone_is_float32(units):
    small = dense(*units, precision="dynamic-int8", sparsity=0.3)
    assert canonical(small, TABLE) == dense(*units, precision="float32", sparsity=0.3)


def test_one_kernel_of_1024_weights_makes_it_a_form_of_its_own():
    large = dense(32, 32, precision="dynamic-int8")
    assert canonical(large, TABLE) == large


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_other_precisions_always_tell(precision):
    candidate = dense(8, precision=precision)
    assert canonical(candidate, TABLE) == candidate


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_canonical_form_of_a_canonical_form_is_itself(precision):
    once = canonical(dense(8, precision=precision), TABLE)
    assert canonical(once, TABLE) == once


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("float32", 4 * (13 * 32 + 32 * 32 + 32 * 3)),
        ("float16", 2 * (13 * 32 + 32 * 32 + 32 * 3)),
        ("dynamic-int8", 4 * 13 * 32 + 32 * 32 + 4 * 32 * 3),
        ("int8", 13 * 32 + 32 * 32 + 32 * 3),
    ],
)
def test_the_bound_is_the_kernels_in_the_type_they_are_stored_in(precision, expected):
    assert least_bytes(dense(32, 32, precision=precision), TABLE) == expected


def test_the_bound_counts_every_kernel():
    assert least_bytes(mixed("int8"), IMAGE) == sum(kernel.weights for kernel in kernel_sizes(mixed(), IMAGE))


def low(layers, share):
    """Return a network of so many layers, the one for its classes among them."""
    compression = Compression(precision="int4", int4_share=share)
    return dense(*[8] * (layers - 1)).model_copy(update={"compression": compression})


@pytest.mark.parametrize(("layers", "distinct"), [(1, {1.0}), (2, {0.5, 1.0}), (3, {0.25, 0.5, 1.0})])
def test_shares_that_mean_as_many_layers_are_one(layers, distinct):
    shares = [0.25, 0.5, 0.75, 1.0]
    made = [canonical(low(layers, share), TABLE) for share in shares]
    assert {candidate.compression.int4_share for candidate in made} == distinct
    assert len({candidate.digest for candidate in made}) == len(distinct)
    for share, candidate in zip(shares, made, strict=True):
        assert low_bit_count(layers, candidate.compression.int4_share) == low_bit_count(layers, share)


def test_a_share_like_no_plain_one_is_kept():
    candidate = low(10, 0.6)
    assert canonical(candidate, TABLE) == candidate
