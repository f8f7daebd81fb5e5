"""How many weights each kernel of an architecture has, without building it."""

from math import prod
from typing import NamedTuple, assert_never

from spaces.candidate import Candidate, Problem
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Layer, Residual

Shape = tuple[int, ...]


class KernelSize(NamedTuple):
    """The number of weights of one kernel, and whether it is a depthwise one (never pruned)."""

    weights: int
    depthwise: bool = False


def kernel_sizes(candidate: Candidate, problem: Problem) -> tuple[KernelSize, ...]:
    """List the kernels in the order in which the network is built, the classifier last."""
    shape: Shape = problem.input_shape
    found: list[KernelSize] = []
    for layer in candidate.architecture:
        kernels, shape = _read(layer, shape)
        found += kernels
    return (*found, KernelSize(prod(shape) * problem.classes))


def _read(layer: Layer, shape: Shape) -> tuple[list[KernelSize], Shape]:
    match layer:
        case Conv(filters=filters, kernel=kernel):
            return [KernelSize(prod(kernel) * shape[-1] * filters)], _strided(shape, layer)
        case DepthwiseSeparable(filters=filters, kernel=kernel):
            depthwise = KernelSize(prod(kernel) * shape[-1], depthwise=True)
            return [depthwise, KernelSize(shape[-1] * filters)], _strided(shape, layer)
        case Residual():
            return _residual(layer, shape), _strided(shape, layer)
        case GlobalPool():
            return [], (shape[-1],)
        case Flatten():
            return [], (prod(shape),)
        case Dense(units=units):
            return [KernelSize(prod(shape) * units)], (units,)
        case _:
            assert_never(layer)


def _residual(layer: Residual, shape: Shape) -> list[KernelSize]:
    first, second = prod(layer.kernel) * shape[-1] * layer.filters, prod(layer.kernel) * layer.filters**2
    shortcut = shape[-1] != layer.filters or layer.stride != (1, 1)
    return [KernelSize(first), KernelSize(second)] + [KernelSize(shape[-1] * layer.filters)] * shortcut


def _strided(shape: Shape, layer: Conv | DepthwiseSeparable | Residual) -> Shape:
    return (-(-shape[0] // layer.stride[0]), -(-shape[1] // layer.stride[1]), layer.filters)
