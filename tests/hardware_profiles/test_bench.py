"""bench.py as it is sent to a device: alone, on standard input, in an old Python's syntax."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware_profiles.anchor import anchor_path
from hardware_profiles.bench import Subject, random_input
from hardware_profiles.runners.local import BENCH

REQUEST: dict[str, Any] = {
    "anchor": str(anchor_path()),
    "threads": 1,
    "copies": 2,
    "seed": 0,
    "budget_s": 0.02,
    "patience_s": 0.05,
    "time_limit_s": 20,
    "reference_ms": None,
    "quick": 1.25,
    "agree": 0.02,
    "few": 4,
    "many": 8,
}


def ask(**changes: Any) -> tuple[int, dict[str, Any]]:
    """Pipe the script into a bare interpreter, as over SSH, with the request as its argument."""
    done = subprocess.run(
        [sys.executable, "-I", "-", json.dumps(REQUEST | changes)],
        input=BENCH.read_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_answers_one_json_document_with_every_round(small_model: Path) -> None:
    status, answer = ask(models=[str(small_model), str(anchor_path())])
    assert status == 0
    assert answer["runtime"]["name"] == "litert"
    assert answer["peak_rss_bytes"] > 1 << 20
    for model in answer["models"]:
        assert model["runs"] >= len(model["rounds"]) >= 5
        assert model["min_ns"] <= min(middle for _, middle, _ in model["rounds"])
        assert 0 < model["min_ns"] <= model["median_ns"] <= model["p90_ns"] <= model["p99_ns"]
    assert answer["anchor"]["min_ns"] <= min(before for before, _, _ in answer["models"][0]["rounds"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"models": []}, "no model to time"),
        ({"models": ["/nowhere/x.tflite"]}, "/nowhere/x.tflite"),
        ({"models": [str(BENCH)]}, "ValueError"),
        ({}, "models"),
    ],
)
def test_any_error_is_an_answer_and_a_status(changes: dict[str, Any], told: str) -> None:
    status, answer = ask(**changes)
    assert status == 1
    assert set(answer) == {"error"}
    assert told in answer["error"]
    assert "\n" not in answer["error"]


def test_the_alarm_ends_a_child_that_nobody_waits_for(tmp_path: Path) -> None:
    hang = BENCH.read_text().replace('say("timing")', "import time; time.sleep(60)")
    request = json.dumps(REQUEST | {"models": [str(anchor_path())], "time_limit_s": 0})
    done = subprocess.run(
        [sys.executable, "-I", "-", request], input=hang, capture_output=True, text=True, check=False
    )
    assert done.returncode < 0


def test_quantiles_are_of_the_samples_that_were_kept() -> None:
    subject = object.__new__(Subject)
    subject.samples, subject.rounds, subject.runs, subject.fastest_ns = list(range(1, 102)), [], 500, 1
    summary = subject.summary()
    assert (summary["median_ns"], summary["p90_ns"], summary["p99_ns"]) == (51, 91, 100)
    assert summary["runs"] == 500


def test_keeps_to_the_syntax_of_python_3_7() -> None:
    ast.parse(BENCH.read_text(), feature_version=(3, 7))


def test_imports_nothing_of_ours() -> None:
    nodes = list(ast.walk(ast.parse(BENCH.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) == {"numpy"}


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16])
def test_small_integers_get_their_whole_range(kind: type) -> None:
    data = random_input({"name": "x", "shape": (4000,), "dtype": kind}, np.random.RandomState(0))
    bounds = np.iinfo(kind)
    assert data.dtype == kind
    assert data.min() < bounds.min + 0.01 * (bounds.max - bounds.min + 100)
    assert data.max() > bounds.max - 0.01 * (bounds.max - bounds.min + 100)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_floats_are_unit_normal(kind: type) -> None:
    data = random_input({"name": "x", "shape": (4000,), "dtype": kind}, np.random.RandomState(0))
    assert data.dtype == kind
    assert float(data.astype(float).std()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.bool_])
def test_indices_are_0_and_1(kind: type) -> None:
    data = random_input({"name": "x", "shape": (100,), "dtype": kind}, np.random.RandomState(0))
    assert data.dtype == kind
    assert set(data.astype(int)) == {0, 1}


def test_inputs_are_seeded_and_strange_types_refused() -> None:
    detail = {"name": "x", "shape": (8,), "dtype": np.int8}
    first, second = (random_input(detail, np.random.RandomState(7)) for _ in range(2))
    assert (first == second).all()
    with pytest.raises(ValueError, match="input 'x' has type complex64"):
        random_input({"name": "x", "shape": (8,), "dtype": np.complex64}, np.random.RandomState(0))
