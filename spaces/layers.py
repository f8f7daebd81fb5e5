"""The layers that an architecture is made of, as pure data.

One description has several readers (the Keras builder, the weight count, the report), so that
they cannot drift apart. A trailing classifier (one unit per class, logits) is implied.
"""

from typing import Annotated, Literal

from pydantic import Field

from spaces.value import Value

Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
Count = Annotated[int, Field(ge=1)]


class Conv(Value):
    """Convolution, BatchNorm, ReLU. Sizes are (height, width); a series is (time, 1)."""

    type: Literal["conv"] = "conv"
    filters: Count
    kernel: Size
    stride: Size = (1, 1)


class DepthwiseSeparable(Value):
    """Depthwise convolution, BatchNorm, ReLU6, then a 1x1 convolution, BatchNorm, ReLU6."""

    type: Literal["depthwise-separable"] = "depthwise-separable"
    filters: Count
    kernel: Size
    stride: Size = (1, 1)


class Residual(Value):
    """Two convolutions with BatchNorm beside a shortcut (1x1 where the shape changes), ReLU.

    `projected` puts a 1x1 convolution on the shortcut where the shape does not ask for one.
    """

    type: Literal["residual"] = "residual"
    filters: Count
    kernel: Size
    stride: Size = (1, 1)
    projected: bool = False


class GlobalPool(Value):
    """Mean over all positions: (height, width, channels) becomes (channels,)."""

    type: Literal["global-pool"] = "global-pool"


class Flatten(Value):
    """Any shape becomes one axis."""

    type: Literal["flatten"] = "flatten"


class Dense(Value):
    """Fully connected, ReLU."""

    type: Literal["dense"] = "dense"
    units: Count


Block = Conv | DepthwiseSeparable | Residual
Layer = Annotated[Block | GlobalPool | Flatten | Dense, Field(discriminator="type")]
