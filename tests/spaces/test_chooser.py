"""Ranges, the random chooser, and the joint between a space and whatever chooses."""

import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from spaces.chooser import (
    Choices,
    Integers,
    Pick,
    RandomChooser,
    Range,
    Reals,
    Recorder,
    family,
    range_named,
    single,
)
from spaces.errors import SpaceError

RANGE = TypeAdapter(Range)
FINITE = st.floats(-1e6, 1e6)


@st.composite
def integers(draw):
    low = draw(st.integers(-1000, 1000))
    high = low + draw(st.integers(0, 500))
    log = draw(st.booleans()) and low >= 1
    return Integers(low=low, high=high, step=1 if log else draw(st.integers(1, 50)), log=log)


@st.composite
def reals(draw):
    low, high = sorted((draw(FINITE), draw(FINITE)))
    log = draw(st.booleans()) and low > 0
    step = None if log else draw(st.none() | st.floats(1e-3, 10))
    return Reals(low=low, high=high, step=step, log=log)


choices = st.lists(
    st.integers(2, 10**6) | st.text(max_size=5) | st.floats(0.1, 0.9), min_size=1, max_size=6, unique=True
).map(lambda options: Choices(options=tuple(options)))
ranges = integers() | reals() | choices


@example(Reals(low=-10025.61328125, high=0.0, step=0.03125), 139)
@given(ranges, st.integers(0, 2**32))
def test_a_random_choice_lies_within(within, seed):
    assert within.holds(RandomChooser(random.Random(seed))("any", within))


@given(ranges)
def test_json_keeps_a_range(within):
    assert RANGE.validate_json(within.model_dump_json()) == within


@given(ranges, st.integers(0, 2**32))
def test_the_only_value_is_the_one_that_is_chosen(within, seed):
    if isinstance(within, Choices):
        within = Choices(options=within.options[:1])
    else:
        whole = isinstance(within, Integers)
        room = (within.step - 1 if whole else within.step * 0.75) if within.step else 0
        high = within.low + room
        within = type(within)(low=within.low, high=high, step=within.step)
    only = single(within)
    assert only is not None
    assert RandomChooser(random.Random(seed))("any", within) == only


@given(ranges)
def test_a_range_of_several_values_has_no_single_one(within):
    drawn = {RandomChooser(random.Random(seed))("any", within) for seed in range(20)}
    assert len(drawn) == 1 or single(within) is None


@given(reals(), st.integers(0, 2**32))
def test_a_real_is_tidy_and_stays_inside(within, seed):
    value = Pick(RandomChooser(random.Random(seed)), {"rate": within}).real("rate")
    assert within.holds(value)
    assert value in (within.low, within.high) or len(repr(value).replace(".", "").strip("-0")) <= 20


def test_reals_that_differ_in_the_fourth_digit_are_one():
    pick = Pick(lambda _name, _within: 0.00123449, {"rate": Reals(low=1e-4, high=1e-2, log=True)})
    assert pick.real("rate") == 0.00123


def test_rounding_does_not_leave_a_narrow_range():
    narrow = Reals(low=0.001234, high=0.001236, log=True)
    assert Pick(lambda _name, _within: 0.001235, {"rate": narrow}).real("rate") == 0.001234


def test_steps_finer_than_three_digits_stay_apart():
    steps = Reals(low=1.0, high=2.0, step=0.0005)
    seen = {Pick(lambda _n, _w, k=k: 1.0 + 0.0005 * k, {"x": steps}).real("x") for k in range(20)}
    assert len(seen) == 20


def test_steps_have_no_dust_of_binary_fractions():
    steps = Reals(low=0.0, high=0.3, step=0.1)
    drawn = {RandomChooser(random.Random(seed))("x", steps) for seed in range(50)}
    assert drawn == {0.0, 0.1, 0.2, 0.3}


def test_given_options_are_left_as_they_are():
    assert Pick(RandomChooser(random.Random(0)), {"x": Choices(options=(0.12345,))}).real("x") == 0.12345


