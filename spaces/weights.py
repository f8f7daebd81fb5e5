"""How many weights each kernel of a candidate's file has, without building it."""

from collections.abc import Iterable
from math import prod
from typing import NamedTuple, assert_never

from spaces.candidate import Candidate, Pca, Problem
from spaces.layers import Block, Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Layer, Residual
from spaces.reduced import plain, reduced_shape, slimmed

Shape = tuple[int, ...]


class KernelSize(NamedTuple):
    """The number of weights of one kernel, and how often each is used for one sample.

    A depthwise one is touched by no lever but plain 8 bits, for it has next to nothing to spare.
    """

    weights: int
    uses: int = 1
    depthwise: bool = False


def kernel_sizes(candidate: Candidate, problem: Problem) -> tuple[KernelSize, ...]:
    """List the trained kernels in the order in which the network is built, the classifier last.

    Those of a network that was brought are not known here: there are none.
    """
    if candidate.model is not None:
        return ()
    shape: Shape = reduced_shape(problem.input_shape, candidate.reduction)
    found: list[KernelSize] = []
    for layer in slimmed(candidate, shape[-1]).architecture:
        kernels, shape = _read(layer, shape)
        found += kernels
    return (*found, KernelSize(prod(shape) * problem.classes))


def multiplications(kernels: Iterable[KernelSize]) -> int:
    """Return the multiply-accumulates of kernels for one sample."""
    return sum(kernel.weights * kernel.uses for kernel in kernels)


def projection_size(candidate: Candidate, problem: Problem) -> int:
    """Return how many weights a projection of the input has; 0 without one."""
    match candidate.reduction:
        case Pca(components=components):
            return components * problem.input_shape[-1]
        case _:
            return 0


def _read(layer: Layer, shape: Shape) -> tuple[list[KernelSize], Shape]:
    match layer:
        case Conv() | DepthwiseSeparable() | Residual():
            after = _strided(shape, layer)
            uses = prod(after[:-1])
            return [kernel._replace(uses=uses) for kernel in _of_block(layer, shape)], after
        case GlobalPool():
            return [], (shape[-1],)
        case Flatten():
            return [], (prod(shape),)
        case Dense(units=units):
            return [KernelSize(prod(shape) * units)], (units,)
        case _:
            assert_never(layer)


def _of_block(layer: Block, shape: Shape) -> list[KernelSize]:
    match layer:
        case Conv(filters=filters, kernel=kernel):
            return [KernelSize(prod(kernel) * shape[-1] * filters)]
        case DepthwiseSeparable(filters=filters, kernel=kernel):
            depthwise = KernelSize(prod(kernel) * shape[-1], depthwise=True)
            return [depthwise, KernelSize(shape[-1] * filters)]
        case Residual():
            return _residual(layer, shape)
        case _:
            assert_never(layer)


def _residual(layer: Residual, shape: Shape) -> list[KernelSize]:
    first, second = prod(layer.kernel) * shape[-1] * layer.filters, prod(layer.kernel) * layer.filters**2
    shortcut = shape[-1] != layer.filters or not plain(layer)
    return [KernelSize(first), KernelSize(second)] + [KernelSize(shape[-1] * layer.filters)] * shortcut


def _strided(shape: Shape, layer: Block) -> Shape:
    return (-(-shape[0] // layer.stride[0]), -(-shape[1] // layer.stride[1]), layer.filters)
