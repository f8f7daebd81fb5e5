"""Rows and tables: every key that a program relies on, and text that a person reads."""

import io
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from search.tables import (
    describe,
    flat_parameters,
    front_table,
    human_latency,
    row,
    rows,
    trials_table,
)  # fmt: skip
from search.trial import StudyRecord, TrialRecord
from search.units import human_bytes, human_energy, human_figure, human_ms, parse_bytes, parse_ms
from spaces.candidate import Candidate, Compression
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Residual

MakeTrial = Callable[..., TrialRecord]
MakeStudy = Callable[..., StudyRecord]


def _text(table: Table) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(table)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_an_architecture_in_short() -> None:
    layers = (
        Conv(filters=16, kernel=(3, 3)),
        DepthwiseSeparable(filters=32, kernel=(3, 3), stride=(2, 2)),
        Residual(filters=8, kernel=(5, 1), stride=(2, 1)),
        GlobalPool(),
        Dense(units=32),
    )
    assert describe(layers) == "conv16k3 · dws32k3s2 · res8k5x1s2x1 · pool · dense32"
    assert describe((Flatten(),)) == "flat"


def test_parameters_are_flat_and_complete() -> None:
    made = Candidate(architecture=(Flatten(),), compression=Compression(sparsity=0.5, precision="int8"))
    flat = flat_parameters(made)
    assert flat["architecture"] == "flat"
    assert flat["compression.sparsity"] == 0.5
    assert flat["compression.precision"] == "int8"
    assert {f"training.{name}" for name in type(made.training).model_fields} <= flat.keys()
    assert not any(isinstance(value, dict | list) for value in flat.values())


def test_a_row_of_a_measured_trial(make_trial: MakeTrial) -> None:
    cells = row(make_trial(3, 0.9, 0.02, 2000, compressed_bytes=1500, sparsity_reached=0.5))
    expected = {
        "trial": 3, "state": "measured", "accuracy": 0.9, "latency_ms": 0.02, "model_bytes": 2000.0,
        "compressed_bytes": 1500.0, "sparsity_reached": 0.5, "provenance": "measured", "machine": "m-1",
        "precision": "float32", "parameters": 1234, "reason": None,
        "architecture": "conv8k3s2 · pool · dense4", "training.optimizer": "adam",
    }  # fmt: skip
    assert {key: cells[key] for key in expected} == expected
    spread = [cells[f"latency_{which}_ms"] for which in ("low", "high", "median", "p90")]
    assert spread == pytest.approx([0.019, 0.022, 0.03, 0.04])


@pytest.mark.parametrize("state", ["infeasible", "stopped", "failed", "running", "waiting"])
def test_every_state_has_the_same_leading_keys_and_is_json(make_trial: MakeTrial, state: str) -> None:
    cells = row(make_trial(1, state=state))
    measured = row(make_trial(1, 0.9, 0.1, 100))
    assert list(cells) == list(measured)
    assert cells["accuracy"] is None and cells["latency_ms"] is None and cells["model_bytes"] is None
    assert json.loads(json.dumps(cells, allow_nan=False)) == cells


def test_rows_keep_the_order_and_a_waiting_trial_needs_no_candidate(make_trial: MakeTrial) -> None:
    listed = rows([make_trial(2, 0.5, 1, 1), TrialRecord(number=0, state="waiting")])
    assert [cells["trial"] for cells in listed] == [2, 0]
    assert listed[1]["precision"] is None


def test_a_reason_is_told(make_trial: MakeTrial) -> None:
    assert row(make_trial(1, state="failed"))["reason"] == "the loss became NaN"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0.0031416, "3.14 us"),
        (0.9996, "1.00 ms"),
        (12.34, "12.3 ms"),
        (999.4, "999 ms"),
        (1500, "1.50 s"),
        (2e6, "2000 s"),
    ],
)
def test_times_for_people(milliseconds: float, text: str) -> None:
    assert human_ms(milliseconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (65_536, "64.0 KiB"), (1_572_864, "1.50 MiB")],
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert human_bytes(count) == text


@given(st.floats(1e-4, 1e5))
def test_times_read_back_within_three_digits(milliseconds: float) -> None:
    assert parse_ms(human_ms(milliseconds).replace(" ", "")) == pytest.approx(milliseconds, rel=0.006)


