"""Reading and writing `.tflite` files through the schema that ships with the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

IDENTIFIER = b"TFL3"


def schema() -> Any:
    """Return the generated schema module."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def unpack(data: bytes) -> Any:
    """Return the file as a tree of mutable objects (`ModelT`)."""
    import numpy as np

    model = schema().ModelT.InitFromPackedBuf(data, 0)
    for buffer in model.buffers:
        # The quantizer may store constants behind the tree, and what is not in it would be lost when it is
        # packed again; 0 and 1 say that there are none.
        if buffer.offset > 1:
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def pack(model: Any) -> bytes:
    """Return the bytes of such a tree."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def type_name(code: int) -> str:
    """Return the name of a tensor's type, such as FLOAT32 or INT8."""
    return _name(schema().TensorType, code)


def op_name(model: Any, op: Any) -> str:
    """Return the name of an operator, such as CONV_2D or FULLY_CONNECTED."""
    code = model.operatorCodes[op.opcodeIndex]
    return _name(schema().BuiltinOperator, max(code.builtinCode, code.deprecatedBuiltinCode))


def constant(model: Any, tensor: Any) -> np.ndarray[Any, Any] | None:
    """Return the stored values of a tensor in its own type and shape, or None if it has none."""
    import numpy as np

    data = model.buffers[tensor.buffer].data
    if data is None or not len(data):
        return None
    kind, shape = type_name(tensor.type), [] if tensor.shape is None else tensor.shape
    if kind == "INT4":
        return _four_bits(np.frombuffer(bytes(data), np.uint8), shape)
    kinds = {"FLOAT32": "<f4", "FLOAT16": "<f2", "INT8": "i1", "UINT8": "u1", "INT32": "<i4", "INT64": "<i8"}
    return np.frombuffer(bytes(data), kinds[kind]).reshape(shape)


def _four_bits(packed: np.ndarray[Any, Any], shape: Any) -> np.ndarray[Any, Any]:
    """Return 4-bit numbers as int8: two in a byte, the first one in its lower half."""
    import numpy as np

    halves = np.stack([packed & 15, packed >> 4], axis=-1).ravel()[: int(np.prod(shape))].astype(np.int8)
    return np.where(halves > 7, halves - 16, halves).astype(np.int8).reshape(shape)


def _name(enumeration: type, code: int) -> str:
    names = {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}
    return str(names[code])
