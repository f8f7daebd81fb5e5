"""What is asked of aboard/bench.py, here or on a board, and the reading of its answer: shared by runners."""

import base64
import getpass
import json
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import Field, ValidationError

from hardware_profiles.anchor import anchor_sha256
from hardware_profiles.errors import DeviceError, MeasuringFailed, Unreachable
from hardware_profiles.machine import ARM_CORES
from hardware_profiles.measurement import Conditions, Latency, Positive, Source
from hardware_profiles.runners.base import Anchor, Array
from hardware_profiles.runners.child import LARGEST_ANSWER, Ended, last_line, printable
from hardware_profiles.statistics import AGREE, QUICK, Summary, Timing, latency
from hardware_profiles.value import Value

COPIES = 3
FEW, MANY = 12, 60
Kind = TypeVar("Kind", bound=Value)
TOO_OLD = re.compile(r"Didn't find op for builtin opcode|[Oo]ld(er)? TFLite binary")
REMEDIES = {
    "python": "install a newer one there",
    "numpy": "`{pip} install numpy ai-edge-litert` brings what is missing",
    "runtime": "`{pip} install ai-edge-litert` brings one",
    "delegate": "install it there, or give its whole path",
}
"""Ways out, by the kind of reason, where no model is at fault."""


class FoundRuntime(Value):
    """The runtime that was found there."""

    name: str
    version: str | None


class Facts(Value):
    """What the machine told of itself."""

    machine: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    processor: str
    governor: str | None
    clock_mhz: Positive | None
    throttling: tuple[str, ...]

    @property
    def conditions(self) -> Conditions:
        """The facts that a latency keeps."""
        return Conditions(**self.model_dump(exclude={"machine"}))


class Refused(Value):
    """Why there is no answer; `kind` where it is not what a runtime said of a model."""

    error: str
    kind: str | None = None


class Timed(Value):
    """What was seen of the anchor and of each model."""

    runtime: FoundRuntime
    board: Facts
    peak_rss_bytes: int | None
    anchor: Summary
    models: tuple[Timing, ...]


class Tensor(Value):
    """An array as it is sent: type, shape, and its bytes (C order, little-endian) in base64."""

    dtype: Literal[
        "float16", "float32", "float64", "bool", "int8", "uint8",
        "int16", "uint16", "int32", "uint32", "int64", "uint64",
    ]  # fmt: skip
    shape: tuple[Annotated[int, Field(ge=0)], ...]
    data: str

    @classmethod
    def of(cls, array: Array) -> "Tensor":
        """Write an array. Raises ValidationError for a type that no tensor has."""
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        data = base64.b64encode(little.tobytes()).decode()
        return cls.model_validate({"dtype": array.dtype.name, "shape": array.shape, "data": data})

    @property
    def array(self) -> Array:
        """The array. Raises ValueError unless there are as many bytes as type and shape say, all finite."""
        kind = np.dtype(self.dtype)
        found = np.frombuffer(base64.b64decode(self.data, validate=True), kind.newbyteorder("<"))
        array: Array = found.astype(kind).reshape(self.shape)
        if kind.kind == "f" and not np.isfinite(array).all():
            raise ValueError("it has values that are not finite")
        return array


