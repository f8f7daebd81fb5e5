"""Float ops put in front of a converted network: what the sensors give becomes what it was trained on.

Were the normalisation part of the graph that is quantized, its columns would share one scale with the
raw input and those of small range would vanish (and a float input does not cure it, for the converter
folds the multiplication into the first layer). So it is added after the conversion, as float ops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.flatbuffer import pack, schema, unpack

if TYPE_CHECKING:
    from objectives.normalise import Normaliser

INPUT_NAME, OUTPUT_NAME = "input", "logits"
_OPTIONS = {"SUB": "SubOptions", "MUL": "MulOptions", "MINIMUM": "MaximumMinimumOptions"}
_OPTIONS["MAXIMUM"] = _OPTIONS["MINIMUM"]


def named(data: bytes) -> bytes:
    """Return the file with its input named `input`, its output `logits`, and no other names.

    Keras numbers its layers through the life of a process, so with their names a file would be the
    longer the later its network was built.
    """
    model = unpack(data)
    graph = model.subgraphs[0]
    for tensor in graph.tensors:
        tensor.name = None
    graph.tensors[graph.inputs[0]].name = INPUT_NAME
    graph.tensors[graph.outputs[0]].name = OUTPUT_NAME
    return pack(model)


def with_normaliser(data: bytes, normaliser: Normaliser) -> bytes:
    """Return the file for raw values: SUB and MUL in front, and MAXIMUM and MINIMUM where it clips.

    A normaliser that changes nothing leaves the file as it is. The file must have one float32 input of
    static shape, and so has the result.
    """
    if normaliser.changes_nothing:
        return data
    model = unpack(data)
    editor = _Editor(model)
    steps = [("SUB", normaliser.offset), ("MUL", normaliser.scale)]
    if normaliser.clip is not None:
        steps += [("MAXIMUM", (-normaliser.clip,)), ("MINIMUM", (normaliser.clip,))]
    editor.prepend(steps)
    return pack(model)


class _Editor:
    """Adds tensors and operators to the one graph of an unpacked model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._graph = model.subgraphs[0]

    def prepend(self, steps: list[tuple[str, tuple[float, ...]]]) -> None:
        """Let the input pass through the steps, each an elementwise op with a constant."""
        network_input = self._graph.inputs[0]
        shape = self._graph.tensors[network_input].shape
        self._graph.tensors[network_input].name = "normalised"
        current = raw = self._tensor(INPUT_NAME, shape)
        operators = []
        for number, (op, values) in enumerate(steps, 1):
            result = network_input if number == len(steps) else self._tensor(f"{op.lower()}_{number}", shape)
            constant = self._constant(f"{op.lower()}_values", values)
            operators.append(self._operator(op, [current, constant], result))
            current = result
        self._graph.inputs = [raw]
        self._graph.operators = operators + list(self._graph.operators)
        self._point_signatures(network_input, raw)

    def _point_signatures(self, old: int, new: int) -> None:
        for signature in self._model.signatureDefs or []:
            for entry in signature.inputs:
                if entry.tensorIndex == old:
                    entry.tensorIndex = new

    def _tensor(self, name: str, shape: Any, buffer: int = 0) -> int:
        tensor = schema().TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, shape, buffer
        tensor.type = schema().TensorType.FLOAT32
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _constant(self, name: str, values: tuple[float, ...]) -> int:
        buffer = schema().BufferT()
        buffer.data = np.frombuffer(np.asarray(values, "<f4").tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        return self._tensor(name, [len(values)], len(self._model.buffers) - 1)

    def _operator(self, op: str, inputs: list[int], output: int) -> Any:
        operator, options = schema().OperatorT(), _OPTIONS[op]
        operator.opcodeIndex = self._code(getattr(schema().BuiltinOperator, op))
        operator.inputs, operator.outputs = inputs, [output]
        operator.builtinOptionsType = getattr(schema().BuiltinOptions, options)
        operator.builtinOptions = getattr(schema(), f"{options}T")()
        return operator

    def _code(self, builtin: int) -> int:
        for index, code in enumerate(self._model.operatorCodes):
            if builtin == max(code.builtinCode, code.deprecatedBuiltinCode):
                return index
        code = schema().OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, builtin, 1
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1
