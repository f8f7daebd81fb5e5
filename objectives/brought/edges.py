"""The two ends of a `.tflite`: the names of its input and output, and the signature that says them.

Nothing here needs TensorFlow.
"""

from __future__ import annotations

from typing import NamedTuple

from objectives.flatbuffer import pack, unpack
from objectives.lowbit import name_everything


class Edges(NamedTuple):
    """The names of the one input and the one output of a file."""

    input_name: str
    output_name: str


def edges(data: bytes) -> Edges:
    """Return the names that the signature of a file gives its input and output."""
    signature = unpack(data).signatureDefs[0]
    return Edges(_text(signature.inputs[0].name), _text(signature.outputs[0].name))


def with_edges(data: bytes, names: Edges) -> bytes:
    """Return the file with its ends named so, a signature that says the same, and no other tensor names.

    The names of inner tensors are of no use to a device, and with them two conversions of one network
    would differ in size.
    """
    model = unpack(data)
    name_everything(model)
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    for tensor in graph.tensors:
        tensor.name = None
    graph.tensors[graph.inputs[0]].name = signature.inputs[0].name = names.input_name
    graph.tensors[graph.outputs[0]].name = signature.outputs[0].name = names.output_name
    return pack(model)


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode()
