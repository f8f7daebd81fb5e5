"""Convolutional networks for images: a plain first block, then plain, separable or residual ones.

The reference designs are those of MobileNet (Howard et al. 2017, depthwise-separable blocks) and
ResNet (He et al. 2015, residual blocks), at the sizes of MLPerf Tiny.
"""

from spaces.candidate import Candidate, Kind, Problem
from spaces.chooser import Choices, Integers, Pick, Reals
from spaces.designs import image_designs
from spaces.ladder import Design
from spaces.layers import Block, Conv, DepthwiseSeparable, Flatten, GlobalPool, Layer, Residual
from spaces.recipe import pick_candidate, pick_dense, recipe_ranges

Sides = tuple[int, int]
BLOCKS: dict[str, type[Block]] = {
    "conv": Conv,
    "depthwise-separable": DepthwiseSeparable,
    "residual": Residual,
}


class ConvNet:
    """One to four blocks (kind, filters, kernel, stride each), a head, at most one dense layer."""

    name = "convnet"
    kinds: frozenset[Kind] = frozenset({"image"})

    def ranges(self, problem: Problem) -> dict[str, Integers | Reals | Choices]:
        """Return every range by name."""
        return {
            "blocks": Integers(low=1, high=4),
            "block": Choices(options=tuple(BLOCKS)),
            "filters": Integers(low=4, high=64, log=True),
            "kernel": Integers(low=3, high=5, step=2),
            "stride": Integers(low=1, high=2),
            "head": Choices(options=("global-pool", "flatten")),
            "dense": Integers(low=0, high=1),
            "units": Integers(low=8, high=64, log=True),
            **recipe_ranges(problem),
        }

    def suggest(self, pick: Pick, problem: Problem) -> Candidate:
        """Make one candidate."""
        sides = (problem.input_shape[0], problem.input_shape[1])
        layers = pick_blocks(pick, sides)
        head = GlobalPool() if pick.option("head") == "global-pool" else Flatten()
        return pick_candidate(pick, (*layers, head, *pick_dense(pick, pick.integer("dense"))))

    def ladder(self, problem: Problem) -> tuple[Design, ...]:
        """Return the designs to begin with."""
        return image_designs(problem)


def pick_blocks(pick: Pick, sides: Sides) -> tuple[Layer, ...]:
    """Pick the blocks. Along an axis of length 1 (a series) kernels and strides are 1.

    A stride is asked only while four positions are left: below that it has next to no effect.
    """
    flat = tuple(side == 1 for side in sides)
    layers: list[Layer] = []
    for i in range(pick.integer("blocks")):
        kind = pick.option("block", i) if i else "conv"
        filters, kernel = pick.integer("filters", i), pick.integer("kernel", i)
        stride = pick.integer("stride", i) if max(sides) >= 4 else 1
        layers.append(BLOCKS[kind](filters=filters, kernel=_along(kernel, flat), stride=_along(stride, flat)))
        sides = (-(-sides[0] // stride), -(-sides[1] // stride))
    return tuple(layers)


def _along(length: int, flat: tuple[bool, ...]) -> Sides:
    return (1 if flat[0] else length, 1 if flat[1] else length)
