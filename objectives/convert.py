"""Network → `.tflite`: by way of a frozen concrete function of static batch 1.

That is the quick way (a tenth of `from_keras_model`), gives the same ops and bytes, and a dynamic
batch would cost SHAPE ops and arena.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from objectives.frontend import named, with_normaliser
from objectives.lowbit import quantized
from objectives.tensorflow import tensorflow
from spaces.candidate import TRAINABLE_PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tf_keras

    from objectives.inlet import Inlet
    from spaces.candidate import Compression

Array = np.ndarray[Any, np.dtype[Any]]
InputType = Literal["float32", "int8"]
# As many samples as the converter's own guide recommends ("100 to 500"); more change little.
CALIBRATION_SAMPLES = 200


def convert(
    network: tf_keras.Model,
    inlet: Inlet,
    compression: Compression,
    input_type: InputType,
    calibration: Array,
) -> bytes:
    """Return the `.tflite` of an adapted network, one sample in, logits out.

    With float32 input it takes raw values and normalises them itself, in float; with int8 input
    (integer precisions only) it takes the normalised value, quantized by the caller, and gives int8 logits.
    Reduction of the input is part of it. `calibration` holds raw samples of the training set,
    (samples, *input_shape).
    """
    float_edges = input_type == "float32" or compression.precision not in TRAINABLE_PRECISIONS
    converter = _converter(network, inlet)
    normalised = inlet.normaliser.apply(calibration)
    if (compression.precision, compression.quantization) == ("int4", "post-training"):
        share, frozen = compression.int4_share, int(inlet.projection is not None)
        whole = bytes(converter.convert())
        data = quantized(whole, share, normalised, float_edges=float_edges, frozen=frozen)
    else:
        _ask_for(converter, compression, normalised, float_edges=float_edges)
        data = bytes(converter.convert())
    return with_normaliser(named(data), inlet.normaliser) if float_edges else named(data)


def _converter(network: tf_keras.Model, inlet: Inlet) -> Any:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    tf = tensorflow()
    function = tf.function(lambda x: network(inlet.reduce(x), training=False))
    spec = tf.TensorSpec((1, *inlet.shape_before(network.input_shape[1:])), tf.float32)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(spec))
    return tf.lite.TFLiteConverter.from_concrete_functions([frozen], tf.Module())


def _ask_for(converter: Any, compression: Compression, normalised: Array, *, float_edges: bool) -> None:
    tf = tensorflow()
    if compression.precision == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    kind = tf.float32 if float_edges else tf.int8
    converter.inference_input_type = converter.inference_output_type = kind
    match compression.precision:
        case "float16":
            converter.target_spec.supported_types = [tf.float16]
        case "int8" if compression.quantization == "post-training":
            converter.representative_dataset = lambda: _one_by_one(normalised)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        case "int16x8":
            converter.representative_dataset = lambda: _one_by_one(normalised)
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ]
        case _:
            pass  # an aware network holds its ranges; a dynamic one needs none


def _one_by_one(samples: Array) -> Iterator[list[Array]]:
    for sample in samples:
        yield [sample[None]]