def test_a_log_range_is_drawn_evenly_over_its_magnitudes():
    chooser = RandomChooser(random.Random(0))
    drawn = [chooser("x", Reals(low=1e-6, high=1.0, log=True)) for _ in range(2000)]
    assert 0.4 < sum(value < 1e-3 for value in drawn) / 2000 < 0.6
    whole = [chooser("x", Integers(low=1, high=64, log=True)) for _ in range(2000)]
    assert 0.4 < sum(value < 8 for value in whole) / 2000 < 0.65
    assert min(whole) == 1 and max(whole) == 64


@pytest.mark.parametrize(
    ("within", "inside", "outside"),
    [
        (Integers(low=3, high=9, step=2), [3, 5, 9], [2, 4, 10, 11, 5.0, True, "5"]),
        (Reals(low=0.0, high=1.0), [0.0, 1, 0.5], [-0.1, 1.1, math.nan, "0.5", True]),
        (Reals(low=0.0, high=0.8, step=0.1), [0.3, 0.30000000000000004, 0.8], [0.25, 0.81]),
        (Choices(options=("adam", 32)), ["adam", 32], ["sgd", 33]),
    ],
)
def test_holds(within, inside, outside):
    assert all(within.holds(value) for value in inside)
    assert not any(within.holds(value) for value in outside)


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        ({"type": "integers", "low": 3, "high": 2}, "low must not exceed high"),
        ({"type": "integers", "low": 0, "high": 2, "log": True}, "starts at 1 or more"),
        ({"type": "integers", "low": 1, "high": 9, "log": True, "step": 2}, "step 1"),
        ({"type": "integers", "low": 1, "high": 9, "step": 0}, "greater than or equal to 1"),
        ({"type": "reals", "low": 1.0, "high": 0.5}, "low must not exceed high"),
        ({"type": "reals", "low": 0.0, "high": 0.5, "log": True}, "starts above 0"),
        ({"type": "reals", "low": 0.0, "high": 0.5, "step": 0.0}, "greater than 0"),
        ({"type": "reals", "low": 0.0, "high": math.inf}, "finite"),
        ({"type": "choices", "options": []}, "at least 1 item"),
        ({"type": "choices", "options": [1, 2, 1]}, "each option is given once, got 1, 2, 1"),
        ({"type": "integers", "low": 1, "high": 2, "hihg": 3}, "Extra inputs"),
    ],
)
def test_construction_validates(broken, rule):
    with pytest.raises(ValidationError, match=rule):
        RANGE.validate_python(broken)


@pytest.mark.parametrize(
    ("within", "text"),
    [
        (Integers(low=3, high=9, step=2), "3 to 9 in steps of 2"),
        (Reals(low=0.0, high=0.8, step=0.1), "0 to 0.8 in steps of 0.1"),
        (Choices(options=("a", 1)), "a, 1"),
    ],
)
def test_describes_itself(within, text):
    assert within.describe() == text


@pytest.mark.parametrize(
    ("name", "stem"),
    [("filters_2", "filters"), ("learning_rate", "learning_rate"), ("l1", "l1"), ("x_1_2", "x_1")],
)
def test_a_familys_name(name, stem):
    assert family(name) == stem


def test_a_range_that_is_not_there_is_named_with_the_way_out():
    with pytest.raises(SpaceError, match=r"'depth_0'.*add it to ranges\(\)"):
        range_named({"width": Integers(low=1, high=2)}, "depth_0")


def test_a_recorder_refuses_a_name_that_was_asked_before():
    recorder = Recorder(RandomChooser(random.Random(0)))
    recorder("width", Integers(low=1, high=9))
    with pytest.raises(SpaceError, match="asked for 'width' again"):
        recorder("width", Integers(low=1, high=9))


def test_a_pick_asks_by_family_and_index():
    recorder = Recorder(RandomChooser(random.Random(0)))
    pick = Pick(recorder, {"units": Integers(low=1, high=9), "kind": Choices(options=("a", "b"))})
    assert isinstance(pick.integer("units", 3), int)
    assert pick.option("kind") in ("a", "b")
    assert list(recorder.asked) == ["units_3", "kind"]
