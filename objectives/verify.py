"""What a `.tflite` really stores, read back and held against what was asked.

A converter that is asked for something it cannot do often does nothing, without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from objectives.errors import Mismatch
from objectives.flatbuffer import constant, op_name, type_name, unpack

if TYPE_CHECKING:
    from spaces.candidate import Compression, Precision

# The converter's dynamic-range quantizer leaves smaller kernels float (`minimum_elements_for_weights`
# of its QuantizationSpecs); seen again by a test.
SMALLEST_DYNAMIC_KERNEL = 1024
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


class Kernel(NamedTuple):
    """One weighted operator of a file: its kind, stored weights (any type), and both tensor types."""

    op: str
    values: np.ndarray[Any, np.dtype[Any]]
    weights: str
    activations: str

    @property
    def prunable(self) -> bool:
        """Whether pruning touches it: it skips depthwise kernels."""
        return self.op != "DEPTHWISE_CONV_2D"


def kernels(data: bytes) -> tuple[Kernel, ...]:
    """List the weighted operators of a file in order of execution.

    Raises Mismatch for one whose weights are not stored, but computed.
    """
    model = unpack(data)
    graph = model.subgraphs[0]
    unpacked = {op.outputs[0]: op.inputs[0] for op in graph.operators if op_name(model, op) == "DEQUANTIZE"}
    found = []
    for op in graph.operators:
        if (name := op_name(model, op)) in _WEIGHTED:
            stored = graph.tensors[unpacked.get(op.inputs[1], op.inputs[1])]
            values = constant(model, stored)
            if values is None:
                raise Mismatch(f"a {name} of the converted file has no stored weights")
            activations = type_name(graph.tensors[op.inputs[0]].type)
            found.append(Kernel(name, values, type_name(stored.type), activations))
    return tuple(found)


def verify(data: bytes, compression: Compression) -> float:
    """Return the sparsity reached over prunable kernels, if the file holds what was asked.

    Raises Mismatch for a kernel of another type and for fewer zeros than were asked. Magnitude
    pruning rounds the number of zeros once per kernel, so one weight of each may be missing.
    """
    found = kernels(data)
    for kernel in found:
        _check_types(kernel, compression.precision)
    prunable = [k for k in found if k.prunable]
    total = sum(k.values.size for k in prunable)
    zeros = sum(int(np.count_nonzero(k.values == 0)) for k in prunable)
    if zeros < compression.sparsity * total - len(prunable) - 1e-6 * total:
        asked = compression.sparsity
        raise Mismatch(f"a sparsity of {asked:.2f} was asked, the file has {zeros / total:.3f}")
    return zeros / total


def _check_types(kernel: Kernel, precision: Precision) -> None:
    dynamic = "INT8" if kernel.values.size >= SMALLEST_DYNAMIC_KERNEL else "FLOAT32"
    asked = {
        "float32": ("FLOAT32", "FLOAT32"),
        "float16": ("FLOAT16", "FLOAT32"),
        "dynamic-int8": (dynamic, "FLOAT32"),
        "int8": ("INT8", "INT8"),
    }[precision]
    if (kernel.weights, kernel.activations) != asked:
        raise Mismatch(
            f"{precision} was asked, but the file stores a {kernel.op} with {kernel.weights} weights and "
            f"{kernel.activations} activations"
        )


def lost_columns(data: bytes, normalised: np.ndarray[Any, np.dtype[Any]]) -> int:
    """Count the columns (or channels) that vary in the samples, but not after input quantization.

    `normalised` is (samples, …, columns). The first int8 tensor's scale is the one that counts.
    """
    model = unpack(data)
    quantized = next((t for t in _path(model) if type_name(t.type) == "INT8"), None)
    if quantized is None:
        return 0
    step, zero = float(quantized.quantization.scale[0]), int(quantized.quantization.zeroPoint[0])
    columns = normalised.reshape(-1, normalised.shape[-1])
    coded = np.clip(np.round(columns / step) + zero, -128, 127)
    return int(np.count_nonzero((np.ptp(coded, axis=0) == 0) & (np.ptp(columns, axis=0) > 0)))


def _path(model: Any) -> list[Any]:
    graph = model.subgraphs[0]
    results = [op.outputs[0] for op in graph.operators]
    return [graph.tensors[i] for i in (graph.inputs[0], *results)]
