"""Outcomes travel as JSON and come back as what they were."""

import pytest
from pydantic import ValidationError

from hardware_profiles.measurement import Latency, Measurement, Source
from objectives.goals import Violation
from objectives.outcome import OUTCOME, Epoch, Evidence, Failed, Infeasible, Measured, Stopped

SOURCE = Source(provenance="measured", device="bench", machine="abc", runtime="litert", threads=1)
LATENCY = Latency(
    latency_ms=0.5,
    low_ms=0.4,
    high_ms=0.6,
    min_ms=0.5,
    median_ms=0.7,
    p90_ms=0.9,
    p99_ms=1.5,
    anchor_ratio=2.0,
    runs=100,
    verdict="stable",
    source=SOURCE,
)
EVIDENCE = Evidence(
    measurements=(
        Measurement(metric="accuracy", value=0.9, low=0.8, high=1.0, source=SOURCE),
        LATENCY.measurement,
    ),
    latency=LATENCY,
    artifact="0" * 64,
    curve=(Epoch(epoch=1, loss=2.0, valid=0.5),),
    parameters=100,
    seconds={"train": 1.5},
)
BROKEN = Violation(metric="model_bytes", limit=10, value=20, excess=0.7)


@pytest.mark.parametrize(
    "outcome",
    [
        Measured(evidence=EVIDENCE),
        Infeasible(violations=(BROKEN,), evidence=EVIDENCE),
        Infeasible(violations=(BROKEN,)),
        Stopped(epoch=3, reason="cannot reach the front", evidence=EVIDENCE),
        Failed(error="NaN"),
        Failed(error="disk full", fault="infrastructure", evidence=EVIDENCE),
    ],
    ids=lambda outcome: outcome.state,
)
def test_json_keeps_an_outcome_and_its_type(outcome):
    again = OUTCOME.validate_json(OUTCOME.dump_json(outcome))
    assert again == outcome
    assert type(again) is type(outcome)
    assert OUTCOME.validate_json(outcome.model_dump_json()) == outcome


def test_the_numbers_are_found_by_name():
    assert EVIDENCE.values == {"accuracy": 0.9, "latency_ms": 0.5}


def test_evidence_is_not_shared_between_outcomes():
    assert Failed(error="a").evidence.seconds is not Failed(error="b").evidence.seconds


@pytest.mark.parametrize(
    "document",
    [
        '{"state": "done"}',
        '{"state": "failed"}',
        '{"state": "failed", "error": "x", "fault": "weather"}',
        '{"state": "infeasible", "violations": [{"metric": "a", "limit": 1, "value": 0, "excess": 0}]}',
        '{"state": "measured", "evidence": {"curve": [{"epoch": 0, "loss": 1, "valid": 1}]}}',
        '{"state": "measured", "evidence": {"curve": [{"epoch": 1, "loss": NaN, "valid": 1}]}}',
    ],
)
def test_what_is_no_outcome_is_refused(document):
    with pytest.raises(ValidationError):
        OUTCOME.validate_json(document)
