"""Small studies, made of the real values, for the tests of this room."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hardware_profiles.measurement import Latency, Measurement, Source
from hardware_profiles.profile import HardwareProfile, this_machine
from hardware_profiles.runners.base import Anchor
from objectives.datasets.spec import DataSpec, DataSummary
from objectives.goals import violations
from objectives.outcome import Evidence, Failed, Infeasible, Measured, Outcome, Stopped
from search.plan import StudyPlan
from search.trial import State, StudyRecord, TrialRecord
from spaces.candidate import Candidate, Compression
from spaces.layers import Conv, Dense, GlobalPool

sys.path.append(str(Path(__file__).parent))  # for search_doubles and executor_contract, beside this file
sys.path.append(str(Path(__file__).parents[1] / "hardware_profiles"))  # for sshd, a board on loopback

SOURCE = Source(
    provenance="measured",
    device="this-machine",
    machine="m-1",
    runtime="litert",
    runtime_version="2.3.0",
    threads=1,
)
MakeTrial = Callable[..., TrialRecord]
MakeStudy = Callable[..., StudyRecord]


def candidate(units: int, **compression: Any) -> Candidate:
    layers = (Conv(filters=8, kernel=(3, 3), stride=(2, 2)), GlobalPool(), Dense(units=units))
    return Candidate(architecture=layers, compression=Compression(**compression))


def latency(milliseconds: float) -> Latency:
    figures = {
        "latency_ms": 1,
        "low_ms": 0.95,
        "high_ms": 1.1,
        "min_ms": 1,
        "median_ms": 1.5,
        "p90_ms": 2,
        "p99_ms": 9,
    }
    return Latency(
        **{name: factor * milliseconds for name, factor in figures.items()},
        anchor_ratio=milliseconds / 0.01,
        runs=300,
        verdict="stable",
        source=SOURCE,
    )


def evidence(values: dict[str, float]) -> Evidence:
    timed = latency(values["latency_ms"]) if "latency_ms" in values else None
    plain = tuple(
        Measurement(metric=m, value=v, source=SOURCE) for m, v in values.items() if m != "latency_ms"
    )
    return Evidence(
        measurements=(*plain, *((timed.measurement,) if timed else ())),
        latency=timed,
        artifact="0" * 64,
        parameters=1234,
    )


def outcome(state: str, seen: Evidence, plan: StudyPlan) -> Outcome | None:
    match state:
        case "measured":
            return Measured(evidence=seen)
        case "infeasible":
            return Infeasible(violations=violations(plan.goals, seen.values), evidence=seen)
        case "stopped":
            return Stopped(epoch=3, reason="accuracy .3 cannot reach .9 at epoch 3", evidence=seen)
        case "failed":
            return Failed(error="the loss became NaN", evidence=seen)
    return None


@pytest.fixture
def make_trial() -> MakeTrial:
    """Make a trial: `make_trial(3, .9, .01, 2000)`; with `units` the same for the same candidate."""

    def make(
        number: int,
        accuracy: float | None = None,
        latency_ms: float | None = None,
        model_bytes: float | None = None,
        *,
        state: State = "measured",
        units: int | None = None,
        plan: StudyPlan | None = None,
        **more: float,
    ) -> TrialRecord:
        named = {"accuracy": accuracy, "latency_ms": latency_ms, "model_bytes": model_bytes, **more}
        values = {metric: float(value) for metric, value in named.items() if value is not None}
        ended = outcome(state, evidence(values), plan or StudyPlan(data=DataSpec(source="digits")))
        made = candidate(number + 1 if units is None else units)
        return TrialRecord(number=number, state=state, candidate=made, outcome=ended)

    return make


@pytest.fixture(scope="session")
def profile() -> HardwareProfile:
    """The profile of the machine that the tests run on."""
    return this_machine()


@pytest.fixture
def make_study(profile: HardwareProfile) -> MakeStudy:
    """Make a study of some trials; `data` and `plan` overwrite fields of the data's summary and the plan."""

    def make(
        trials: Sequence[TrialRecord], *, data: dict[str, Any] | None = None, name: str = "try-1", **plan: Any
    ) -> StudyRecord:
        known = {
            "name": "digits", "digest": "d" * 16, "kind": "image", "input_shape": (8, 8, 1), "dtype": "uint8",
            "classes": tuple("0123456789"), "sizes": (1077, 360, 360),
        }  # fmt: skip
        return StudyRecord(
            name=name,
            plan=StudyPlan(**{"data": "digits", "name": name, **plan}),
            space="convnet",
            data=DataSummary(**(known | (data or {}))),
            profile=profile,
            anchor=Anchor(sha256="0" * 64, constant_ms=0.01, source=SOURCE),
            majority_accuracy=0.1,
            versions={"ai-edge-litert": "2.3.0", "edgesearch": "0.1.0"},
            trials=tuple(trials),
        )

    return make
