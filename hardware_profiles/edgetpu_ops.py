"""Which operators the Edge TPU takes, and under which conditions, as Coral publishes it.

Source: Coral documentation, "TensorFlow models on the Edge TPU" (coral.ai/docs/edgetpu/models-intro), model
requirements and the table of supported operations, for runtime version 14 (compiler 16). The conditions are
checked as far as the file tells; that the compiler maps what meets them is likely, not promised.
"""

from collections.abc import Callable, Mapping

from hardware_profiles.graph import Op, TensorInfo

SOURCE = "Coral's table of operations, runtime 14"
_EIGHT_BITS = ("INT8", "UINT8")
_SOFTMAX_ELEMENTS = 16_000


def obstacle(op: Op) -> str | None:
    """Return what keeps an operator from the Edge TPU, or None where nothing that is published does."""
    if op.custom or op.kind not in _CONDITIONS:
        return "it is not among the supported operations"
    return _requirement(op) or next(filter(None, (met(op) for met in _CONDITIONS[op.kind])), None)


def _requirement(op: Op) -> str | None:
    """What is asked of every operator: fixed shapes, 8 bits, constant parameters, three inner dimensions."""
    for tensor in (*op.activations, *op.weights):
        if tensor.dynamic:
            return f"the shape of '{tensor.name}' is not fixed"
        if tensor.type not in _EIGHT_BITS:
            return f"'{tensor.name}' is {tensor.type.lower()}, not 8 bits wide"
        if not tensor.constant and any(size > 1 for size in tensor.shape[:-3]):
            return f"'{tensor.name}' has more than 3 dimensions above 1: {_shape(tensor)}"
    if op.macs and not op.weights:
        return "its weights are not constant"
    return None


def _unfused(op: Op) -> str | None:
    return "an activation is fused into it" if op.options.get("fusedActivationFunction") else None


def _square_dilation(op: Op) -> str | None:
    width, height = op.options.get("dilationWFactor"), op.options.get("dilationHFactor")
    return None if width == height else f"its dilation differs in x and y ({width} and {height})"


def _only_zero_padding(op: Op) -> str | None:
    return "a constant is among its inputs" if any(each and each.constant for each in op.inputs) else None


def _flat_output(op: Op) -> str | None:
    return None if _is_flat(op.outputs[0]) else f"its output has several dimensions: {_shape(op.outputs[0])}"


def _default_weights(op: Op) -> str | None:
    return "its weights are in a shuffled format" if op.options.get("weightsFormat") else None


def _spares_batch(place: int) -> Callable[[Op], str | None]:
    """Return the condition that the axes in that (constant) input leave out the batch."""

    def condition(op: Op) -> str | None:
        axes = _axes(op, place)
        if axes is None:
            return "its axes are not constant"
        return "it works on the batch dimension" if 0 in axes else None

    return condition


def _depth_in_fours(op: Op) -> str | None:
    data, axes = op.inputs[0], _axes(op, 1) or ()
    if data is None or len(data.shape) - 1 not in axes or data.shape[-1] % 4 == 0:
        return None
    return f"it reduces a depth of {data.shape[-1]}, which is no multiple of 4"


def _packs_within(op: Op) -> str | None:
    rank = len(op.outputs[0].shape)
    return "it packs the batch dimension" if int(op.options.get("axis", 0)) % max(rank, 1) == 0 else None


def _pads_within(op: Op) -> str | None:
    amounts = _values(op, 1)
    if amounts is None:
        return "its amounts are not constant"
    return "it pads the batch dimension" if any(amounts[:2]) else None


def _flat_alpha(op: Op) -> str | None:
    alpha = op.inputs[1]
    return None if alpha is not None and _is_flat(alpha) else "its slopes differ along x or y"


def _three_dimensions(op: Op) -> str | None:
    tensors = (op.inputs[0], op.outputs[0])
    return next(
        (f"{_shape(each)} is not 3 dimensions" for each in tensors if each and _outer(each, 3) > 1), None
    )


def _small_row(op: Op) -> str | None:
    row = op.outputs[0]
    if not _is_flat(row):
        return f"it has several dimensions: {_shape(row)}"
    return None if row.elements <= _SOFTMAX_ELEMENTS else f"it has {row.elements} elements, over 16000"


def _unit_strides(op: Op) -> str | None:
    strides = _values(op, 3)
    if strides is None or any(stride != 1 for stride in strides):
        return "its strides are not all 1"
    masks = ("ellipsisMask", "newAxisMask")
    return "it has an ellipsis or a new axis" if any(op.options.get(mask) for mask in masks) else None


def _values(op: Op, place: int) -> tuple[int, ...] | None:
    tensor = op.inputs[place] if place < len(op.inputs) else None
    return None if tensor is None else tensor.values


def _axes(op: Op, place: int) -> tuple[int, ...] | None:
    """Return the axes in that input, counted from the front of the tensor that is worked on."""
    axes, data = _values(op, place), op.inputs[1 - place]
    if axes is None or data is None:
        return None
    return tuple(axis % max(len(data.shape), 1) for axis in axes)


def _outer(tensor: TensorInfo, inner: int) -> int:
    """Return the largest of the dimensions outside the innermost ones."""
    return max(tensor.shape[:-inner], default=1)


def _is_flat(tensor: TensorInfo) -> bool:
    return _outer(tensor, 1) <= 1


def _shape(tensor: TensorInfo) -> str:
    return "×".join(map(str, tensor.shape))


_CONDITIONS: Mapping[str, tuple[Callable[[Op], str | None], ...]] = {
    "ADD": (),
    "AVERAGE_POOL_2D": (_unfused,),
    "CONCATENATION": (_unfused, _only_zero_padding),
    "CONV_2D": (_square_dilation,),
    "DEPTHWISE_CONV_2D": (_square_dilation,),
    "EXPAND_DIMS": (),
    "FULLY_CONNECTED": (_default_weights, _flat_output),
    "L2_NORMALIZATION": (),
    "LOGISTIC": (),
    "MAXIMUM": (),
    "MAX_POOL_2D": (_unfused,),
    "MEAN": (_spares_batch(1), _depth_in_fours),
    "MINIMUM": (),
    "MUL": (),
    "PACK": (_packs_within,),
    "PAD": (_pads_within,),
    "PRELU": (_flat_alpha,),
    "QUANTIZE": (),
    "REDUCE_MAX": (_spares_batch(1),),
    "REDUCE_MIN": (_spares_batch(1),),
    "RELU": (),
    "RELU6": (),
    "RELU_N1_TO_1": (),
    "RESHAPE": (),
    "RESIZE_BILINEAR": (_three_dimensions,),
    "RESIZE_NEAREST_NEIGHBOR": (_three_dimensions,),
    "RSQRT": (),
    "SLICE": (),
    "SOFTMAX": (_small_row,),
    "SPACE_TO_DEPTH": (),
    "SPLIT": (_spares_batch(0),),
    "SQUARED_DIFFERENCE": (),
    "SQUEEZE": (),
    "STRIDED_SLICE": (_unit_strides,),
    "SUB": (),
    "SUM": (_spares_batch(1),),
    "TANH": (),
    "TRANSPOSE": (),
    "TRANSPOSE_CONV": (),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (),
}
