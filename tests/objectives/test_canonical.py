"""What is told of a candidate without TensorFlow: its canonical form and the bound on its bytes."""

import pytest
from small import IMAGE, TABLE, dense, mixed

from objectives.canonical import canonical, least_bytes
from spaces.candidate import PRECISIONS
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