class Computed(Value):
    """The outputs of the first samples, at least one, as many as time allowed."""

    runtime: FoundRuntime
    outputs: Annotated[tuple[Tensor, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Place:
    """How a machine is named to its user, and how they install a Python package there."""

    name: str
    pip: str


@dataclass(frozen=True)
class Terms:
    """How a runner measures: on which device, with how many threads and which delegate, and for how long.

    `budget_s` is the time that timing takes on an ordinary machine; a quiet one needs less, and on a
    busy one a quick moment is waited for until `patience_s`. What is not done after `timeout_s` is ended.
    `wait_s` is how long others who measure on the same machine are waited for, `who` what they are told.
    """

    device: str
    threads: int
    budget_s: float
    patience_s: float
    timeout_s: float
    wait_s: float
    seed: int
    delegate: str | None
    who: str

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise DeviceError(f"a runner needs 1 thread or more, got {self.threads}")
        if not 0 < self.budget_s <= self.patience_s < self.timeout_s:
            raise DeviceError(
                "a runner's times must be 0 < budget_s <= patience_s < timeout_s, "
                f"got {self.budget_s}, {self.patience_s}, {self.timeout_s}"
            )
        if self.wait_s < 0:
            raise DeviceError(f"a runner waits 0 s or more for others, got {self.wait_s}")

    def request(self, do: str, models: Sequence[dict[str, str]], **more: object) -> dict[str, Any]:
        """Return what every request has. A model has a `path` there, or its `content` in base64."""
        return {
            "do": do,
            "models": list(models),
            "threads": self.threads,
            "delegate": self.delegate,
            "time_limit_s": self.timeout_s,
            "wait_s": self.wait_s,
            "who": self.who,
        } | more

    def timing(
        self, models: Sequence[dict[str, str]], anchor: dict[str, str], constant_ms: float | None
    ) -> dict[str, Any]:
        """Return the request for durations; `constant_ms` is what the anchor is known to take."""
        return self.request(
            "measure",
            models,
            anchor=anchor,
            arm_cores={str(part): name for part, name in ARM_CORES.items()},
            copies=COPIES,
            seed=self.seed,
            budget_s=self.budget_s,
            patience_s=self.patience_s,
            reference_ms=constant_ms,
            quick=QUICK,
            agree=AGREE,
            few=FEW,
            many=MANY,
        )

    def computing(self, model: dict[str, str], inputs: Sequence[Array]) -> dict[str, Any]:
        """Return the request for outputs, of as many samples as half the time limit allows."""
        sent = [Tensor.of(array).model_dump() for array in inputs]
        return self.request("compute", [model], inputs=sent, patience_s=self.timeout_s / 2)

    def source(self, runtime: FoundRuntime, machine: str) -> Source:
        """Return where a figure comes from."""
        return Source(
            provenance="measured",
            device=self.device,
            machine=machine,
            runtime=runtime.name,
            runtime_version=runtime.version,
            threads=self.threads,
            delegate=self.delegate,
        )


def judged(timed: Timed, anchor: Anchor | None, source: Source) -> tuple[Latency, ...]:
    """Judge what was seen. Raises DeviceError if the anchor was calibrated in other circumstances."""
    if anchor is not None:
        same = ("device", "machine", "runtime", "runtime_version", "threads", "delegate")
        check(anchor, **{field: getattr(source, field) for field in same})
    constant_ms = timed.anchor.min_ns / 1e6 if anchor is None else anchor.constant_ms
    conditions = timed.board.conditions
    return tuple(
        latency(model, timed.anchor.min_ns, constant_ms, source, conditions) for model in timed.models
    )


def check(anchor: Anchor, **here: object) -> None:
    """Raise DeviceError if the anchor was calibrated with another file or in other circumstances."""
    then = {field: getattr(anchor.source, field) for field in here} | {"file": anchor.sha256}
    for field, value in {"file": anchor_sha256(), **here}.items():
        if then[field] != value:
            raise DeviceError(
                f"the anchor was calibrated with {field} '{then[field]}', but here it is '{value}': "
                "calibrate this device anew"
            )


def read(kind: type[Kind], ended: Ended, models: Sequence[Path], place: Place) -> Kind:
    """Read an answer, the last line of what was printed.

    Raises MeasuringFailed where it is the model's fault that there is none, Unreachable where somebody else
    measures there, DeviceError where nothing can be measured there at all.
    """
    if ended.flooded:
        raise blame(ended, models, f"gave an answer of more than {LARGEST_ANSWER} bytes")
    lines = ended.output.strip().splitlines()  # before it may stand what a login shell prints
    try:
        document = json.loads(lines[-1])
        if isinstance(document, dict) and "error" in document:
            raise refusal(Refused.model_validate(document), ended, models, place)
        answer = kind.model_validate(document)
    except (IndexError, json.JSONDecodeError, ValidationError) as error:
        told = last_line(ended.noise) or f"{len(ended.output)} characters on standard output"
        raise blame(
            ended, models, f"gave no answer that can be read (status {ended.status}): {told}"
        ) from error
    if isinstance(answer, Timed) and len(answer.models) != len(models):
        raise blame(ended, models, f"gave {len(answer.models)} answers for {len(models)} models")
    return answer


def refusal(refused: Refused, ended: Ended, models: Sequence[Path], place: Place) -> DeviceError:
    """Return the error for an answer that is a reason why there is none."""
    reason = printable(refused.error)
    if refused.kind == "busy":
        return Unreachable(f"{place.name} is taken: {reason}")
    if refused.kind in REMEDIES:
        return DeviceError(
            f"{place.name} cannot measure: {reason}; {REMEDIES[refused.kind].format(pip=place.pip)}"
        )
    if refused.kind is not None:
        return blame(ended, models, reason)
    if TOO_OLD.search(reason):
        reason += f"; its runtime is too old for this model: `{place.pip} install --upgrade ai-edge-litert`"
    return blame(ended, models, f"cannot be measured on {place.name}: {reason}")


def blame(ended: Ended, models: Sequence[Path], what: str) -> DeviceError:
    """Return the error for what went wrong, by what the process last said that it was at.

    While a model was loaded or run, or the models were timed, it is theirs: MeasuringFailed. Before that,
    or at the anchor, the device is not able to measure at all: DeviceError.
    """
    if ended.stage in ("timing", "computing"):
        return MeasuringFailed(f"{', '.join(map(str, models))} {what}")
    found = re.fullmatch(r"loading model (\d{1,6})", ended.stage)
    if found and int(found[1]) < len(models):
        return MeasuringFailed(f"'{models[int(found[1])]}' {what}")
    return DeviceError(f"the measuring process, before it came to any model, {what}")


def me() -> str:
    """Return user and machine, for others who wait for us."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # no name for this user id; KeyError until Python 3.12
        user = "somebody"
    return f"{user}@{platform.node()}"
