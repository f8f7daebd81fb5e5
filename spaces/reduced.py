"""What input reduction and slimming leave of a problem and an architecture, without building anything."""

from typing import assert_never

from spaces.candidate import Candidate, Pca, Problem, Reduction, Resize, Rfe
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Layer, Residual

Shape = tuple[int, ...]


def reduced_shape(shape: Shape, reduction: Reduction | None) -> Shape:
    """Return the shape of a sample, without a batch axis, after input reduction."""
    match reduction:
        case None:
            return shape
        case Rfe(columns=count) | Pca(components=count):
            return (*shape[:-1], count)
        case Resize(scale=scale):
            height, width, channels = shape
            return (smaller(height, scale), smaller(width, scale), channels)
        case _:
            assert_never(reduction)


def reduced(problem: Problem, candidate: Candidate) -> Problem:
    """Return the problem that the candidate's network sees."""
    shape = reduced_shape(problem.input_shape, candidate.reduction)
    return problem.model_copy(update={"input_shape": shape})


def smaller(count: int, share: float) -> int:
    """Return that share of a count, rounded, at least 1."""
    return max(1, round(count * share))


def slimmed(candidate: Candidate, channels: int) -> Candidate:
    """Return the candidate as a network without slimming that has only the filters and units it keeps.

    `channels` is the last axis of what the network sees. Networks trained as this one and slimmed have
    its architecture.
    """
    keep = candidate.compression.keep
    if keep == 1:
        return candidate
    layers: list[Layer] = []
    shape = _Width(channels)
    for layer in candidate.architecture:
        layers.append(_slim(layer, shape, keep))
        shape.pass_through(layer)
    compression = candidate.compression.model_copy(update={"keep": 1.0})
    return candidate.model_copy(update={"architecture": tuple(layers), "compression": compression})


class _Width:
    """The width before a layer of the full network, and whether it is that of the raw input still."""

    def __init__(self, channels: int) -> None:
        self.channels, self.raw = channels, True

    def pass_through(self, layer: Layer) -> None:
        match layer:
            case Residual(filters=filters) if self.raw and filters == self.channels and plain(layer):
                pass  # added to the input itself, and so as wide
            case Conv(filters=filters) | DepthwiseSeparable(filters=filters) | Residual(filters=filters):
                self.channels, self.raw = filters, False
            case _:
                pass


def plain(layer: Residual) -> bool:
    """Tell whether a residual block may add its input as it is, where the widths agree."""
    return layer.stride == (1, 1) and not layer.projected


def _slim(layer: Layer, before: _Width, keep: float) -> Layer:
    match layer:
        case Residual(filters=filters):
            identity = plain(layer) and filters == before.channels
            if identity and before.raw:
                return layer
            left = smaller(filters, keep)
            return layer.model_copy(update={"filters": left, "projected": not identity})
        case Conv(filters=filters) | DepthwiseSeparable(filters=filters):
            return layer.model_copy(update={"filters": smaller(filters, keep)})
        case Dense(units=units):
            return layer.model_copy(update={"units": smaller(units, keep)})
        case GlobalPool() | Flatten():
            return layer
        case _:
            assert_never(layer)
