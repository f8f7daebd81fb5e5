"""What was found of one file on a device, as a value and as a row for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hardware_profiles.artifact import compressed_bytes
from hardware_profiles.errors import MeasuringFailed
from hardware_profiles.graph import Graph, read_graph
from hardware_profiles.measurement import Latency, Measurement
from hardware_profiles.value import Value
from search.agreement import Agreement
from search.errors import StudyError
from search.shipment import TensorSpec, tensor_specs

_PRECISIONS = {
    ("FLOAT32", "FLOAT32"): "float32",
    ("FLOAT32", "FLOAT16"): "float16",
    ("FLOAT32", "INT8"): "dynamic-int8",
    ("INT8", "INT8"): "int8",
    ("UINT8", "UINT8"): "uint8",
    ("INT16", "INT8"): "int16x8",
    ("INT8", "INT4"): "int4",
}


@dataclass(frozen=True)
class Content:
    """What a file tells by itself; `inputs` and `outputs` are the reason where LiteRT here cannot tell."""

    model_bytes: int
    compressed_bytes: int
    graph: Graph
    inputs: tuple[TensorSpec, ...] | str
    outputs: tuple[TensorSpec, ...] | str

    @property
    def precision(self) -> str | None:
        """What it computes in, as precisions are called here ('int8'); None if it multiplies nothing."""
        halves = any(tensor.constant and tensor.type == "FLOAT16" for tensor in self.graph.tensors)
        names = {
            "float16" if halves and types[0] == "FLOAT32" else _PRECISIONS.get(types, " with ".join(types))
            for types in self.graph.compute_types
        }
        return " and ".join(sorted(names)).lower() or None


@dataclass(frozen=True)
class Measured:
    """One file and what was found of it on a device.

    `content` is None for what is no model. `figures` has what is known by its metric, and `reasons` why
    something is not: 'latency_ms', 'arena_bytes', 'energy_mj', 'unsupported_ops', 'agreement'.
    `latency` is there where it was measured. `error` says why the model cannot be measured there.
    """

    path: Path
    device: str
    content: Content | None = None
    latency: Latency | None = None
    figures: Mapping[str, Measurement] = field(default_factory=dict)
    unsupported_ops: tuple[str, ...] | None = None
    agreement: Agreement | None = None
    remarks: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    @property
    def timed(self) -> Measurement | None:
        """The latency's ranked or estimated figure, None where nothing is known of it."""
        return self.figures.get("latency_ms")


def read_content(path: Path) -> Content | str:
    """Return what a file tells, or why it tells nothing."""
    try:
        data = path.read_bytes()
        graph = read_graph(data)
    except OSError as error:
        return f"'{path}' cannot be read ({error.strerror}); name a .tflite file"
    except MeasuringFailed as error:
        return f"'{path}': {error}"
    inputs, outputs = _specs(data)
    return Content(len(data), compressed_bytes(data), graph, inputs, outputs)


def _specs(data: bytes) -> tuple[tuple[TensorSpec, ...] | str, tuple[TensorSpec, ...] | str]:
    try:
        return tensor_specs(data)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
    except StudyError as error:
        reason = str(error)
    return reason, reason


def as_row(found: Measured) -> dict[str, Any]:
    """Return what was found as plain values; of a figure that is not known, KEY_reason says why beside it.

    Bytes and cycles are whole numbers. A figure has KEY_low and KEY_high where it is bounded, and a
    provenance (see `provenance_key`); that of `latency_ms` is named `provenance` alone.
    """
    return {
        "model": str(found.path),
        "device": found.device,
        "error": found.error,
        **_latency(found),
        **_source(found),
        **_file(found),
        **_figure("arena_bytes", found),
        **_figure("energy_mj", found),
        **{key: value for metric in _others(found) for key, value in _figure(metric, found).items()},
        **_known("unsupported_ops", _listed(found.unsupported_ops), _reason("unsupported_ops", found)),
        **_known("agreement", _plain(found.agreement), _reason("agreement", found)),
        "remarks": list(found.remarks),
    }


