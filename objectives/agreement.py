"""Whether a file computes what the network that was converted computes, as far as its bit-width allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.errors import Mismatch

if TYPE_CHECKING:
    from spaces.candidate import Compression, Precision

Array = np.ndarray[Any, np.dtype[Any]]
TOLERANCE: dict[Precision, float] = {
    "float32": 0.001,
    "float16": 0.01,
    "dynamic-int8": 0.1,
    "int16x8": 0.1,
    "int8": 0.1,
    "int4": 1.0,
}
"""The largest disagreement that rounding explains: 8 to 13 times the step of the coarsest number in a file.

A step is 2**-b for b bits without the sign: 7 bits of int8 weights, 3 of int4, 10 of float16; float32 sums
in another order. The worst of 14 random trained networks on digits showed: float32 under .0001, float16
.0008, dynamic-int8 .009, int16x8 .015, int8 .021, int4 .57; aware ones .017 with 8 bits and .029 with 4.
"""
LOSSY = 0.5
"""The largest disagreement that is put down to 8 bits where all else is known to agree.

Where a network has ranges that 8 bits serve badly, its files come to more than others': one of four
separable blocks (8,300 weights, 20 epochs of all of Fashion-MNIST) showed .22 with int8. That is a loss,
which its accuracy tells, and no mistake, as long as the same graph agrees where nothing is rounded.
"""

EIGHT_BITS: tuple[Precision, ...] = ("dynamic-int8", "int8", "int16x8")


def disagreement(scores: Array, expected: Array) -> float:
    """Return how far scores, (samples, classes), are from what was expected, without unit.

    The root mean square of the difference over that of the expected scores' spread between samples and
    classes: 0 for equal ones, about 1.4 for unrelated ones.
    """
    spread = float(np.std(expected))
    return float(np.sqrt(np.mean((scores - expected) ** 2))) / max(spread, 1e-6)


def tolerance(compression: Compression) -> float:
    """Return the largest disagreement that the rounding of a compression explains.

    An aware network rounds its weights itself, so that only activations of 8 bits are left to differ.
    """
    return TOLERANCE["int8" if compression.quantization == "aware" else compression.precision]


def check_agreement(
    scores: Array,
    expected: Array,
    compression: Compression,
    unrounded: Callable[[], Array] | None = None,
) -> None:
    """Raise Mismatch where the file's scores differ from the network's by more than rounding explains.

    8 bits after the training explain more than usual where the same graph without rounding agrees:
    `unrounded` gives its scores, and is called where they are needed alone.
    """
    found, most = disagreement(scores, expected), tolerance(compression)
    if found <= most:
        return
    # The graph of an aware network rounds by itself.
    lossy = compression.quantization == "post-training" and compression.precision in EIGHT_BITS
    if lossy and unrounded and found <= LOSSY and _agrees(unrounded(), expected):
        return
    raise Mismatch(
        f"the file's scores differ from the network's by {found:.2g} of their spread, and rounding to "
        f"{compression.precision} explains {most:.2g}"
    )


def _agrees(unrounded: Array, expected: Array) -> bool:
    return disagreement(unrounded, expected) <= TOLERANCE["float32"]
