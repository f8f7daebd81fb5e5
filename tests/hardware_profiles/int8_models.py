"""Write quantized networks by the schema, layer by layer: real files in milliseconds, without TensorFlow."""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {name: value for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
STORED = {"FLOAT32": np.float32, "INT8": np.int8, "INT32": np.int32, "INT4": np.uint8, "INT16": np.int16}
SCALE = 0.05
WEIGHT_SCALE = 0.01


class Network:
    """A network that grows by calls; every layer returns the index of its output tensor.

    `data` and `weights` are the types that it computes in: INT8 with INT8 for full int8, FLOAT32 with
    INT8 for dynamic, INT16 with INT8, INT8 with INT4.
    """

    def __init__(self, data: str = "INT8", weights: str = "INT8") -> None:
        self.data, self.weights = data, weights
        self.random = np.random.default_rng(0)
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.buffers = [_buffer(b"")]
        self.codes: list[tuple[int, bytes | None]] = []

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(self.graph.tensors[tensor].shape)

    def input(self, *shape: int, kind: str | None = None) -> int:
        self.graph.inputs.append(self.tensor(shape, kind=kind))
        return self.graph.inputs[-1]

    def tensor(
        self,
        shape: Sequence[int],
        kind: str | None = None,
        values: np.ndarray[Any, Any] | None = None,
        scale: float = SCALE,
    ) -> int:
        made, kind = schema.TensorT(), kind or self.data
        made.name, made.shape, made.type = f"t{len(self.graph.tensors)}", list(shape), TYPES[kind]
        made.buffer = 0
        if kind != "FLOAT32":
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [0]
        if values is not None:
            self.buffers.append(_buffer(values.astype(STORED[kind]).tobytes()))
            made.buffer = len(self.buffers) - 1
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def matrix(self, *shape: int) -> int:
        """Random weights."""
        size = int(np.prod(shape))
        stored = -(-size // 2) if self.weights == "INT4" else size
        values = self.random.integers(-100, 100, stored)
        return self.tensor(shape, self.weights, values, WEIGHT_SCALE)

    def bias(self, units: int) -> int:
        kind = "FLOAT32" if self.data == "FLOAT32" else "INT32"
        return self.tensor((units,), kind, self.random.integers(-50, 50, units), SCALE * WEIGHT_SCALE)

    def integers(self, *values: int, shape: Sequence[int] | None = None) -> int:
        """A constant for axes, shapes and paddings."""
        index = self.tensor(shape or (len(values),), "INT32", np.array(values))
        self.graph.tensors[index].quantization = None
        return index

    def op(self, kind: str, inputs: Sequence[int], output: int, options: Any = None, **given: int) -> int:
        """Add an operator; a kind that the schema does not know becomes a custom one of that name."""
        builtin = vars(schema.BuiltinOperator).get(kind)
        key = (builtin, None) if builtin is not None else (schema.BuiltinOperator.CUSTOM, kind.encode())
        if key not in self.codes:
            self.codes.append(key)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = self.codes.index(key), list(inputs), [output]
        if options is not None:
            name = options.__name__.removesuffix("T")
            made.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            made.builtinOptions = options()
            for field, value in given.items():
                assert hasattr(made.builtinOptions, field), field
                setattr(made.builtinOptions, field, value)
        self.graph.operators.append(made)
        return output

    def conv(
        self, data: int, filters: int, kernel: tuple[int, int] = (3, 3), stride: int = 1, **given: int
    ) -> int:
        batch, height, width, channels = self.shape(data)
        output = self.tensor((batch, -(-height // stride), -(-width // stride), filters))
        inputs = [data, self.matrix(filters, *kernel, channels), self.bias(filters)]
        options = {"strideH": stride, "strideW": stride, "fusedActivationFunction": 1}
        return self.op("CONV_2D", inputs, output, schema.Conv2DOptionsT, **options | given)

    def depthwise(self, data: int, stride: int = 1) -> int:
        batch, height, width, channels = self.shape(data)
        output = self.tensor((batch, -(-height // stride), -(-width // stride), channels))
        inputs = [data, self.matrix(1, 3, 3, channels), self.bias(channels)]
        options = {"strideH": stride, "strideW": stride, "depthMultiplier": 1, "fusedActivationFunction": 1}
        return self.op("DEPTHWISE_CONV_2D", inputs, output, schema.DepthwiseConv2DOptionsT, **options)

    def dense(self, data: int, units: int) -> int:
        *rows, width = self.shape(data)
        inputs = [data, self.matrix(units, width), self.bias(units)]
        output = self.tensor((*rows, units))
        return self.op("FULLY_CONNECTED", inputs, output, schema.FullyConnectedOptionsT)

    def add(self, left: int, right: int) -> int:
        return self.op("ADD", [left, right], self.tensor(self.shape(left)), schema.AddOptionsT)

    def mean(self, data: int, axes: tuple[int, ...] = (1, 2)) -> int:
        shape = [size for axis, size in enumerate(self.shape(data)) if axis not in axes]
        return self.op("MEAN", [data, self.integers(*axes)], self.tensor(shape), schema.ReducerOptionsT)

    def quantize(self, data: int) -> int:
        return self.op("QUANTIZE", [data], self.tensor(self.shape(data), "INT8"), schema.QuantizeOptionsT)

    def dequantize(self, data: int) -> int:
        output = self.tensor(self.shape(data), "FLOAT32")
        return self.op("DEQUANTIZE", [data], output, schema.DequantizeOptionsT)

    def bytes(self, *outputs: int) -> bytes:
        """Return the file."""
        self.graph.outputs = list(outputs)
        model = schema.ModelT()
        model.version, model.description = 3, "made for a test"
        model.buffers, model.subgraphs = self.buffers, [self.graph]
        model.operatorCodes = [_code(*key) for key in self.codes]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def small_cnn(data: str = "INT8", weights: str = "INT8") -> bytes:
    """Two convolutions, a depthwise one, the mean and a dense layer on 16×16×3."""
    network = Network(data, weights)
    features = network.conv(network.input(1, 16, 16, 3), 8, stride=2)
    features = network.conv(network.depthwise(features), 16, (1, 1))
    return network.bytes(network.dense(network.mean(features), 10))


def image_classification() -> bytes:
    """MLPerf Tiny: a ResNet of 16, 32 and 64 filters on 32×32×3."""
    network = Network()
    features = network.conv(network.input(1, 32, 32, 3), 16)
    features = network.add(network.conv(network.conv(features, 16), 16), features)
    for filters in (32, 64):
        branch = network.conv(network.conv(features, filters, stride=2), filters)
        features = network.add(branch, network.conv(features, filters, (1, 1), stride=2))
    return network.bytes(network.dense(network.mean(features), 10))


def keyword_spotting() -> bytes:
    """MLPerf Tiny: a DS-CNN of 64 filters on 49×10 coefficients."""
    network = Network()
    features = network.conv(network.input(1, 49, 10, 1), 64, (10, 4), stride=2)
    for _ in range(4):
        features = network.conv(network.depthwise(features), 64, (1, 1))
    return network.bytes(network.dense(network.mean(features), 12))


def visual_wake_words() -> bytes:
    """MLPerf Tiny: MobileNetV1 of width 0.25 on 96×96×3."""
    network = Network()
    features = network.conv(network.input(1, 96, 96, 3), 8, stride=2)
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    widths = (16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256)
    for stride, width in zip(strides, widths, strict=True):
        features = network.conv(network.depthwise(features, stride), width, (1, 1))
    return network.bytes(network.dense(network.mean(features), 2))


def anomaly_detection() -> bytes:
    """MLPerf Tiny: a dense autoencoder, 640 numbers to 8 and back."""
    network = Network()
    features = network.input(1, 640)
    for units in (128, 128, 128, 128, 8, 128, 128, 128, 128, 640):
        features = network.dense(features, units)
    return network.bytes(features)


def float_ends() -> bytes:
    """Full int8 between QUANTIZE and DEQUANTIZE: what the converter makes unless told otherwise."""
    network = Network()
    data = network.quantize(network.input(1, 8, 8, 3, kind="FLOAT32"))
    return network.bytes(network.dequantize(network.dense(network.mean(network.conv(data, 8)), 4)))


def _buffer(data: bytes) -> schema.BufferT:
    made = schema.BufferT()
    made.data = np.frombuffer(data, dtype=np.uint8)
    return made


def _code(builtin: int, custom: bytes | None) -> schema.OperatorCodeT:
    made = schema.OperatorCodeT()
    made.builtinCode, made.deprecatedBuiltinCode = builtin, min(builtin, 127)
    made.customCode, made.version = custom, 1
    return made
