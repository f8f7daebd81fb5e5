"""Write a `.tflite` by its schema: a model of known size in milliseconds, without TensorFlow."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


def fully_connected(
    inputs: int, outputs: int, kind: int = schema.TensorType.FLOAT32, version: int = 1
) -> bytes:
    """Return a model of one dense layer, (1, inputs) to (1, outputs), with seeded float weights.

    `kind` is what the input is declared as; anything but FLOAT32 makes a model that does not load;
    `version` is the operator's, and a runtime that knows only older ones does not load it.
    """
    weights = np.random.default_rng(0).normal(size=(outputs, inputs)).astype(np.float32)
    model = schema.ModelT()
    model.version = 3
    model.description = "dense"
    model.buffers = [buffer(b""), buffer(weights.tobytes())]
    model.operatorCodes = [operator_code(schema.BuiltinOperator.FULLY_CONNECTED, version)]
    model.subgraphs = [graph(inputs, outputs, kind)]
    builder = flatbuffers.Builder(weights.nbytes + 1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def buffer(data: bytes) -> schema.BufferT:
    """Return a buffer with that content."""
    made = schema.BufferT()
    made.data = np.frombuffer(data, dtype=np.uint8)
    return made


def operator_code(builtin: int, version: int = 1) -> schema.OperatorCodeT:
    """Return the entry for a builtin operator."""
    made = schema.OperatorCodeT()
    made.builtinCode = made.deprecatedBuiltinCode = builtin
    made.version = version
    return made


def graph(inputs: int, outputs: int, kind: int) -> schema.SubGraphT:
    """Return the graph: input, weights and output tensors, and the layer between them."""
    made = schema.SubGraphT()
    made.tensors = [
        tensor("input", (1, inputs), 0, kind),
        tensor("weights", (outputs, inputs), 1, schema.TensorType.FLOAT32),
        tensor("output", (1, outputs), 0, schema.TensorType.FLOAT32),
    ]
    made.inputs, made.outputs = [0], [2]
    layer = schema.OperatorT()
    layer.opcodeIndex, layer.inputs, layer.outputs = 0, [0, 1, -1], [2]
    layer.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    layer.builtinOptions = schema.FullyConnectedOptionsT()
    made.operators = [layer]
    return made


def tensor(name: str, shape: tuple[int, ...], content: int, kind: int) -> schema.TensorT:
    """Return a tensor; `content` is the index of its buffer."""
    made = schema.TensorT()
    made.name, made.shape, made.buffer, made.type = name, list(shape), content, kind
    return made
