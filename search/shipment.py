"""Everything that goes into an exported folder, as one value, and what `model.json` says of it."""

from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from hardware_profiles.measurement import Latency, Measurement
from objectives.normalise import Normaliser
from search.confirmation import Confirmation
from search.errors import StudyError
from search.front import figures
from search.tables import describe_compression, describe_network
from search.trial import StudyRecord, TrialRecord
from spaces.candidate import Candidate
from spaces.value import Value

FORMAT = "edgesearch-export"
"""What `model.json` calls itself: by it an earlier export is known."""


class TensorSpec(Value):
    """An input or output of a `.tflite`: real value = (stored - zero_point) * scale where it is quantized."""

    name: str
    shape: tuple[Annotated[int, Field(ge=1)], ...]
    dtype: str
    scale: Annotated[float, Field(gt=0)] | None = None
    zero_point: int | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = {self.scale is not None, self.zero_point is not None}
        may = {"float32": {False}, "int8": {True}, "int16": {True}}.get(self.dtype, {True, False})
        if len(given) > 1 or not given <= may:
            raise ValueError(
                f"a quantized tensor has scale and zero point, a float32 one neither: '{self.name}' is "
                f"{self.dtype}"
            )
        return self


class HeldOut(Value):
    """The study's metric on the test set, with its 95 % interval."""

    value: float
    low: float
    high: float
    samples: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"an interval holds its value, got {self.low:g} to {self.high:g} around {self.value:g}"
            )
        return self


