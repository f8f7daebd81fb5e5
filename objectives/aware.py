"""The lever `aware`: quantization-aware training by TFMOT, with 8 bits or 4 in the weights.

TFMOT's quantizers follow the ranges of activations with a decay of .999, so that a short fine-tuning
would end with the ranges that it began with (±6, whatever the network has): theirs are exchanged for
ones that keep up. Depthwise kernels stay at 8 bits, as the runtime has no others.
"""

from __future__ import annotations

from copy import copy
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.build import prunable
from objectives.lowbit import least_sensitive_first, low_bit_count, rounded_to_4_bits
from objectives.tensorflow import tfmot

if TYPE_CHECKING:
    from collections.abc import Iterable

    import tf_keras

    from spaces.candidate import Compression

Array = np.ndarray[Any, np.dtype[Any]]
RANGE_DECAY = 0.9


def aware(network: tf_keras.Model, low_bit: Iterable[str]) -> tf_keras.Model:
    """Return a copy of the network that rounds as the converted file will; `low_bit` names 4-bit layers."""
    rounding = tfmot().quantization.keras.quantize_model(network)
    low = {f"quant_{name}" for name in low_bit}
    for layer in rounding.layers:
        _follow_ranges(layer)
        if layer.name in low:
            _round_to_4_bits(layer)
    return rounding


def parameter_count(network: tf_keras.Model) -> int:
    """Count the weights of a network without what quantization-aware training adds: ranges and steps."""
    added = ("_min:0", "_max:0", "optimizer_step:0")
    return sum(int(np.prod(v.shape)) for v in network.weights if not v.name.endswith(added))


def low_bit_layers(network: tf_keras.Model, compression: Compression, reduced: Array) -> tuple[str, ...]:
    """Name the layers that get 4-bit weights: those whose rounding changes the scores least.

    `reduced` holds samples as the network takes them, (samples, *shape).
    """
    if compression.precision != "int4":
        return ()
    kernels, names = list(prunable(network)), layer_names(network)
    count = low_bit_count(len(kernels), compression.int4_share)
    order = list(range(len(kernels)))
    if count < len(kernels):
        order = least_sensitive_first(len(kernels), lambda i: _scores_with(network, kernels, i, reduced))
    return tuple(sorted(names[i] for i in order[:count]))


def layer_names(network: tf_keras.Model) -> tuple[str, ...]:
    """Name the layers that may have 4-bit weights, in the order of their kernels."""
    return tuple(kernel.name.split("/")[0] for kernel in prunable(network))


def _scores_with(network: tf_keras.Model, kernels: list[Any], number: int | None, reduced: Array) -> Array:
    if number is None:
        return np.asarray(network(reduced, training=False))
    exact = kernels[number].numpy()
    kernels[number].assign(rounded_to_4_bits(exact, -1))
    try:
        return np.asarray(network(reduced, training=False))
    finally:
        kernels[number].assign(exact)


def _round_to_4_bits(layer: Any) -> None:
    """Give the weights of one layer a quantizer of their own: TFMOT lets several layers share one."""
    low = []
    for weight, quantizer, ranges in layer._weight_vars:  # noqa: SLF001 - there is no other way to it
        own = copy(quantizer)
        own.num_bits = 4
        low.append((weight, own, ranges))
    layer._weight_vars = low  # noqa: SLF001


def _follow_ranges(layer: Any) -> None:
    """Exchange every quantizer of activations for one with a short memory; the ranges stay its own."""
    if hasattr(layer, "quantizer"):
        layer.quantizer = _following(layer.quantizer)
    for activation in getattr(layer, "_quantize_activations", ()):
        activation.quantizer = _following(activation.quantizer)
    if getattr(layer, "_output_quantizers", None):
        layer._output_quantizers = [_following(q) for q in layer._output_quantizers]  # noqa: SLF001 - no other way


def _following(quantizer: Any) -> Any:
    usual = tfmot().quantization.keras.quantizers.MovingAverageQuantizer
    return _following_class()(**quantizer.get_config()) if type(quantizer) is usual else quantizer


@cache
def _following_class() -> type:
    from tensorflow_model_optimization.python.core.quantization.keras import quant_ops

    class FollowingQuantizer(tfmot().quantization.keras.quantizers.MovingAverageQuantizer):  # type: ignore[misc]
        """A moving average that a hundred steps suffice for."""

        def __call__(self, inputs: Any, training: bool, weights: Any, **_: Any) -> Any:
            return quant_ops.MovingAvgQuantize(
                inputs,
                weights["min_var"],
                weights["max_var"],
                ema_decay=RANGE_DECAY,
                is_training=training,
                num_bits=self.num_bits,
                per_channel=self.per_axis,
                symmetric=self.symmetric,
                narrow_range=self.narrow_range,
            )

    return FollowingQuantizer