@given(st.integers(1, 10**9))
def test_sizes_read_back(count: int) -> None:
    assert parse_bytes(human_bytes(count).replace(" ", "")) == pytest.approx(count, rel=0.06)


def test_a_latency_shows_its_bounds(make_trial: MakeTrial) -> None:
    assert human_latency(make_trial(0, 0.9, 0.02, 1)) == "20.0 us (19.0–22.0)"
    assert human_latency(make_trial(0, 0.9)) == "–"


def test_the_front_table_names_units_provenance_and_architecture(
    make_trial: MakeTrial, make_study: MakeStudy
) -> None:
    records = [make_trial(0, 0.9123, 0.02, 65_536)]
    text = _text(front_table(records, make_study(records)))
    for part in (
        "0.9123",
        "20.0 us (19.0–22.0)",
        "latency (measured)",
        "64.0 KiB",
        "float32",
        "conv8k3s2 · pool · dense1",
    ):
        assert part in text


def test_mixed_provenances_stand_in_each_cell(make_trial: MakeTrial, make_study: MakeStudy) -> None:
    first, second = make_trial(0, 0.9, 0.02, 100), make_trial(1, 0.8, 0.01, 90)
    latency = second.latency
    assert latency is not None and second.outcome is not None
    guessed = latency.model_copy(
        update={"source": latency.source.model_copy(update={"provenance": "estimated"})}
    )
    seen = second.evidence.model_copy(update={"latency": guessed})
    second = second.model_copy(update={"outcome": second.outcome.model_copy(update={"evidence": seen})})
    text = _text(front_table([first, second], make_study([first, second])))
    assert "latency (estimated, measured)" in text
    assert "(9.50–11.0) estimated" in text


def test_the_trials_table_tells_reasons_and_takes_no_markup_from_outside(
    make_trial: MakeTrial, make_study: MakeStudy
) -> None:
    records = [
        make_trial(0, 0.9, 0.02, 100),
        make_trial(1, state="failed"),
        TrialRecord(number=2, state="running"),
    ]
    outcome = records[1].outcome
    assert outcome is not None
    shout = outcome.model_copy(update={"error": "[red]no[/red] layer"})
    records[1] = records[1].model_copy(update={"outcome": shout})
    text = _text(trials_table(records, make_study(records, name="try-2", metric="mine:[b]score")))
    for part in ("[red]no[/red] layer", "mine:[b]score", "running", "Trials of try-2"):
        assert part in text


def test_memory_energy_and_own_objectives_are_figures_too(
    make_trial: MakeTrial, make_study: MakeStudy
) -> None:
    own = {"mine:Objective": 12.5}
    record = make_trial(0, 0.9, 0.02, 100, arena_bytes=2048, energy_mj=0.08, **own)
    cells = row(record)
    assert (cells["arena_bytes"], cells["energy_mj"], cells["mine:Objective"]) == (2048, 0.08, 12.5)
    assert cells["arena_provenance"] == cells["energy_provenance"] == "measured"
    plain = row(make_trial(1, 0.9, 0.02, 100))
    assert plain["arena_bytes"] is plain["arena_provenance"] is plain["energy_mj"] is None
    objectives = ["accuracy", "arena_bytes", "energy_mj", "mine:Objective"]
    goals = {"objectives": objectives, "own_directions": {"mine:Objective": "maximize"}}
    text = _text(front_table([record], make_study([record], **goals)))
    for part in ("arena", "2.0 KiB", "energy", "80.0 uJ", "mine:Objective", "12.5"):
        assert part in text
    text = _text(front_table([record], make_study([record])))
    assert "arena" not in text and "energy" not in text and "mine" not in text


@pytest.mark.parametrize(
    ("millijoules", "text"),
    [(1e-5, "10.0 nJ"), (0.000999999, "1.00 uJ"), (0.25, "250 uJ"), (3.14159, "3.14 mJ"), (2500, "2.50 J")],
)
def test_energies_are_written_to_three_digits(millijoules: float, text: str) -> None:
    assert human_energy(millijoules) == human_figure("energy_mj", millijoules) == text
