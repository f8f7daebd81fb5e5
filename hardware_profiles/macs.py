"""How often an operator of a `.tflite` multiplies and accumulates.

A multiply-accumulate (MAC) is one multiplication whose result is added to a sum; what an operator has of them
follows from its shapes alone. The counts are those of TensorFlow's own operator definitions
(`GetArithmeticCount` in its tfl dialect) halved, for there a MAC is two operations, and without biases.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hardware_profiles.graph import Op, TensorInfo

# Operators that multiply and accumulate in ways that no formula below counts, or as often as data says.
UNCOUNTED = frozenset(
    {
        "BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN", "CALL", "CONV_3D", "CONV_3D_TRANSPOSE",
        "IF", "RFFT2D", "RNN", "STABLEHLO_CONVOLUTION", "STABLEHLO_DOT_GENERAL", "STABLEHLO_WHILE",
        "SVDF", "UNIDIRECTIONAL_SEQUENCE_RNN", "WHILE",
    }
)  # fmt: skip


def count(shape: tuple[int, ...]) -> int:
    """Return how many numbers have that shape, an unknown dimension taken as 1."""
    return math.prod(1 if size < 0 else size for size in shape)


def macs_of(op: "Op") -> int:
    """Return the multiply-accumulates of one run of an operator, 0 where it has none that are counted."""
    return _MACS[op.kind](op) if op.kind in _MACS else 0


def _input(op: "Op", place: int) -> "TensorInfo":
    """Return an input that cannot be left out. Raises ValueError where it is."""
    tensor = op.inputs[place] if place < len(op.inputs) else None
    if tensor is None:
        raise ValueError(f"{op.kind} lacks its input {place}")
    return tensor


def _convolution(op: "Op") -> int:
    """Every output pixel takes all weights (out, height, width, in) once; 'in' is a group's where grouped."""
    return count(op.outputs[0].shape[:-1]) * _input(op, 1).elements


def _depthwise(op: "Op") -> int:
    """Every output number takes one kernel, (1, height, width, out)."""
    _, height, width, _ = _input(op, 1).shape
    return op.outputs[0].elements * height * width


def _dense(op: "Op") -> int:
    """Every output number takes one row of the weights, (out, in)."""
    return op.outputs[0].elements * _input(op, 1).shape[-1]


def _transposed(op: "Op") -> int:
    """Every input pixel meets all weights (out, height, width, in) once, at the edges too."""
    return count(_input(op, 2).shape[:-1]) * _input(op, 1).elements


def _batch_matmul(op: "Op") -> int:
    """Every output number sums over the inner dimension."""
    return op.outputs[0].elements * _input(op, 0).shape[-2 if op.options.get("adjX") else -1]


def _lstm(op: "Op") -> int:
    """Every step of every sequence takes all weight matrices, recurrent ones and a projection included."""
    matrices = [tensor for tensor in op.inputs[1:] if tensor is not None and tensor.constant]
    return count(_input(op, 0).shape[:-1]) * sum(
        tensor.elements for tensor in matrices if len(tensor.shape) == 2
    )


_MACS: dict[str, Callable[["Op"], int]] = {
    "BATCH_MATMUL": _batch_matmul,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "LSTM": _lstm,
    "TRANSPOSE_CONV": _transposed,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
}
_DATA_INPUT = {"TRANSPOSE_CONV": 2}


def compute_types(op: "Op") -> tuple[str, str]:
    """Return the types of the numbers that it multiplies: what is computed, and the weights."""
    data = _input(op, _DATA_INPUT.get(op.kind, 0))
    weights = op.weights or (_input(op, 1),)
    return data.type, weights[0].type
