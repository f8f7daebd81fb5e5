"""How long a study still takes, from what its trials took."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.outcome import Evidence, Failed, Measured
from search.pace import MIXED, WINDOW, Pace
from search.trial import TrialRecord


def paced(prior_s=None, **took):
    pace = Pace(prior_s)
    for state, seconds in took.items():
        for taken in seconds:
            pace.took(state, taken, counts=state != "failed")
    return pace


@pytest.mark.parametrize(
    ("took", "trial_s"),
    [
        ({"measured": [10.0]}, 10),
        ({"measured": [8.0, 12.0]}, 10),
        ({"measured": [10.0] * 5, "infeasible": [1.0] * 5}, 5.5),
        ({"measured": [10.0] * 2, "failed": [5.0] * 2}, 15),  # for two that count two failed as well
        ({"measured": [10.0] * 5, "stopped": [4.0] * 5}, 7),
        ({"measured": [10.0] * 19 + [3600.0]}, 10),  # a straggler
        ({"failed": [5.0]}, None),
        ({}, None),
    ],
)
def test_what_a_trial_takes(took, trial_s):
    assert paced(**took).trial_s == (None if trial_s is None else pytest.approx(trial_s))


@pytest.mark.parametrize(
    ("trials", "at_once", "under_way_s", "left_s"),
    [
        (10, 1, (), 100),
        (10, 2, (), 50),
        (10, 1.5, (), 100 / 1.5),
        (10, 2, (4, 6), 45),
        (10, 2, (40, 60), 40),  # they are late, and their successors take their time all the same
        (1, 8, (), 10),  # one trial has one worker
        (2, 8, (5, 5), 5),
        (0, 2, (), 0),
    ],
)
def test_how_long_it_still_takes(trials, at_once, under_way_s, left_s):
    pace = paced(measured=[10.0] * 4)
    assert pace.seconds_left(trials, at_once, under_way_s) == pytest.approx(left_s)


def test_what_was_known_before_holds_until_something_came_back():
    pace = Pace(prior_s=20.0)
    assert pace.seconds_left(6, 2) == 60
    pace.took("failed", 1.0, counts=False)
    assert pace.seconds_left(6, 2) == 60
    pace.took("measured", 9.0, counts=True)
    assert pace.trial_s == 10


def test_without_anything_known_nothing_is_told():
    assert Pace().seconds_left(6, 2) is None


def test_the_newest_trials_count():
    pace = paced(measured=[100.0] * 500)
    for _ in range(WINDOW):
        pace.took("measured", 1.0, counts=True)
    assert pace.trial_s == pytest.approx(1.0)
    for _ in range(MIXED):
        pace.took("infeasible", 0.1, counts=True)
    assert pace.trial_s == pytest.approx(0.1), "they all end so now"


def test_a_study_that_is_taken_up_knows_its_pace():
    took = Evidence(seconds={"train": 3.0, "measure": 1.0})
    trials = [
        TrialRecord(number=0, state="measured", outcome=Measured(evidence=took)),
        TrialRecord(number=1, state="failed", outcome=Failed(error="killed", fault="infrastructure")),
        TrialRecord(number=2, state="waiting"),
        TrialRecord(number=3, state="measured", outcome=Measured(evidence=took), parent=0),
    ]
    assert Pace.of(trials).seconds_left(10, 2) == pytest.approx(20)
    assert Pace.of([]).seconds_left(10, 2) is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["measured", "infeasible", "stopped", "failed"]), st.floats(0.01, 1e4))
    ),
    st.integers(0, 1000),
    st.floats(0.1, 64),
)
def test_more_trials_never_take_less(took, trials, at_once):
    pace = Pace(1.0)
    for state, seconds in took:
        pace.took(state, seconds, counts=state != "failed")
    fewer, more = pace.seconds_left(trials, at_once), pace.seconds_left(trials + 1, at_once)
    assert 0 <= fewer <= more * (1 + 1e-9)
