"""int8 convolutional networks of a chosen length, written by the file's schema in milliseconds."""

from __future__ import annotations

from typing import Annotated

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from pydantic import Field

from spaces.value import Value

CHANNELS, KERNEL = 16, 3
SCALE, WEIGHT_SCALE = 0.05, 0.01
Count = Annotated[int, Field(ge=1)]


class Stack(Value):
    """A network of `layers` 3x3 convolutions, 16 channels to 16, on `side` x `side` pixels."""

    name: str
    side: Count
    layers: Count

    def tflite(self) -> bytes:
        """Return the file: int8 throughout, seeded random weights, ReLU after each convolution."""
        rng = np.random.default_rng(0)
        shape = (CHANNELS, KERNEL, KERNEL, CHANNELS)
        weights = [rng.integers(-100, 101, shape).astype(np.int8) for _ in range(self.layers)]
        model, code = schema.ModelT(), schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
        code.version = 3  # the first with int8
        model.version, model.description, model.operatorCodes = 3, self.name, [code]
        bias = np.zeros(CHANNELS, np.int32).tobytes()
        model.buffers = [_buffer(content) for content in (b"", bias, *(array.tobytes() for array in weights))]
        model.subgraphs = [self._graph(shape)]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _graph(self, shape: tuple[int, ...]) -> schema.SubGraphT:
        """Return the graph: tensor n is what goes into layer n, then come the weights, then the one bias."""
        made, data, bias = schema.SubGraphT(), (1, self.side, self.side, CHANNELS), 2 * self.layers + 1
        made.tensors = [_tensor(f"data_{n}", data, 0, SCALE) for n in range(self.layers + 1)]
        made.tensors += [_tensor(f"weights_{n}", shape, n + 2, WEIGHT_SCALE) for n in range(self.layers)]
        made.tensors += [_tensor("bias", (CHANNELS,), 1, SCALE * WEIGHT_SCALE, schema.TensorType.INT32)]
        made.inputs, made.outputs = [0], [self.layers]
        made.operators = [_convolution(n, self.layers + 1 + n, bias) for n in range(self.layers)]
        return made


def _convolution(data: int, weights: int, bias: int) -> schema.OperatorT:
    made, options = schema.OperatorT(), schema.Conv2DOptionsT()
    options.strideH = options.strideW = 1
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    made.opcodeIndex, made.inputs, made.outputs = 0, [data, weights, bias], [data + 1]
    made.builtinOptionsType, made.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
    return made


def _buffer(data: bytes) -> schema.BufferT:
    made = schema.BufferT()
    made.data = np.frombuffer(data, np.uint8)
    return made


def _tensor(
    name: str, shape: tuple[int, ...], content: int, scale: float, kind: int = schema.TensorType.INT8
) -> schema.TensorT:
    made = schema.TensorT()
    made.name, made.shape, made.buffer, made.type = name, list(shape), content, kind
    made.quantization = schema.QuantizationParametersT()
    made.quantization.scale, made.quantization.zeroPoint = [scale], [0]
    return made
