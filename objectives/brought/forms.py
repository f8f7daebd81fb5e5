"""Forms of a brought network: its float32 `.tflite` with fewer bits, without training and TensorFlow.

By ai-edge-quantizer, which starts from the file itself, so that it is always the user's own graph. Its
input and output stay as they are: float32 (or the integers that the network takes), by the same names.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.accuracy import loaded, scores
from objectives.brought.edges import edges, with_edges
from objectives.errors import ObjectiveError
from objectives.flatbuffer import op_name, pack, unpack
from objectives.guard import guarded
from objectives.lowbit import LOW_BIT_OPS, name_everything, perform, quantized, static
from objectives.verify import SMALLEST_DYNAMIC_KERNEL
from spaces.candidate import Precision

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, np.dtype[Any]]
FORM_TIMEOUT_S = 300.0
SAMPLE_TIMEOUT_S = 2.0
"""Some kernels of this host are 60 times slower than a device's; what takes longer hangs."""
WITHOUT_RANGES: tuple[Precision, ...] = ("float32", "float16", "dynamic-int8")


def form_in_child(
    data: bytes,
    precision: Precision,
    int4_share: float,
    calibration: Path,
    samples: Path,
    timeout_s: float = FORM_TIMEOUT_S,
) -> tuple[bytes, Array]:
    """Return `form` of the arguments, made in a child process. Raises ChildFailed and ObjectiveError.

    It has `timeout_s` for the form, and SAMPLE_TIMEOUT_S for each sample.
    """
    arguments = {
        "data": data,
        "precision": precision,
        "int4_share": int4_share,
        "calibration": calibration.absolute(),
        "samples": samples.absolute(),
    }
    what = f"making the {precision} form"
    whole_s = timeout_s + SAMPLE_TIMEOUT_S * len(np.load(samples, mmap_mode="r"))
    made: tuple[bytes, Array] = guarded("objectives.brought.forms:form", arguments, whole_s, what=what)
    return made


def form(
    data: bytes, precision: Precision, int4_share: float, calibration: Path, samples: Path
) -> tuple[bytes, Array]:
    """Return a form and the scores that it gives the samples, (samples, *output_shape), float32.

    `calibration` and `samples` are `.npy` files of (samples, *input_shape), read as far as needed.
    """
    made = post_training(data, precision, int4_share, np.load(calibration, mmap_mode="r"))
    return made, scores(made, np.load(samples, mmap_mode="r"))


def post_training(data: bytes, precision: Precision, int4_share: float, samples: Array) -> bytes:
    """Return a float32 `.tflite` with a signature in another precision.

    `int4_share` is the share of its layers that get 4-bit weights where int4 is asked. `samples`,
    (samples, *input_shape), are as many as are to be run to find the ranges of activations. Raises
    ObjectiveError for int4 where no layer can have 4 bits, and for integer activations within a loop.
    """
    if precision == "float32":
        return data
    if precision not in WITHOUT_RANGES:
        _refuse_loops(data, precision)
    fed = np.asarray(samples, _input_type(data))
    if precision == "int4":
        _refuse_no_low_bit(data)
        made = quantized(data, int4_share, fed, float_edges=True)
    else:
        made = _quantized_by(_RECIPES[precision], data, fed)
    return with_edges(made, edges(data))


def _input_type(data: bytes) -> Any:
    return loaded(data).get_input_details()[0]["dtype"]


def _refuse_loops(data: bytes, precision: Precision) -> None:
    """The values inside a loop, which is a graph of its own, cannot be looked at from outside."""
    if len(unpack(data).subgraphs) > 1:
        raise ObjectiveError(
            f"{precision} needs the range of every activation, and those inside the loop of a recurrent "
            f"layer cannot be seen; ask for {' or '.join(WITHOUT_RANGES)}"
        )


def _refuse_no_low_bit(data: bytes) -> None:
    model = unpack(data)
    if not any(op_name(model, op) in LOW_BIT_OPS for op in model.subgraphs[0].operators):
        raise ObjectiveError(
            "int4 is for the weights of convolutions and fully connected layers, and this network has none; "
            "ask for another precision"
        )


def _quantized_by(recipe: Callable[[Any], None], data: bytes, samples: Array) -> bytes:
    model = unpack(data)
    name_everything(model)
    return perform(pack(model), recipe, samples)


def _float16(made: Any) -> None:
    """Weights alone, each unpacked by a DEQUANTIZE before its op; biases stay float32."""
    from ai_edge_quantizer import algorithm_manager, qtyping

    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    made.update_quantization_recipe(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        qtyping.OpQuantizationConfig(
            weight_tensor_config=weights,
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_manager.AlgorithmName.FLOAT_CASTING,
    )


def _dynamic_int8(made: Any) -> None:
    """Like the stock converter's, small kernels stay float: their scales would cost what they save."""
    from ai_edge_quantizer import qtyping

    weights = qtyping.TensorQuantizationConfig(
        num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
    )
    made.update_quantization_recipe(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        qtyping.OpQuantizationConfig(
            weight_tensor_config=weights,
            compute_precision=qtyping.ComputePrecision.INTEGER,
            explicit_dequantize=False,
            min_weight_elements=SMALLEST_DYNAMIC_KERNEL,
        ),
    )


_RECIPES: dict[Precision, Callable[[Any], None]] = {
    "float16": _float16,
    "dynamic-int8": _dynamic_int8,
    "int8": partial(static, activation_bits=8, float_edges=True),
    "int16x8": partial(static, activation_bits=16, float_edges=True),
}
