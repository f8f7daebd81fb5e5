"""What a `.tflite` really stores, read back and held against what was asked.

A converter that is asked for something it cannot do often does nothing, without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

import numpy as np

from objectives.errors import Mismatch
from objectives.flatbuffer import constant, op_name, type_name, unpack
from objectives.lowbit import low_bit_count
from spaces.candidate import Pca

if TYPE_CHECKING:
    from spaces.candidate import Candidate, Compression, Precision

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


class Held(NamedTuple):
    """What the weights of a file turned out to be.

    `sparsity` is the fraction of zeros over prunable kernels, `sparsity_overall` over all kernels;
    `clusters` the most different values that an output channel of a clustered kernel has, None if none is.
    """

    sparsity: float
    sparsity_overall: float
    clusters: int | None = None


def verify(data: bytes, candidate: Candidate) -> Held:
    """Return what the file holds, if that is what the candidate asks for.

    Raises Mismatch for a kernel of another type, for fewer zeros and for more clusters than were asked.
    """
    compression = candidate.compression
    found = kernels(data)
    if isinstance(candidate.reduction, Pca):
        _check_projection(found[0], compression)
        found = found[1:]  # it projects the input and is no trained one
    _check_types(found, compression)
    prunable = [k for k in found if k.prunable]
    sparsity = _zeros(prunable) / max(1, sum(k.values.size for k in prunable))
    _check_sparsity(prunable, compression.sparsity)
    overall = _zeros(found) / max(1, sum(k.values.size for k in found))
    clusters = max((_most_values(k) for k in prunable), default=0) if compression.clusters else None
    if clusters is not None and clusters > compression.clusters:
        raise Mismatch(f"{compression.clusters} clusters were asked, the file has {clusters} in a channel")
    return Held(sparsity, overall, clusters)


def _zeros(found: Sequence[Kernel]) -> int:
    return sum(int(np.count_nonzero(k.values == 0)) for k in found)


def _check_sparsity(prunable: Sequence[Kernel], asked: float) -> None:
    """Magnitude pruning rounds the number of zeros once per kernel, so one weight of each may be missing."""
    total = sum(k.values.size for k in prunable)
    if _zeros(prunable) < asked * total - len(prunable) - 1e-6 * total:
        raise Mismatch(f"a sparsity of {asked:.2f} was asked, the file has {_zeros(prunable) / total:.3f}")


def _most_values(kernel: Kernel) -> int:
    """Count per output channel, for each has a scale of its own: that of BatchNorm, that of its integers."""
    return max(len(np.unique(channel)) for channel in kernel.values)


def _check_types(found: Sequence[Kernel], compression: Compression) -> None:
    low = 0
    for kernel in found:
        asked = _types(kernel, compression.precision)
        if (kernel.weights, kernel.activations) not in asked:
            raise Mismatch(
                f"{compression.precision} was asked, but the file stores a {kernel.op} with {kernel.weights} "
                f"weights and {kernel.activations} activations"
            )
        low += kernel.weights == "INT4"
    count = low_bit_count(sum(k.prunable for k in found), compression.int4_share)
    if compression.precision == "int4" and low != count:
        raise Mismatch(f"int4 was asked in {count} layers, the file has it in {low}")


def _types(kernel: Kernel, precision: Precision) -> tuple[tuple[str, str], ...]:
    """Return the types of weights and activations that a precision allows a kernel."""
    match precision:
        case "float32":
            return (("FLOAT32", "FLOAT32"),)
        case "float16":
            return (("FLOAT16", "FLOAT32"),)
        case "dynamic-int8":
            small = kernel.values.size < SMALLEST_DYNAMIC_KERNEL
            return (("FLOAT32" if small else "INT8", "FLOAT32"),)
        case "int8":
            return (("INT8", "INT8"),)
        case "int16x8":
            return (("INT8", "INT16"),)
        case "int4":
            return (("INT8", "INT8"), ("INT4", "INT8")) if kernel.prunable else (("INT8", "INT8"),)
        case _:
            assert_never(precision)


def _check_projection(kernel: Kernel, compression: Compression) -> None:
    """The projection is converted like a layer, but for an aware network, which starts after it."""
    if compression.quantization == "aware":
        asked: tuple[tuple[str, str], ...] = (("FLOAT32", "FLOAT32"), ("INT8", "FLOAT32"))
    else:
        asked = _types(kernel, compression.precision)
    if (kernel.weights, kernel.activations) not in asked:
        raise Mismatch(
            f"{compression.precision} was asked, but the file stores the projection of its input with "
            f"{kernel.weights} weights and {kernel.activations} activations"
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
