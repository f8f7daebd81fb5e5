"""Network → `.tflite`: by way of a frozen concrete function of static batch 1.

That is the quick way (a tenth of `from_keras_model`), gives the same ops and bytes, and a dynamic
batch would cost SHAPE ops and arena.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from objectives.frontend import named, with_normaliser
from objectives.tensorflow import tensorflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tf_keras

    from objectives.normalise import Normaliser
    from spaces.candidate import Precision

InputType = Literal["float32", "int8"]
# As many samples as the converter's own guide recommends ("100 to 500"); more change little.
CALIBRATION_SAMPLES = 200


def convert(
    network: tf_keras.Model,
    normaliser: Normaliser,
    precision: Precision,
    input_type: InputType,
    calibration: np.ndarray[Any, np.dtype[Any]],
) -> bytes:
    """Return the `.tflite`, one sample in, logits out.

    With float32 input it takes raw values and normalises them itself, in float; with int8 input
    (full int8 only) it takes the normalised value, quantized by the caller, and gives int8 logits.
    `calibration` holds raw samples of the training set, (samples, *input_shape).
    """
    converter = _converter(network)
    _ask_for(converter, precision, normaliser.apply(calibration), input_type)
    data = bytes(converter.convert())
    if input_type == "int8" and precision == "int8":
        return named(data)
    return with_normaliser(named(data), normaliser)


def _converter(network: tf_keras.Model) -> Any:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    tf = tensorflow()
    function = tf.function(lambda x: network(x, training=False))
    spec = tf.TensorSpec((1, *network.input_shape[1:]), tf.float32)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(spec))
    return tf.lite.TFLiteConverter.from_concrete_functions([frozen], tf.Module())


def _ask_for(
    converter: Any, precision: Precision, normalised: np.ndarray[Any, np.dtype[Any]], input_type: InputType
) -> None:
    tf = tensorflow()
    if precision == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: _one_by_one(normalised)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        kind = tf.int8 if input_type == "int8" else tf.float32
        converter.inference_input_type = converter.inference_output_type = kind


def _one_by_one(samples: np.ndarray[Any, np.dtype[Any]]) -> Iterator[list[np.ndarray[Any, np.dtype[Any]]]]:
    for sample in samples:
        yield [sample[None]]
