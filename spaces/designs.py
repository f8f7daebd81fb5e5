"""The reference networks of the spaces that ship, at several widths and depths.

MobileNet (Howard et al. 2017): depthwise-separable blocks, twice as wide wherever the image halves.
ResNet (He et al. 2015) as MLPerf Tiny has it (Banbury et al. 2021): residual blocks of 16, 32 and 64 filters.
DS-CNN (Zhang et al. 2017): depthwise-separable blocks of one width along a series. Plain convolutions (LeNet,
LeCun et al. 1998) and perceptrons are the smallest of all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from spaces.ladder import Design, Wish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spaces.candidate import Problem

IMAGE_POSITIONS = 6
"""About how many positions a side are left where an image's features are averaged."""
SERIES_POSITIONS = 12


VARIED: dict[str, Wish] = {"augmentation": ("shift", "none")}
"""For networks with weights to spare, where the ranges have it.

A residual network of 44,500 weights, one seed, after 20 epochs of all of Fashion-MNIST, on validation data:
.915 without, .932 with shifts, .927 with shifts and flips. Perceptrons have to learn each position anew: one
of 51,000 weights has .861 without and .840 with shifts, after 10.
"""


def dense_design(*units: int) -> Design:
    """Return a perceptron with hidden layers of these widths; where more are asked for, of the last."""
    members = {f"units_{i}": width for i, width in enumerate(units)}
    return {"layers": len(units), "units": units[-1], **members}


def mlp_designs() -> tuple[Design, ...]:
    """Return perceptrons of one or two layers."""
    widths = ((8,), (16,), (32,), (16, 16), (64,), (32, 32), (128,), (128, 64))
    return tuple(dense_design(*units) for units in widths)


def image_designs(problem: Problem) -> tuple[Design, ...]:
    """Return convolutional networks for images, of all kinds of block."""
    times = _halvings(max(problem.input_shape[:2]), IMAGE_POSITIONS)
    early, late = Halving((0, 2, 1, 3), times), Halving((3, 2, 0, 1), times)
    return (
        *(_blocks("conv", widths, early) for widths in ((8,), (16,), (4, 8), (8, 16, 32))),
        # Plain features learn quicker where each position counts for itself (3,000 images of Fashion-MNIST,
        # two blocks of 8 and 16 filters: .833, and .710 where they were averaged, after one halving less).
        *(_flat(_blocks("conv", widths, early)) for widths in ((4,), (8,), (4, 8), (8, 16))),
        *(VARIED | _flat(_blocks("conv", widths, early)) for widths in ((16, 32), (16, 32, 64))),
        *(_blocks("depthwise-separable", (w, 2 * w, 4 * w, 4 * w), early) for w in (4, 8, 16)),
        # Deep and wide ones do better at half the rate (3,000 images of Fashion-MNIST: .837 against .827).
        *(
            VARIED | _blocks("residual", (w, w, 2 * w, 4 * w), late) | {"learning_rate": 1e-2}
            for w in (8, 12, 16)
        ),
    )


def series_designs(problem: Problem) -> tuple[Design, ...]:
    """Return convolutional networks along time: DS-CNN, plain and residual ones."""
    early = Halving((0, 1, 2, 3), _halvings(problem.input_shape[0], SERIES_POSITIONS))
    plain, separable = (
        ((8,), (16,), (4, 8), (8, 16), (16, 32)),
        ((8, 3), (16, 3), (32, 4), (64, 4)),
    )
    return (
        *(_blocks("conv", widths, early, 5) for widths in plain),
        VARIED | _blocks("conv", (16, 32, 64), early, 5),
        *(_blocks("depthwise-separable", (width,) * depth, early, 5) for width, depth in separable),
        *(VARIED | _blocks("residual", (w, w, 2 * w, 4 * w), early, 5) for w in (8, 16)),
    )


def _flat(design: dict[str, Wish]) -> dict[str, Wish]:
    return {**design, "head": "flatten"}


class Halving(NamedTuple):
    """How often an axis is halved, and by which blocks, by index, the first ones first."""

    blocks: tuple[int, ...]
    times: int


def _halvings(length: int, positions: int) -> int:
    """Return how many halvings leave about so many positions of an axis, at least one."""
    return max(1, round(math.log2(max(1.0, length / positions))))


def _blocks(kind: str, widths: Sequence[int], halving: Halving, kernel: int = 3) -> dict[str, Wish]:
    """Return a network of blocks of these widths; where more are asked for, of the last one's."""
    strided = [i for i in halving.blocks if i < len(widths)][: halving.times]
    wishes: dict[str, Wish] = {"blocks": len(widths), "block": kind, "kernel": kernel}
    wishes |= {"filters": widths[-1], **{f"filters_{i}": width for i, width in enumerate(widths)}}
    wishes |= {"stride": 1, **{f"stride_{i}": 2 for i in strided}}
    return {**wishes, "head": "global-pool", "dense": 0, "units": 32}
