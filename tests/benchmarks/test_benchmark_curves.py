"""Fronts over time, and from when on one side is as good as another."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.against_plain_lines import (
    comparison_lines,
    curve_lines,
    fraction,
    share_reached,
    summary_lines,
)
from benchmarks.contenders import EDGESEARCH, PLAIN
from benchmarks.curves import level_at, pareto, reached_at, standings
from benchmarks.judge import goals_of
from benchmarks.values import Case, Comparison, Judgement, Moment, Trial, circumstances

CASE = Case(data="digits", subset=None, epochs=20, seconds=600, seed=0)
GOALS = goals_of(CASE)
places = st.sampled_from([0.1, 0.2, 0.5, 0.9])
levels = st.sampled_from([0.0, 0.1, 0.2, 0.3])


def trial(number, seconds, accuracy, latency_ms=1.0, model_bytes=1000.0, form=False):
    values = {"accuracy": accuracy, "latency_ms": latency_ms, "model_bytes": model_bytes}
    return Trial(number=number, seconds=seconds, values=values, model=Path("m.tflite"), form=form)


def curve(*moments):
    return tuple(Moment(seconds=seconds, hypervolume=level) for seconds, level in moments)


def side(contender, *moments):
    return Judgement(
        contender=contender,
        startup_s=1.0,
        total_s=700.0,
        load=0.5,
        candidates=12 if moments else 0,
        failed=0,
        forms=2 if contender == EDGESEARCH and moments else 0,
        hypervolume=moments[-1][1] if moments else 0.0,
        front=(),
        curve=curve(*moments),
    )


def comparison(*sides, seed=0, case=CASE):
    return Comparison(
        case=case.model_copy(update={"seed": seed}),
        circumstances=circumstances(),
        majority_accuracy=0.1,
        anchor_ms=0.02,
        sides=sides,
    )


PLAIN_SIDE = side(PLAIN, (300, 0.2), (590, 0.4))


def test_a_front_is_told_whenever_it_changes_in_order_of_time():
    better, worse, other = trial(0, 20, 0.9), trial(1, 10, 0.8), trial(2, 30, 0.7, latency_ms=0.5)
    dominated = trial(3, 25, 0.6)
    told = [
        (at, [t.number for t in front]) for at, front in standings([better, worse, other, dominated], GOALS)
    ]
    assert told == [(10, [1]), (20, [0]), (30, [0, 2])]


def test_what_failed_changes_no_front():
    failed = trial(0, 1, 0.9).model_copy(update={"values": None})
    assert list(standings([failed], GOALS)) == []


@given(st.lists(st.tuples(st.floats(0, 9), places, places, places), max_size=14))
def test_the_last_front_is_that_of_all_trials_and_each_one_that_of_what_was_there(figures):
    trials = [trial(i, at, a, t, b) for i, (at, a, t, b) in enumerate(figures)]

    def marks(front):
        return {tuple((t.values or {}).values()) for t in front}

    for at, front in standings(trials, GOALS):
        earlier = [t for t in trials if t.seconds < at]
        until = [t for t in trials if t.seconds <= at]
        assert marks(front) <= marks(pareto(earlier, GOALS)) | marks(until)
    last = list(standings(trials, GOALS))[-1].front if trials else ()
    assert marks(last) == marks(pareto(trials, GOALS))


def test_the_hypervolume_at_a_time_is_that_of_the_last_change_before():
    steps = curve((10, 0.2), (20, 0.1), (20, 0.3))
    assert [level_at(steps, at) for at in (9.9, 10, 19, 20, 99)] == [0.0, 0.2, 0.2, 0.3, 0.3]


def test_a_level_that_is_lost_again_was_not_reached():
    steps = curve((10, 0.5), (20, 0.3), (30, 0.4), (40, 0.6))
    assert reached_at(steps, 0.2) == 10
    assert reached_at(steps, 0.35) == 30
    assert reached_at(steps, 0.5) == 40
    assert reached_at(steps, 0.7) is None


@given(st.lists(st.tuples(st.floats(0, 9), levels), max_size=9, unique_by=lambda step: step[0]), levels)
def test_what_was_reached_holds_from_then_on_and_did_not_just_before(steps, level):
    moments = curve(*sorted(steps))
    since = reached_at(moments, level)
    if since is None:
        assert not moments or moments[-1].hypervolume < level
        return
    assert all(moment.hypervolume >= level for moment in moments if moment.seconds >= since)
    before = [moment for moment in moments if moment.seconds < since]
    assert not before or before[-1].hypervolume < level


def test_the_table_shows_both_sides_at_parts_of_the_time():
    ours = side(EDGESEARCH, (30, 0.1), (41, 0.4), (500, 0.5))
    text = "\n".join(curve_lines(comparison(ours, PLAIN_SIDE)))
    assert "| hypervolume after | 37.5 s | 75 s | 150 s | 300 s | 600 s |" in text
    assert "| edgesearch | 0.100 | 0.400 | 0.400 | 0.400 | 0.500 |" in text
    assert f"| {PLAIN} | 0.000 | 0.000 | 0.000 | 0.200 | 0.400 |" in text


def test_a_case_tells_when_edgesearch_was_as_good_and_forms_are_no_candidates_of_their_own():
    ours = side(EDGESEARCH, (30, 0.1), (40, 0.4), (500, 0.5))
    text = "\n".join(comparison_lines(comparison(ours, PLAIN_SIDE)))
    assert "| edgesearch | 1 s | 12 (2) | 0 | 0 | 0.500 |" in text
    assert "**0.8 times the candidates**" in text
    assert (
        f"reached the {PLAIN}'s final hypervolume after **40 s, 1/15.0 of the time**; 1/14.7 of it " in text
    )


def test_a_case_tells_that_edgesearch_never_was_as_good():
    lines = comparison_lines(comparison(side(EDGESEARCH, (30, 0.1)), PLAIN_SIDE))
    assert any(f"did not reach the {PLAIN}'s final hypervolume" in line for line in lines)


def test_over_seeds_the_median_is_told_beside_the_aim():
    runs = [
        comparison(side(EDGESEARCH, (at, 0.4)), PLAIN_SIDE, seed=seed) for seed, at in enumerate((30, 75, 60))
    ]
    (line,) = [line for line in summary_lines(runs) if line.startswith("- ")]
    assert "1/20.0 (seed 0), 1/8.0 (seed 1), 1/10.0 (seed 2) of the time; median **1/10.0**" in line
    assert (
        "(the aim: at most 1/10); from the launch on 1/19.4 (seed 0), 1/7.9 (seed 1), 1/9.9 (seed 2)" in line
    )
    assert line.endswith("median **1/9.9**.")
    newer = [
        run.model_copy(update={"sides": tuple(s.model_copy(update={"code": "abc"}) for s in run.sides)})
        for run in runs[:1]
    ]
    (line,) = [line for line in summary_lines([*newer, *runs[1:]]) if line.startswith("- ")]
    assert line.endswith("By different versions of the code: abc, unknown.")


def test_a_seed_that_never_was_as_good_counts_as_the_longest():
    runs = [
        comparison(side(EDGESEARCH, (60, level)), PLAIN_SIDE, seed=seed)
        for seed, level in enumerate((0.4, 0.1, 0.2))
    ]
    assert share_reached(runs[1]) == math.inf
    assert "median **not in all**" in "\n".join(summary_lines(runs))


@pytest.mark.parametrize(
    "sides", [(PLAIN_SIDE,), (side(EDGESEARCH), PLAIN_SIDE), (side(EDGESEARCH), side(PLAIN))]
)
def test_without_the_curves_of_both_nothing_is_said_of_time(sides):
    assert share_reached(comparison(*sides)) is None
    assert summary_lines([comparison(*sides)]) == []


def test_a_share_is_told_as_one_of_so_many_parts():
    assert [fraction(share) for share in (0.1, 0.04, 1.0, math.inf)] == [
        "1/10.0",
        "1/25.0",
        "1/1.0",
        "not in all",
    ]
