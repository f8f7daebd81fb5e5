"""Network → `.tflite`: by way of a frozen graph of static batch 1.

That is the quick way (a tenth of `from_keras_model`), gives the same ops and bytes, and a dynamic
batch would cost SHAPE ops and arena. Freezing needs the network; what comes after needs only the frozen
graph, and can so be done in a process that may crash (see `shipped`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from objectives.accuracy import Scorer
from objectives.frontend import named, with_normaliser
from objectives.lowbit import quantized
from objectives.tensorflow import tensorflow
from objectives.warm_child import converting
from spaces.candidate import TRAINABLE_PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tf_keras

    from objectives.inlet import Inlet
    from objectives.normalise import Normaliser
    from spaces.candidate import Compression

Array = np.ndarray[Any, np.dtype[Any]]
InputType = Literal["float32", "int8"]
# As many samples as the converter's own guide recommends ("100 to 500"); more change little.
CALIBRATION_SAMPLES = 200
AGREEING_SAMPLES = 64
"""By how many samples a file is held against the network that it was made of."""
CONVERT_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Frozen:
    """A network as a graph of constants: a serialized GraphDef and the names of its input and output.

    It takes one normalised sample. `projected` says that its first layer is no trained one (PCA).
    """

    graph: bytes
    source: str
    sink: str
    projected: bool


def frozen(network: tf_keras.Model, inlet: Inlet) -> Frozen:
    """Return an adapted network as a frozen graph, reduction of the input included."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    tf = tensorflow()
    function = tf.function(lambda x: network(inlet.reduce(x), training=False), autograph=False)
    spec = tf.TensorSpec((1, *inlet.shape_before(network.input_shape[1:])), tf.float32)
    made = convert_variables_to_constants_v2(function.get_concrete_function(spec))
    graph = made.graph.as_graph_def().SerializeToString()
    return Frozen(graph, made.inputs[0].name, made.outputs[0].name, inlet.projection is not None)


def shipped(
    network: Frozen,
    inlet: Inlet,
    compression: Compression,
    input_type: InputType,
    calibration: Array,
) -> tuple[bytes, Array]:
    """Return `finished` of the arguments and the file's logits for the first AGREEING_SAMPLES of calibration.

    Converter and interpreter run in the child of this process. Raises ChildFailed where one of them crashes
    or takes more than CONVERT_TIMEOUT_S.
    """
    arguments = {
        "network": network,
        "normaliser": inlet.normaliser,
        "compression": compression,
        "input_type": input_type,
        "calibration": np.asarray(calibration),
    }
    what = f"the conversion to {compression.precision}"
    made: tuple[bytes, Array] = converting().call(
        "objectives.convert:tried", arguments, CONVERT_TIMEOUT_S, what=what
    )
    return made


def tried(
    network: Frozen,
    normaliser: Normaliser,
    compression: Compression,
    input_type: InputType,
    calibration: Array,
) -> tuple[bytes, Array]:
    """Return `finished` of the arguments and the logits of the first AGREEING_SAMPLES of calibration."""
    data = finished(network, normaliser, compression, input_type, calibration)
    return data, Scorer(data, normaliser).scores(calibration[:AGREEING_SAMPLES])


def convert(
    network: tf_keras.Model,
    inlet: Inlet,
    compression: Compression,
    input_type: InputType,
    calibration: Array,
) -> bytes:
    """Return the `.tflite` of an adapted network, made in this very process (see `finished`)."""
    return finished(frozen(network, inlet), inlet.normaliser, compression, input_type, calibration)


def finished(
    network: Frozen,
    normaliser: Normaliser,
    compression: Compression,
    input_type: InputType,
    calibration: Array,
) -> bytes:
    """Return the `.tflite` of a frozen network, one sample in, logits out.

    With float32 input it takes raw values and normalises them itself, in float; with int8 input
    (integer precisions only) it takes the normalised value, quantized by the caller, and gives int8 logits.
    Reduction of the input is part of it. `calibration` holds raw samples of the training set,
    (samples, *input_shape).
    """
    float_edges = input_type == "float32" or compression.precision not in TRAINABLE_PRECISIONS
    converter = _converter(network)
    normalised = normaliser.apply(calibration)
    if (compression.precision, compression.quantization) == ("int4", "post-training"):
        share, kept = compression.int4_share, int(network.projected)
        whole = bytes(converter.convert())
        data = quantized(whole, share, normalised, float_edges=float_edges, frozen=kept)
    else:
        _ask_for(converter, compression, normalised, float_edges=float_edges)
        data = bytes(converter.convert())
    return with_normaliser(named(data), normaliser) if float_edges else named(data)


def _converter(network: Frozen) -> Any:
    tf = tensorflow()
    definition = tf.compat.v1.GraphDef.FromString(network.graph)
    graph = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    source, sink = (graph.graph.get_tensor_by_name(name) for name in (network.source, network.sink))
    return tf.lite.TFLiteConverter.from_concrete_functions([graph.prune([source], [sink])], tf.Module())


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
