"""What passes between us and a user's program: the samples that it gets, and the answer that it prints."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.graph import Graph, TensorInfo, read_graph
from hardware_profiles.measurement import Latency, Source
from hardware_profiles.runners.base import Array
from hardware_profiles.runners.replay import sha256_of
from hardware_profiles.statistics import AGREE, FEWEST_QUICK, Timing, latency
from hardware_profiles.value import Value

MOST_ROUNDS = 20
_TYPES = {"BOOL": "bool", "FLOAT16": "float16", "FLOAT32": "float32", "FLOAT64": "float64"} | {
    f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Duration = Annotated[float, Field(ge=1e-9, le=1e9, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]


class BadAnswer(ValueError):
    """In what an answer breaks the protocol, in one line that goes on after the program's name."""


class Answer(Value):
    """What the program prints: durations, outputs or both, or an `error`; and what it knows of the device."""

    latency_ms: Annotated[tuple[Duration, ...], Field(min_length=1)] | None = None
    outputs: list[Any] | Line | None = None
    error: Line | None = None
    arena_bytes: Count | None = None
    machine: Line | None = None
    runtime: Line = "command"
    runtime_version: Line | None = None
    threads: Count | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.error is None) == (self.latency_ms is None and self.outputs is None):
            raise ValueError("an answer has either an error, or latency_ms, outputs or both")
        return self


def read_answer(output: bytes) -> Answer:
    """Read what the program printed. Raises BadAnswer unless it is one JSON object of the protocol."""
    try:
        return Answer.model_validate(json.loads(output, parse_constant=_refuse_constant))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        told = first["msg"].removeprefix("Value error, ")
        raise BadAnswer(f"printed what is not the protocol: {f'{where}: ' if where else ''}{told}") from error
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"did not print one JSON object: {' '.join(str(error).split())[:120]}") from error