def _latency(found: Measured) -> dict[str, Any]:
    timed, seen, why = found.timed, found.latency, _reason("latency_ms", found)
    unseen = why if timed is None else "it was estimated: nothing ran"
    return {
        **_known("latency_ms", timed and timed.value, why),
        **_known("latency_ms_low", timed and timed.low, why),
        **_known("latency_ms_high", timed and timed.high, why),
        **_known("latency_ms_min", seen and seen.min_ms, unseen),
        **_known("latency_ms_median", seen and seen.median_ms, unseen),
        **_known("latency_ms_p90", seen and seen.p90_ms, unseen),
        **_known("latency_ms_p99", seen and seen.p99_ms, unseen),
        **_known("provenance", timed and timed.source.provenance, why),
        **_known("verdict", seen and seen.verdict, unseen),
        **_known("runs", seen and seen.runs, unseen),
        **_known(
            "conditions", _plain(seen and seen.conditions), unseen if seen is None else "it was not told"
        ),
    }


def _source(found: Measured) -> dict[str, Any]:
    """Return how the latency came about; None for what was not told or does not apply."""
    names = ("machine", "runtime", "runtime_version", "threads", "delegate")
    return {name: getattr(found.timed.source, name) if found.timed else None for name in names}


def _file(found: Measured) -> dict[str, Any]:
    content, why = found.content, found.error or ""
    if content is None:
        names = ("model_bytes", "compressed_bytes", "precision", "macs", "ops", "inputs", "outputs")
        return {key: value for name in names for key, value in _known(name, None, why).items()}
    graph = content.graph
    uncounted = f"those of {', '.join(graph.uncounted)} cannot be counted from the file"
    return {
        "model_bytes": content.model_bytes,
        "compressed_bytes": content.compressed_bytes,
        **_known("precision", content.precision, "it multiplies nothing"),
        **_known("macs", None if graph.uncounted else graph.macs, uncounted),
        "ops": list(graph.kinds),
        **_specs_row("inputs", content.inputs),
        **_specs_row("outputs", content.outputs),
    }


def _specs_row(key: str, specs: tuple[TensorSpec, ...] | str) -> dict[str, Any]:
    if isinstance(specs, str):
        return _known(key, None, specs)
    return {key: [spec.model_dump(mode="json") for spec in specs]}


def _others(found: Measured) -> list[str]:
    """Return what an estimator told besides: 'npu_cycles', 'flash_bytes', ..."""
    main = ("latency_ms", "latency_median_ms", "latency_p90_ms", "arena_bytes", "energy_mj")
    return [metric for metric in found.figures if metric not in main]


def _figure(metric: str, found: Measured) -> dict[str, Any]:
    told = found.figures.get(metric)
    if told is None:
        return _known(metric, None, _reason(metric, found))
    values = {metric: told.value}
    if told.low is not None and told.high is not None and told.low < told.high:
        values |= {f"{metric}_low": told.low, f"{metric}_high": told.high}
    whole = metric.endswith(("_bytes", "_cycles"))
    shown = {key: round(value) if whole else value for key, value in values.items()}
    return {**shown, provenance_key(metric): told.source.provenance}


def provenance_key(metric: str) -> str:
    """Return what a figure's provenance is called, as in a study's rows: 'arena_provenance'."""
    return f"{metric.rpartition('_')[0]}_provenance"


def _known(key: str, value: Any, reason: str) -> dict[str, Any]:
    return {key: value} if value is not None else {key: None, f"{key}_reason": reason}


def _reason(key: str, found: Measured) -> str:
    return found.reasons.get(key) or found.error or "it was not told"


def _plain(value: Value | None) -> dict[str, Any] | None:
    return None if value is None else value.model_dump(mode="json")


def _listed(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
