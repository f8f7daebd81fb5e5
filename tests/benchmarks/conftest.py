"""A `.tflite` of known answers, and the checkout's root on the path: the benchmarks are not installed."""

import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

CLASSES = 4


@pytest.fixture
def root():
    return ROOT


@pytest.fixture
def identity_model():
    """Scores are the inputs, (1, CLASSES), but that of class 0 is 0.5 higher."""
    weights = np.eye(CLASSES, dtype=np.float32)
    bias = np.array([0.5, 0, 0, 0], np.float32)
    model = schema.ModelT()
    model.version = 3
    model.buffers = [_buffer(b""), _buffer(weights.tobytes()), _buffer(bias.tobytes())]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    model.operatorCodes = [code]
    model.subgraphs = [_graph()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _buffer(data):
    made = schema.BufferT()
    made.data = np.frombuffer(data, np.uint8)
    return made


def _graph():
    graph, layer = schema.SubGraphT(), schema.OperatorT()
    shapes = {
        "input": (1, CLASSES),
        "weights": (CLASSES, CLASSES),
        "bias": (CLASSES,),
        "output": (1, CLASSES),
    }
    graph.tensors = [_tensor(name, shape) for name, shape in shapes.items()]
    graph.inputs, graph.outputs = [0], [3]
    layer.inputs, layer.outputs = [0, 1, 2], [3]
    layer.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    layer.builtinOptions = schema.FullyConnectedOptionsT()
    graph.operators = [layer]
    return graph


def _tensor(name, shape):
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name, list(shape), schema.TensorType.FLOAT32
    tensor.buffer = {"weights": 1, "bias": 2}.get(name, 0)
    return tensor