def read_outputs(told: list[Any] | str, graph: Graph, samples: int, folder: Path) -> tuple[Array, ...]:
    """Turn the program's outputs, or its file of them, into arrays of the model's shapes and types.

    Raises BadAnswer where they have others, or numbers that are none.
    """
    try:
        given = _load(folder / told, len(graph.outputs)) if isinstance(told, str) else told
        pairs = list(zip(given, graph.outputs, strict=True))
        return tuple(as_output(data, (samples, *shape_of(tensor)), kind_of(tensor)) for data, tensor in pairs)
    except (ValueError, TypeError, OverflowError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BadAnswer(f"gave outputs that are none: {' '.join(str(error).split())[:200]}") from error


def as_output(data: Any, shape: tuple[int, ...], kind: np.dtype[Any]) -> Array:
    """Return what was given for an output as an array. Raises ValueError for another shape, kind or NaN."""
    array = np.asarray(data)
    if array.shape != shape:
        raise ValueError(f"shape {shape} expected (samples first), got {array.shape}")
    families = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[kind.kind]
    if array.dtype.kind not in families:
        raise ValueError(f"numbers of type {kind} expected, got {array.dtype}")
    if kind.kind in "iu" and (array.min() < np.iinfo(kind).min or array.max() > np.iinfo(kind).max):
        raise ValueError(f"numbers within {kind} expected, got {array.min()} to {array.max()}")
    with np.errstate(over="ignore"):
        converted = array.astype(kind)
    if kind.kind == "f" and not np.isfinite(converted).all():
        raise ValueError(f"finite numbers of type {kind} expected, got NaN, infinity or one too large")
    return converted


def judge(
    before_ms: Sequence[float],
    model_ms: Sequence[float],
    after_ms: Sequence[float],
    constant_ms: float | None,
    source: Source,
) -> Latency:
    """Return the latency by the durations of the anchor, of the model, and of the anchor again.

    They are cut into at most MOST_ROUNDS consecutive rounds, of which the minima are compared. Fewer
    than FEWEST_QUICK durations are gone through repeatedly: all that they can tell is whether they agree,
    and a single one not even that, so it counts as noisy. `constant_ms` None is the anchor's minimum.
    """
    columns = [minima(column) for column in (before_ms, model_ms, after_ms)]
    count = max(FEWEST_QUICK, len(columns[1]))
    before, model, after = ([1e6 * column[n % len(column)] for n in range(count)] for column in columns)
    median, p90, p99 = np.quantile(model_ms, [0.5, 0.9, 0.99])
    timing = Timing(
        min_ns=1e6 * min(model_ms),
        median_ns=1e6 * median,
        p90_ns=1e6 * p90,
        p99_ns=1e6 * p99,
        runs=len(model_ms),
        rounds=tuple(zip(before, model, after, strict=True)),
    )
    anchor_ms = min(*before_ms, *after_ms)
    seen = latency(timing, 1e6 * anchor_ms, anchor_ms if constant_ms is None else constant_ms, source)
    few = len(model_ms) < FEWEST_QUICK and max(model_ms) > (1 + AGREE) * min(model_ms)
    if seen.verdict == "stable" and (few or len(model_ms) == 1):
        return seen.model_copy(update={"verdict": "noisy"})
    return seen


def minima(durations: Sequence[float]) -> list[float]:
    """Cut into at most MOST_ROUNDS parts of about the same length; return each part's least."""
    parts = np.array_split(np.asarray(durations), min(len(durations), MOST_ROUNDS))
    return [float(part.min()) for part in parts]


def one_sample(tensor: TensorInfo, seed: int) -> Array:
    """Return one sample for an input: unit normal, or whole numbers over an 8- or 16-bit type's range."""
    kind, rng, shape = kind_of(tensor), np.random.default_rng(seed), (1, *shape_of(tensor))
    if kind.kind == "f":
        return rng.standard_normal(shape).astype(kind)
    if kind.kind in "iu" and kind.itemsize <= 2:
        bounds = np.iinfo(kind)
        return rng.integers(bounds.min, bounds.max, shape, kind, endpoint=True)
    return rng.integers(0, 2, shape).astype(kind)  # wider types are indices as a rule


def graph_of(model: Path) -> Graph:
    """Read a model of which every input and output can be passed on. Raises MeasuringFailed for another."""
    sha256_of(model)
    try:
        graph = read_graph(model.read_bytes())
        for tensor in (*graph.inputs, *graph.outputs):
            shape_of(tensor)
            kind_of(tensor)
    except MeasuringFailed as error:
        raise MeasuringFailed(f"'{model}': {error}") from error
    return graph


def shape_of(tensor: TensorInfo) -> tuple[int, ...]:
    """Return a tensor's shape without the batch of 1. Raises MeasuringFailed where it has another batch."""
    if tensor.dynamic or tensor.shape[:1] != (1,):
        raise MeasuringFailed(f"'{tensor.name}' has shape {tensor.shape}: a batch of 1 is expected")
    return tensor.shape[1:]


def kind_of(tensor: TensorInfo) -> np.dtype[Any]:
    """Return a tensor's type as numpy calls it. Raises MeasuringFailed for one that numpy has not."""
    if tensor.type not in _TYPES:
        raise MeasuringFailed(f"'{tensor.name}' is {tensor.type}, for which there is no data")
    return np.dtype(_TYPES[tensor.type])


def check_inputs(model: Path, graph: Graph, inputs: Sequence[Array]) -> None:
    """Raise DeviceError unless the arrays (samples, *shape) are what the model takes."""
    expected = [(kind_of(tensor), shape_of(tensor)) for tensor in graph.inputs]
    given = [(array.dtype, array.shape[1:]) for array in inputs]
    if expected != given:
        raise DeviceError(f"'{model}' takes {_listed(expected)} for each sample, got {_listed(given)}")


def _listed(specs: Sequence[tuple[np.dtype[Any], tuple[int, ...]]]) -> str:
    return " and ".join(f"{kind}{list(shape)}" for kind, shape in specs) or "nothing"


def _load(path: Path, count: int) -> list[Array]:
    expected = [f"output_{n}" for n in range(count)]
    file = np.load(path, allow_pickle=False)
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise TypeError(f"{path.name} is a .npz file of {', '.join(expected)}, got another")
    with file:
        if sorted(file.files) != sorted(expected):
            got = ", ".join(file.files) or "nothing"
            raise ValueError(f"{path.name} is a .npz file of {', '.join(expected)}, got {got}")
        return [file[name] for name in expected]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
