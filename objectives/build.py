"""Candidate → tf_keras network. Reads the same description as the weight count in `spaces/weights.py`.

Layers are named by what they are and their number in the order in which they are made (`conv_0`,
`norm_0`, `dense_1`), so that one network's layers can be found again in another of the same description.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, assert_never

from objectives.errors import ObjectiveError
from objectives.tensorflow import keras
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Layer, Residual, Size
from spaces.reduced import plain, reduced, slimmed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tf_keras

    from spaces.candidate import Candidate, Problem

# The default of .99 lags hundreds of steps behind; a short training would be judged on statistics
# that are still those of the initial weights.
BATCH_NORM_MOMENTUM = 0.9


class _Builder:
    """Adds layers to a growing functional graph; every random start has a seed of its own."""

    def __init__(self, seed: int, dropout: float) -> None:
        self._seeds = iter(range(seed * 1000, seed * 1000 + 1000))
        self._dropout = dropout
        self._made: Counter[str] = Counter()

    def _name(self, kind: str) -> str:
        number = self._made[kind]
        self._made[kind] += 1
        return f"{kind}_{number}"

    def _he(self) -> tf_keras.initializers.Initializer:
        return keras().initializers.HeNormal(seed=next(self._seeds))

    def _norm(self, x: tf_keras.KerasTensor, activation: str | None) -> tf_keras.KerasTensor:
        layers = keras().layers
        x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=self._name("norm"))(x)
        return x if activation is None else layers.Activation(activation)(x)

    def conv(
        self,
        x: tf_keras.KerasTensor,
        filters: int,
        kernel: Size,
        stride: Size,
        activation: str | None = "relu",
    ) -> tf_keras.KerasTensor:
        conv = keras().layers.Conv2D(
            filters,
            kernel,
            stride,
            padding="same",
            use_bias=False,
            kernel_initializer=self._he(),
            name=self._name("conv"),
        )
        return self._norm(conv(x), activation)

    def separable(self, x: tf_keras.KerasTensor, layer: DepthwiseSeparable) -> tf_keras.KerasTensor:
        depthwise = keras().layers.DepthwiseConv2D(
            layer.kernel,
            _one_stride(layer.stride, x.shape[1:3]),
            padding="same",
            use_bias=False,
            depthwise_initializer=self._he(),
            name=self._name("depthwise"),
        )
        x = self._norm(depthwise(x), "relu6")
        return self.conv(x, layer.filters, (1, 1), (1, 1), "relu6")

    def residual(self, x: tf_keras.KerasTensor, layer: Residual) -> tf_keras.KerasTensor:
        branch = self.conv(x, layer.filters, layer.kernel, layer.stride)
        branch = self.conv(branch, layer.filters, layer.kernel, (1, 1), None)
        if x.shape[-1] != layer.filters or not plain(layer):
            x = self.conv(x, layer.filters, (1, 1), layer.stride, None)
        return keras().layers.Activation("relu")(keras().layers.Add()([x, branch]))

    def dense(self, x: tf_keras.KerasTensor, units: int, activation: str | None) -> tf_keras.KerasTensor:
        if self._dropout:
            x = keras().layers.Dropout(self._dropout, seed=next(self._seeds))(x)
        return keras().layers.Dense(
            units, activation=activation, kernel_initializer=self._he(), name=self._name("dense")
        )(x)

    def add(self, x: tf_keras.KerasTensor, layer: Layer) -> tf_keras.KerasTensor:
        match layer:
            case Conv(filters=filters, kernel=kernel, stride=stride):
                return self.conv(x, filters, kernel, stride)
            case DepthwiseSeparable():
                return self.separable(x, layer)
            case Residual():
                return self.residual(x, layer)
            case GlobalPool():
                return keras().layers.GlobalAveragePooling2D()(x)
            case Flatten():
                return keras().layers.Flatten()(x)
            case Dense(units=units):
                return self.dense(x, units, "relu")
            case _:
                assert_never(layer)


def _one_stride(stride: Size, sides: tuple[int, int]) -> Size:
    """Return one stride for both axes, all that the runtime's depthwise op takes.

    Along an axis of length 1, as a series has one, any stride is the same. Raises ObjectiveError where
    that does not help.
    """
    open_axes = {step for step, side in zip(stride, sides, strict=True) if side > 1} or {1}
    if len(open_axes) > 1:
        raise ObjectiveError(f"a depthwise-separable block has one stride for both axes, got {stride}")
    (step,) = open_axes
    return step, step


def build(candidate: Candidate, problem: Problem, seed: int) -> tf_keras.Model:
    """Return the untrained network: reduced input (batch, *shape), logits (batch, classes).

    It has the filters that slimming leaves. Dropout stands before every fully connected layer. Equal
    arguments give equal initial weights.
    """
    builder = _Builder(seed, candidate.training.dropout)
    inputs = x = keras().Input(reduced(problem, candidate).input_shape)
    for layer in slimmed(candidate, x.shape[-1]).architecture:
        x = builder.add(x, layer)
    return keras().Model(inputs, builder.dense(x, problem.classes, None))


def kernels(model: tf_keras.Model) -> Iterator[tf_keras.backend.Variable]:
    """Yield the variables that are multiplied with activations, depthwise ones included."""
    for variable in model.trainable_variables:
        if "kernel" in variable.name:
            yield variable


def prunable(model: tf_keras.Model) -> Iterator[tf_keras.backend.Variable]:
    """Yield the kernels that pruning may thin out: depthwise ones have next to nothing to spare."""
    for variable in kernels(model):
        if "depthwise" not in variable.name:
            yield variable
