"""The judge: fronts by what a side claims, figures by what its files do."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.curves import pareto
from benchmarks.judge import Judge, accuracy_of, goals_of, runner
from benchmarks.values import Case, Run, Trial
from hardware_profiles.anchor import anchor_path, calibrate
from objectives.datasets.prepare import open_data, prepare
from objectives.datasets.spec import DataSpec
from search.hypervolume import hypervolume

CASE = Case(data="digits", subset=None, epochs=1, seconds=60, seed=0)
GOALS = goals_of(CASE)
X = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.uint8)
Y = np.array([0, 1, 2, 3])


def trial(number, seconds=1.0, accuracy=0.9, latency_ms=1.0, model_bytes=1000.0, model="m.tflite"):
    values = {"accuracy": accuracy, "latency_ms": latency_ms, "model_bytes": model_bytes}
    return Trial(number=number, seconds=seconds, values=values, model=Path(model))


def failed(number, seconds=1.0):
    return Trial(number=number, seconds=seconds, values=None, model=Path("none.tflite"))


def run(*trials, divisor=1.0):
    return Run(startup_s=3.0, total_s=9.0, load=0.5, divisor=divisor, trials=trials)


@pytest.fixture(scope="module")
def anchor():
    return calibrate(runner(), processes=1)


@pytest.fixture
def folder(tmp_path, identity_model):
    (tmp_path / "m.tflite").write_bytes(identity_model)
    return tmp_path


def test_accuracy_is_the_share_of_samples_whose_highest_score_is_their_class(folder):
    model = folder / "m.tflite"
    assert accuracy_of(model, X, Y, divisor=1.0) == 1.0
    assert accuracy_of(model, X, np.array([0, 1, 3, 2]), divisor=1.0) == 0.5


def test_samples_are_divided_as_the_side_divides_them(folder):
    # A quarter is less than the head start of class 0, so every sample goes to it.
    assert accuracy_of(folder / "m.tflite", X, Y, divisor=4.0) == 0.25


def test_a_file_that_takes_int8_is_refused():
    x = np.zeros((1, 28, 28, 3), np.uint8)
    with pytest.raises(ValueError, match=r"feeds float32, but 'anchor.tflite' takes int8"):
        accuracy_of(anchor_path(), x, np.zeros(1), divisor=1.0)


places = st.sampled_from([0.1, 0.2, 0.5, 0.9])


@given(st.lists(st.tuples(places, places, places), max_size=12))
def test_the_front_is_what_nothing_else_dominates(figures):
    trials = [trial(i, accuracy=a, latency_ms=t, model_bytes=b) for i, (a, t, b) in enumerate(figures)]

    def losses(one):
        return (-one.values["accuracy"], one.values["latency_ms"], one.values["model_bytes"])

    def dominated(one):
        return any(
            losses(other) != losses(one)
            and all(mine >= theirs for mine, theirs in zip(losses(one), losses(other), strict=True))
            for other in trials
        )

    assert {losses(t) for t in pareto(trials, GOALS)} == {losses(t) for t in trials if not dominated(t)}


def test_failed_trials_are_on_no_front():
    assert pareto([failed(0)], GOALS) == ()
    assert [t.number for t in pareto([failed(0), trial(1)], GOALS)] == [1]


def test_what_was_done_too_late_does_not_count(folder, anchor):
    judge = Judge(X, Y, 0.25, anchor, GOALS)
    done = run(trial(0), failed(1), trial(2, seconds=61.0, accuracy=1.0), failed(3, seconds=61.0))
    judged = judge.judge("plain", done, 60.0, folder)
    assert (judged.candidates, judged.failed) == (1, 1)
    assert [point.trial for point in judged.front] == [0]
    assert (judged.startup_s, judged.total_s, judged.load) == (3.0, 9.0, 0.5)


def test_a_claim_chooses_the_front_and_the_file_decides_what_it_is_worth(folder, anchor):
    judge = Judge(X, np.array([0, 1, 3, 2]), 0.25, anchor, GOALS)
    boasting, modest = trial(0, accuracy=1.0, latency_ms=0.5), trial(1, accuracy=0.6)
    judged = judge.judge("plain", run(boasting, modest), 60.0, folder)
    (point,) = judged.front
    assert point.claimed["accuracy"] == 1.0
    assert point.judged["accuracy"] == 0.5
    assert point.judged["model_bytes"] == (folder / "m.tflite").stat().st_size
    assert 0 < point.judged["latency_ms"] < 0.5
    assert judged.hypervolume == hypervolume([point.judged], GOALS, 0.25) > 0


def test_what_left_the_front_again_counts_for_the_time_that_it_was_there(folder, anchor):
    early = trial(0, seconds=5.0, accuracy=0.6)
    late = trial(1, seconds=20.0, accuracy=1.0).model_copy(update={"form": True})
    judged = Judge(X, Y, 0.25, anchor, GOALS).judge("edgesearch", run(late, early), 60.0, folder)
    assert [moment.seconds for moment in judged.curve] == [5.0, 20.0]
    assert [point.trial for point in judged.front] == [1]
    assert judged.hypervolume == judged.curve[-1].hypervolume
    assert judged.curve[0].hypervolume > 0
    assert (judged.candidates, judged.forms) == (2, 1)


def test_a_limit_is_where_the_scale_of_the_bytes_ends(folder, anchor):
    size = (folder / "m.tflite").stat().st_size
    worth = [
        Judge(X, Y, 0.25, anchor, goals_of(CASE.model_copy(update={"max_model_bytes": limit})))
        .judge("edgesearch", run(trial(0)), 60.0, folder)
        .hypervolume
        for limit in (size, 100 * size)
    ]
    assert worth[0] == 0.0 < worth[1]


def test_a_side_without_a_candidate_has_no_hypervolume(folder, anchor):
    judged = Judge(X, Y, 0.25, anchor, GOALS).judge("plain", run(failed(0)), 60.0, folder)
    assert (judged.candidates, judged.hypervolume, judged.front, judged.curve) == (0, 0.0, (), ())


def test_the_judge_looks_at_the_test_set_alone(tmp_path, anchor):
    judge = Judge.of(CASE, tmp_path, anchor)
    data = open_data(tmp_path, prepare(DataSpec(source="digits"), tmp_path).digest)
    x, y = data.test()
    assert np.array_equal(judge.x, x) and np.array_equal(judge.y, y)
    commonest = np.bincount(data.y_dev[data.folds[0].train]).argmax()
    assert judge.majority_accuracy == pytest.approx(np.mean(y == commonest))
