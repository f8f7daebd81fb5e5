"""What a `.tflite` says of itself: its operators, tensors and multiply-accumulates, without running it."""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from hardware_profiles.errors import MeasuringFailed
from hardware_profiles.macs import UNCOUNTED, compute_types, count, macs_of

IDENTIFIER = b"TFL3"
_BITS = {
    **dict.fromkeys(("BOOL", "INT8", "UINT8"), 8),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("FLOAT32", "INT32", "UINT32"), 32),
    **dict.fromkeys(("FLOAT64", "INT64", "UINT64", "COMPLEX64"), 64),
    "INT2": 2,
    "INT4": 4,
    "UINT4": 4,
    "COMPLEX128": 128,
}
_INTEGERS = {"INT32": "<i4", "INT64": "<i8"}
_FEW = 64
# What a reader of flatbuffers runs into where offsets lead astray.
_ASTRAY = (
    struct.error,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of the file.

    `bytes` is what it occupies: as stored for a constant, by shape and type for the rest. `dynamic` says
    that its shape is known only when the model runs (a batch written as -1, mostly). `values` are the numbers
    of a small integer constant (axes, shapes, paddings), flattened, else None. `variable` is a state that
    outlasts a run.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    bytes: int
    constant: bool = False
    dynamic: bool = False
    variable: bool = False
    values: tuple[int, ...] | None = None

    @property
    def elements(self) -> int:
        """How many numbers it holds, an unknown dimension taken as 1."""
        return count(self.shape)


@dataclass(frozen=True)
class Op:
    """One operator: `kind` as in 'CONV_2D' (a custom one by its own name), its options and tensors.

    An optional input that is left out is None. `macs` counts multiply-accumulates of one run.
    """

    kind: str
    version: int
    inputs: tuple[TensorInfo | None, ...]
    outputs: tuple[TensorInfo, ...]
    custom: bool = False
    options: Mapping[str, int | float | bool] = field(default_factory=lambda: MappingProxyType({}))
    macs: int = 0

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """All tensors that it reads or writes."""
        return (*(tensor for tensor in self.inputs if tensor is not None), *self.outputs)

    @property
    def activations(self) -> tuple[TensorInfo, ...]:
        """The tensors that are computed: neither constants nor states."""
        return tuple(tensor for tensor in self.tensors if not tensor.constant and not tensor.variable)

    @property
    def weights(self) -> tuple[TensorInfo, ...]:
        """The constants with two dimensions or more that are numbers to multiply with: no biases, no axes."""
        return tuple(
            tensor
            for tensor in self.tensors
            if tensor.constant and len(tensor.shape) > 1 and tensor.type not in _INTEGERS
        )


@dataclass(frozen=True)
class Graph:
    """A model's operators in the order in which they run, its inputs, outputs and all tensors.

    The operators of further subgraphs (bodies of loops and branches) follow those of the first.
    """

    ops: tuple[Op, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    tensors: tuple[TensorInfo, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run, as far as they are counted (see `uncounted`)."""
        return sum(op.macs for op in self.ops)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the operators used, sorted, each once."""
        return tuple(sorted({op.kind for op in self.ops}))

    @property
    def uncounted(self) -> tuple[str, ...]:
        """The operators used whose multiply-accumulates are not counted, sorted, each once."""
        return tuple(sorted({op.kind for op in self.ops if op.custom or op.kind in UNCOUNTED}))

    @property
    def has_dynamic_shapes(self) -> bool:
        """Whether some shape is known only when the model runs."""
        return any(tensor.dynamic for tensor in self.tensors)

    @property
    def all_int8(self) -> bool:
        """Whether all that is computed, and all weights, are 8-bit integers (states may be wider)."""
        return all(
            tensor.type in ("INT8", "UINT8") for op in self.ops for tensor in (*op.activations, *op.weights)
        )

    @property
    def compute_types(self) -> tuple[tuple[str, str], ...]:
        """What operators with multiply-accumulates compute in: (activation, weight) types, sorted, once each.

        Where both operands are computed, the second one counts as the weight.
        """
        return tuple(sorted({compute_types(op) for op in self.ops if op.macs}))


def read_graph(data: bytes) -> Graph:
    """Read a `.tflite`. Raises MeasuringFailed, on one line, for what is no whole, consistent model."""
    if data[4:8] != IDENTIFIER:
        raise MeasuringFailed("the file is no TensorFlow Lite model (no 'TFL3' at byte 4): give a .tflite")
    from ai_edge_litert import schema_py_generated as schema

    try:
        return _Reader(schema, data).graph()
    except _ASTRAY as error:
        told = " ".join(str(error).split())[:120] or type(error).__name__
        raise MeasuringFailed(
            f"the model is damaged ({told}): it was cut off or changed, so write or fetch it anew"
        ) from error


class _Reader:
    """Turns the tree of the schema's mutable objects into values."""

    def __init__(self, schema: Any, data: bytes) -> None:
        self._model = schema.ModelT.InitFromPackedBuf(data, 0)
        self._data = data
        self._types = _names(schema.TensorType)
        self._builtins = _names(schema.BuiltinOperator)

    def graph(self) -> Graph:
        subgraphs: Any = _list(self._model.subgraphs)
        if not len(subgraphs):
            raise ValueError("it has no graph")
        tensors = [tuple(self._tensor(each) for each in _list(graph.tensors)) for graph in subgraphs]
        ops = tuple(
            self._op(op, its)
            for graph, its in zip(subgraphs, tensors, strict=True)
            for op in _list(graph.operators)
        )
        main = tensors[0]
        return Graph(
            ops=ops,
            inputs=tuple(_at(main, index) for index in _list(subgraphs[0].inputs)),
            outputs=tuple(_at(main, index) for index in _list(subgraphs[0].outputs)),
            tensors=tuple(tensor for its in tensors for tensor in its),
        )

    def _tensor(self, raw: Any) -> TensorInfo:
        shape = tuple(int(size) for size in _list(raw.shape))
        signature = [int(size) for size in _list(raw.shapeSignature)]
        kind = self._types[raw.type]
        stored = self._stored(_at(self._model.buffers, raw.buffer))
        bits = math.prod(max(size, 0) for size in shape) * _BITS.get(kind, 0)
        return TensorInfo(
            name=_text(raw.name),
            shape=shape,
            type=kind,
            bytes=len(stored) or -(-bits // 8),
            constant=bool(len(stored)),
            dynamic=not len(stored) and min((*shape, *signature), default=0) < 0,
            variable=bool(raw.isVariable),
            values=_small_integers(stored, kind),
        )

    def _stored(self, buffer: Any) -> bytes:
        """Return a buffer's content, which in large files stands behind the tree (0 and 1: it does not)."""
        if buffer.offset <= 1:
            return b"" if buffer.data is None else bytes(buffer.data)
        if buffer.offset + buffer.size > len(self._data):
            raise ValueError(f"a buffer ends at byte {buffer.offset + buffer.size} of {len(self._data)}")
        return self._data[buffer.offset : buffer.offset + buffer.size]

    def _op(self, raw: Any, tensors: tuple[TensorInfo, ...]) -> Op:
        code = _at(self._model.operatorCodes, raw.opcodeIndex)
        # Old files have but the one, and new ones keep it where the number fits.
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        builtin = self._builtins[number]
        custom = builtin == "CUSTOM"
        op = Op(
            kind=_text(code.customCode) or builtin if custom else builtin,
            version=int(code.version),
            inputs=tuple(None if index == -1 else _at(tensors, index) for index in _list(raw.inputs)),
            outputs=tuple(_at(tensors, index) for index in _list(raw.outputs)),
            custom=custom,
            options=MappingProxyType(dict(_scalars(raw.builtinOptions))),
        )
        return op if custom else replace(op, macs=macs_of(op))


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


def _list(vector: Any) -> Any:
    return () if vector is None else vector


def _at(items: Any, index: int) -> Any:
    """Return an item by an index from the file, which does not count from the end."""
    if not 0 <= index < len(items):
        raise ValueError(f"it refers to item {index} of {len(items)}")
    return items[index]


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", errors="replace")


def _small_integers(stored: bytes, kind: str) -> tuple[int, ...] | None:
    import numpy as np

    if kind not in _INTEGERS or not stored:
        return None
    numbers = np.frombuffer(stored, _INTEGERS[kind])
    return tuple(int(number) for number in numbers) if len(numbers) <= _FEW else None


def _scalars(options: Any) -> Iterator[tuple[str, int | float | bool]]:
    for name, value in vars(options).items() if options is not None else ():
        if isinstance(value, int | float):
            yield name, value
