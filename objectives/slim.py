"""The lever `slim`: whole filters and units leave a trained network (structured pruning).

A filter's saliency is the norm of its weights times what BatchNorm makes of it (Li et al. 2016 for the
norm, Liu et al. 2017 for the scale): the norm of the kernel as the exported file has it. What is kept of
a layer's output is kept of every layer that reads it: of BatchNorm, of depthwise kernels, and of both
sides of an addition. The result is a smaller dense network.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

import numpy as np

from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Layer, Residual

if TYPE_CHECKING:
    import tf_keras

    from spaces.candidate import Candidate

Array = np.ndarray[Any, np.dtype[Any]]


def transfer(wide: tf_keras.Model, narrow: tf_keras.Model, candidate: Candidate) -> None:
    """Give a narrow network the weights of the filters and units of a trained wide one that matter most.

    Both are built of `candidate`: `narrow` with its slimming, `wide` without.
    """
    surgeon = _Surgeon(wide, narrow)
    for layer in candidate.architecture:
        surgeon.operate(layer)
    surgeon.dense()  # the classifier


class _Unit(NamedTuple):
    """A convolution and the BatchNorm after it, by name."""

    conv: str
    norm: str


class _Surgeon:
    """Walks both networks in the order in which they were built, and copies what is kept.

    `_kept` are the positions that the narrow network has of the `_width` on the wide one's last axis.
    """

    def __init__(self, wide: tf_keras.Model, narrow: tf_keras.Model) -> None:
        self._wide, self._narrow = wide, narrow
        self._met: Counter[str] = Counter()
        self._width = wide.input_shape[-1]
        self._kept = np.arange(self._width)

    def operate(self, layer: Layer) -> None:
        """Copy one layer of the architecture."""
        match layer:
            case Conv():
                self._conv(self._unit())
            case DepthwiseSeparable():
                self._depthwise()
                self._conv(self._unit())
            case Residual():
                self._residual()
            case Dense():
                self.dense()
            case GlobalPool() | Flatten():
                pass
            case _:
                assert_never(layer)

    def dense(self) -> None:
        """Copy the next fully connected layer; after a flattening it reads every position's channels."""
        name = self._next("dense")
        kernel, bias = self._weights(name)
        positions = np.arange(len(kernel) // self._width)
        rows = (positions[:, None] * self._width + self._kept).ravel()
        kept = _strongest(np.linalg.norm(kernel, axis=0), self._narrow.get_layer(name).units)
        self._narrow.get_layer(name).set_weights([kernel[np.ix_(rows, kept)], bias[kept]])
        self._kept, self._width = kept, kernel.shape[1]

    def _conv(self, unit: _Unit) -> None:
        kept = _strongest(self._saliency(unit), self._filters(unit))
        self._copy(unit, self._kept, kept)
        self._pass_on(unit, kept)

    def _depthwise(self) -> None:
        depthwise, norm = self._next("depthwise"), self._next("norm")
        (kernel,) = self._weights(depthwise)
        self._narrow.get_layer(depthwise).set_weights([kernel[:, :, self._kept]])
        self._copy_norm(norm, self._kept)

    def _residual(self) -> None:
        """Copy a residual block: what is kept of the branch's end is what is kept of the shortcut."""
        before = self._kept
        first, second = self._unit(), self._unit()
        inner = _strongest(self._saliency(first), self._filters(first))
        self._copy(first, before, inner)
        if not self._is_projected():
            self._copy(second, inner, before)
            return
        shortcut = self._unit()
        together = self._saliency(second) + self._saliency(shortcut)
        kept = _strongest(together, self._filters(second))
        self._copy(second, inner, kept)
        self._copy(shortcut, before, kept)
        self._pass_on(shortcut, kept)

    def _is_projected(self) -> bool:
        """Tell whether the unit that would be met next is the shortcut of the block just met."""
        name = f"conv_{self._met['conv']}"
        if name not in {layer.name for layer in self._wide.layers}:
            return False
        block = self._wide.get_layer(f"conv_{self._met['conv'] - 2}")
        return self._wide.get_layer(name).input is block.input  # both read the block's input

    def _copy(self, unit: _Unit, inputs: Array, outputs: Array) -> None:
        (kernel,) = self._weights(unit.conv)
        self._narrow.get_layer(unit.conv).set_weights([kernel[:, :, inputs][..., outputs]])
        self._copy_norm(unit.norm, outputs)

    def _copy_norm(self, norm: str, kept: Array) -> None:
        self._narrow.get_layer(norm).set_weights([values[kept] for values in self._weights(norm)])

    def _saliency(self, unit: _Unit) -> Array:
        (kernel,), norm = self._weights(unit.conv), self._wide.get_layer(unit.norm)
        gamma, _, _, variance = norm.get_weights()
        strength = np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), axis=0)
        return np.asarray(strength * np.abs(gamma) / np.sqrt(variance + norm.epsilon))

    def _filters(self, unit: _Unit) -> int:
        return int(self._narrow.get_layer(unit.conv).filters)

    def _pass_on(self, unit: _Unit, kept: Array) -> None:
        self._kept, self._width = kept, int(self._wide.get_layer(unit.conv).filters)

    def _weights(self, name: str) -> list[Array]:
        return list(self._wide.get_layer(name).get_weights())

    def _unit(self) -> _Unit:
        return _Unit(self._next("conv"), self._next("norm"))

    def _next(self, kind: str) -> str:
        number = self._met[kind]
        self._met[kind] += 1
        return f"{kind}_{number}"


def _strongest(saliency: Array, count: int) -> Array:
    """Return the positions of the `count` largest, ascending; of equals the first."""
    return np.sort(np.argsort(-saliency, kind="stable")[:count])