def tensor_specs(tflite: bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Read the inputs and outputs of a `.tflite`. Raises StudyError where the runtime cannot load it."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=tflite, num_threads=1)
        sides = interpreter.get_input_details(), interpreter.get_output_details()
    except (ValueError, RuntimeError) as error:
        raise StudyError(
            f"the file is no .tflite that LiteRT can load: {str(error).splitlines()[0]}"
        ) from error
    inputs, outputs = (tuple(_spec(detail) for detail in side) for side in sides)
    return inputs, outputs


def _spec(detail: dict[str, Any]) -> TensorSpec:
    dtype, (scale, zero_point) = np.dtype(detail["dtype"]).name, detail["quantization"]
    shape = tuple(map(int, detail["shape"]))
    if not scale:
        return TensorSpec(name=detail["name"], shape=shape, dtype=dtype)
    return TensorSpec(
        name=detail["name"], shape=shape, dtype=dtype, scale=float(scale), zero_point=int(zero_point)
    )


@dataclass(frozen=True)
class Shipment:
    """A measured trial with all that shipping it needs.

    `sample` is one raw sample, (*input_shape), to try the model with, and `sample_class` its true
    class. `held_out` is the metric of this very file on the test set. `normaliser` is what the file
    carries inside (float32 input) or the caller applies (int8 input); a network that was brought has none.

    Raises StudyError where the parts do not belong together.
    """

    study: StudyRecord
    record: TrialRecord
    tflite: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    normaliser: Normaliser | None
    held_out: HeldOut
    sample: np.ndarray[Any, np.dtype[Any]]
    sample_class: str | None = None

    def __post_init__(self) -> None:
        data, number = self.study.data, self.record.number
        if self.record.state != "measured" or self.record.candidate is None:
            raise StudyError(
                f"only a measured trial can be exported, but trial {number} is {self.record.state}"
            )
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            raise StudyError(
                f"a model has one input and one output, but trial {number} has {len(self.inputs)} and "
                f"{len(self.outputs)}"
            )
        if _long(self.inputs[0].shape) != _long(data.input_shape) or self.sample.shape != data.input_shape:
            raise StudyError(
                f"samples have the shape {data.input_shape}, but the file of trial {number} takes "
                f"{self.inputs[0].shape} and the sample has {self.sample.shape}"
            )
        if self.normaliser is not None and len(self.normaliser.offset) != data.input_shape[-1]:
            raise StudyError(
                f"a normaliser has a value per column or channel, {data.input_shape[-1]}, got "
                f"{len(self.normaliser.offset)}"
            )
        if data.target_shape is None and self.outputs[0].shape != (1, len(data.classes)):
            raise StudyError(f"{len(data.classes)} classes need as many scores, got {self.outputs[0].shape}")

    @property
    def latency(self) -> Latency | None:
        """The latency in full, None where it was not measured."""
        return self.record.latency

    @property
    def timed(self) -> Measurement | None:
        """The latency's ranked or estimated figure, None where nothing is known of it."""
        return self.record.measurement("latency_ms")

    @property
    def candidate(self) -> Candidate:
        """What the trial tried."""
        assert self.record.candidate is not None  # seen to in __post_init__
        return self.record.candidate

    @property
    def confirmation(self) -> Confirmation | None:
        """What looking twice at this file showed, None where nobody did."""
        return self.study.confirmation(self.record)

    @property
    def not_needed(self) -> tuple[str, ...]:
        """The columns of a table or the channels of a series that the model does not look at, by name."""
        used, data = self.record.evidence.inputs_used, self.study.data
        if used is None:
            return ()
        named = [c.name for c in data.columns or ()] or [f"channel {i}" for i in range(data.input_shape[-1])]
        return tuple(name for i, name in enumerate(named) if i not in used)

    @property
    def applied_by(self) -> str:
        """Who normalises: the `model` where it takes float32, else the `caller`."""
        return "model" if self.inputs[0].dtype == "float32" else "caller"


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes that are longer than 1: a network that was brought may leave out the others."""
    return tuple(length for length in shape if length != 1)


def manifest(shipment: Shipment) -> dict[str, Any]:
    """Return the content of `model.json`: plain values, units in the names."""
    study, record, data = shipment.study, shipment.record, shipment.study.data
    return {
        "format": FORMAT,
        "study": study.name,
        "trial": record.number,
        "task": study.task,
        "device": study.profile.name,
        "machine": shipment.timed.source.machine if shipment.timed else None,
        "profile": study.profile.model_dump(mode="json"),
        "accuracy": _accuracy(shipment),
        "latency": _latency(shipment),
        "confirmation": _confirmation(shipment),
        "memory": _other(shipment, "arena_bytes"),
        "energy": _other(shipment, "energy_mj"),
        "bytes": {
            "model_bytes": len(shipment.tflite),
            "compressed_bytes": _whole(figures(record).get("compressed_bytes")),
        },
        "sha256": record.evidence.artifact,
        "inputs": [spec.model_dump(mode="json") for spec in shipment.inputs],
        "outputs": [spec.model_dump(mode="json") for spec in shipment.outputs],
        "normalisation": _normalisation(shipment),
        "scores": _scores(study),
        "reduction": _reduction(shipment),
        "kind": data.kind,
        "dtype": data.dtype,
        "columns": [c.model_dump(mode="json") for c in data.columns] if data.columns else None,
        "classes": list(data.classes),
        "sample": {"file": "sample.npy", "class": shipment.sample_class},
        "parameters": {
            "count": record.evidence.parameters,
            "architecture": describe_network(shipment.candidate),
            "compression": describe_compression(shipment.candidate.compression),
            "sparsity_reached": figures(record).get("sparsity_reached"),
            "candidate": shipment.candidate.model_dump(mode="json"),
            "digest": shipment.candidate.digest,
        },
        "data": {"name": data.name, "digest": data.digest, "sizes": list(data.sizes), "folds": data.folds},
        "seeds": {"study": study.plan.seed, "split": study.plan.data.split_seed},
        "versions": dict(study.versions),
    }


def _latency(shipment: Shipment) -> dict[str, Any]:
    """Return all that is known of the latency: measured in full, else the estimate with its bounds."""
    threads = {"threads": shipment.study.plan.threads}
    if shipment.latency is not None:
        source = shipment.latency.source
        return {
            **shipment.latency.model_dump(mode="json", exclude={"source"}),
            **source.model_dump(mode="json"),
        }
    if shipment.timed is None:
        return {"latency_ms": None, "provenance": "not known", **threads}
    timed = shipment.timed
    known = {"latency_ms": timed.value, "low_ms": timed.low, "high_ms": timed.high}
    return {**known, **timed.source.model_dump(mode="json"), **threads}


def _confirmation(shipment: Shipment) -> dict[str, Any] | None:
    known = shipment.confirmation
    return None if known is None else known.model_dump(mode="json", exclude={"trial", "artifact"})


def _other(shipment: Shipment, metric: str) -> dict[str, Any] | None:
    found = shipment.record.measurement(metric)
    if found is None:
        return None
    return {metric: found.value, "low": found.low, "high": found.high, **found.source.model_dump(mode="json")}


def _scores(study: StudyRecord) -> str:
    """Say what the numbers are that the file gives."""
    if study.data.target_shape is not None:
        return "values"
    return "probabilities" if study.model and study.model.probabilities else "logits"


def _normalisation(shipment: Shipment) -> dict[str, Any]:
    normaliser = shipment.normaliser
    if normaliser is None:
        return {"applied_by": "model", "rule": "the values that the network was trained on"}
    return {
        "applied_by": shipment.applied_by,
        "rule": "z = clip((x - offset) * scale, -clip, clip), by the last axis",
        "offset": list(normaliser.offset),
        "scale": list(normaliser.scale),
        "clip": normaliser.clip,
    }


def _reduction(shipment: Shipment) -> dict[str, Any] | None:
    """Say what the file does to its input before the network; the caller gives all of it all the same."""
    reduction, used = shipment.candidate.reduction, shipment.record.evidence.inputs_used
    if reduction is None:
        return None
    return {
        **reduction.model_dump(mode="json"),
        "used": None if used is None else list(used),
        "not_needed": list(shipment.not_needed),
    }


def _accuracy(shipment: Shipment) -> dict[str, Any]:
    study, measured = shipment.study, shipment.record.measurement("accuracy")
    return {
        "metric": study.plan.metric,
        "direction": study.plan.metric_direction,
        "test": {**shipment.held_out.model_dump(), "confidence": 0.95},
        "validation": {
            "value": measured.value if measured else None,
            "low": measured.low if measured else None,
            "high": measured.high if measured else None,
            "samples": study.data.sizes[1],
        },
    }


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
