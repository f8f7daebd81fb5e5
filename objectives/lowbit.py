"""Post-training int4: a float32 file becomes one of int8 with 4-bit weights in some or all layers.

By ai-edge-quantizer, which takes a mix of bit-widths; the stock converter has no 4 bits without training.
Which layers can bear it is measured: the weights of each are rounded to 4 bits in turn, and what that
does to the scores of the float file is its sensitivity.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from objectives.accuracy import scores as run
from objectives.flatbuffer import constant, op_name, pack, schema, unpack

Array = np.ndarray[Any, np.dtype[Any]]
LOW_BIT_OPS = ("CONV_2D", "FULLY_CONNECTED")
"""Those with 4-bit kernels; the runtime has none for depthwise convolutions."""
JUDGED_SAMPLES = 32
SIGNATURE, INPUT, OUTPUT = "serving_default", "input", "logits"


def low_bit_count(layers: int, share: float) -> int:
    """Return how many of some layers a share stands for: rounded up, so that it is at least one."""
    return int(np.ceil(round(layers * share, 6)))


def quantized(data: bytes, share: float, normalised: Array, *, float_edges: bool, frozen: int = 0) -> bytes:
    """Return an int8 file with 4-bit weights in that share of its layers, the least sensitive ones.

    `data` is a float32 file with one input; `normalised` holds samples of it, (samples, *input_shape), to
    find the ranges of activations with. `float_edges` keeps input and output float32. The first `frozen`
    layers keep 8 bits: they are no trained ones.
    """
    model = unpack(data)
    name_everything(model)
    layers = [op for op in model.subgraphs[0].operators if op_name(model, op) in LOW_BIT_OPS][frozen:]
    count = low_bit_count(len(layers), share)
    if count < len(layers):
        order = least_sensitive_first(len(layers), _trial_of(data, layers, normalised[:JUDGED_SAMPLES]))
        layers = [layers[i] for i in order[:count]]
    low = _output_names(model, layers)
    return perform(pack(model), lambda made: _mix(made, low, float_edges=float_edges), normalised)


def least_sensitive_first(layers: int, scores_with: Callable[[int | None], Array]) -> list[int]:
    """Return layer numbers in order of what 4 bits there do to the scores: their mean squared change.

    `scores_with` returns scores with one layer's weights rounded, and as they are for None.
    """
    exact = scores_with(None)
    changes = [float(np.mean((scores_with(i) - exact) ** 2)) for i in range(layers)]
    return [int(i) for i in np.argsort(changes, kind="stable")]


def rounded_to_4_bits(kernel: Array, axis: int) -> Array:
    """Return a kernel as symmetric 4-bit weights with a scale per position on `axis` represent it."""
    others = tuple(i for i in range(kernel.ndim) if i != axis % kernel.ndim)
    scale = np.abs(kernel).max(axis=others, keepdims=True) / 7
    scale = np.where(scale > 0, scale, 1)
    result: Array = (np.clip(np.round(kernel / scale), -7, 7) * scale).astype(kernel.dtype)
    return result


def _trial_of(data: bytes, layers: list[Any], samples: Array) -> Callable[[int | None], Array]:
    def scores(number: int | None) -> Array:
        if number is None:
            return run(data, samples)
        model = unpack(data)
        stored = model.subgraphs[0].tensors[layers[number].inputs[1]]
        values = constant(model, stored)
        assert values is not None  # seen to by the verification of the float32 file
        coarse = rounded_to_4_bits(values, 0).astype("<f4")
        model.buffers[stored.buffer].data = np.frombuffer(coarse.tobytes(), np.uint8)
        return run(pack(model), samples)

    return scores


def static(made: Any, activation_bits: int, *, float_edges: bool) -> None:
    """Ask for 8-bit weights and activations of so many bits; `float_edges` leaves both ends as they are."""
    from ai_edge_quantizer import algorithm_manager, qtyping

    operations, none = qtyping.TFLOperationName, algorithm_manager.AlgorithmName.NO_QUANTIZE
    made.add_static_config(".*", operations.ALL_SUPPORTED, activation_bits, 8)
    if float_edges:
        for edge in (operations.INPUT, operations.OUTPUT):
            made.update_quantization_recipe(".*", edge, algorithm_key=none)


def _mix(made: Any, low: list[str], *, float_edges: bool) -> None:
    """Ask for 8 bits everywhere, and for 4-bit weights in the operators whose outputs are named."""
    from ai_edge_quantizer import qtyping

    static(made, 8, float_edges=float_edges)
    for name in low:
        for operation in LOW_BIT_OPS:
            made.add_static_config(f"^{name};?$", qtyping.TFLOperationName[operation], 8, 4)


def perform(data: bytes, recipe: Callable[[Any], None], samples: Array) -> bytes:
    """Return a file after a recipe, which is given the quantizer to fill; its tensors must have names.

    `samples`, (samples, *input_shape), are run to find the ranges of activations if the recipe needs them.
    """
    from ai_edge_quantizer import quantizer

    made = quantizer.Quantizer(bytearray(data))
    recipe(made)
    with _quiet():
        result = made.quantize(_ranges(made, data, samples)).quantized_model
    assert result is not None  # `quantize` returns it or raises
    return bytes(result)


def _ranges(made: Any, data: bytes, samples: Array) -> dict[str, Any] | None:
    """Return the least and greatest value of each tensor over all samples, None if the recipe needs none.

    The quantizer's own `calibrate` averages them over samples, which cuts off what the larger ones reach:
    with noise as samples, the int8 scores of a small fully connected network were off by 0.17 of their
    spread, and by 0.014 with these.
    """
    from ai_edge_quantizer import calibrator, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    if not made.need_calibration:
        return None
    recipe = recipe_manager.RecipeManager()
    recipe.load_quantization_recipe(made.get_quantization_recipe())
    seen = calibrator.Calibrator(data, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    seen.calibrate({SIGNATURE: [{INPUT: sample[None]} for sample in samples]}, recipe)
    return dict(seen.get_model_qsvs())


def name_everything(model: Any) -> None:
    """Name tensors by their number and add the signature, which the quantizer asks for."""
    graph, signature = model.subgraphs[0], schema().SignatureDefT()
    for number, tensor in enumerate(graph.tensors):
        tensor.name = f"t{number}"
    source, sink = graph.inputs[0], graph.outputs[0]
    graph.tensors[source].name, graph.tensors[sink].name = INPUT, OUTPUT
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs, signature.outputs = [_entry(INPUT, source)], [_entry(OUTPUT, sink)]
    model.signatureDefs = [signature]


def _entry(name: str, tensor: int) -> Any:
    entry = schema().TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry


def _output_names(model: Any, layers: list[Any]) -> list[str]:
    names = (model.subgraphs[0].tensors[op.outputs[0]].name for op in layers)
    return [name if isinstance(name, str) else name.decode() for name in names]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer draws progress bars, prints a report and warns of how it calibrates."""
    nowhere = io.StringIO()
    with (
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(action="ignore"),
    ):
        yield
