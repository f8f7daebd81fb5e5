"""Goals: which limits are broken and by how much."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from objectives.goals import Goal, limited_metric, violations

BYTES = Goal(metric="model_bytes", direction="minimize", limit=1000)
ACCURACY = Goal(metric="accuracy", direction="maximize", limit=0.9)
LATENCY = Goal(metric="latency_ms", direction="minimize", limit=2.0, limit_on="p90")
POSITIVE = st.floats(1e-6, 1e9)


@given(POSITIVE, POSITIVE)
def test_what_is_minimised_breaks_its_limit_from_above(value, limit):
    goal = Goal(metric="model_bytes", direction="minimize", limit=limit)
    assert (goal.violation(value) > 0) == (math.log(value / limit) > 0)
    assert goal.violation(limit) == 0


@given(st.floats(0, 1), st.floats(0, 1))
def test_what_is_maximised_breaks_its_limit_from_below(value, limit):
    goal = Goal(metric="accuracy", direction="maximize", limit=limit)
    assert (goal.violation(value) > 0) == (value < limit)


@given(POSITIVE, st.floats(1.001, 10))
def test_a_violation_has_no_unit(limit, factor):
    milliseconds = Goal(metric="latency_ms", direction="minimize", limit=limit)
    seconds = Goal(metric="latency_ms", direction="minimize", limit=limit / 1000)
    assert milliseconds.violation(limit * factor) == pytest.approx(math.log(factor))
    assert seconds.violation(limit * factor / 1000) == pytest.approx(math.log(factor))


def test_no_limit_no_violation():
    assert Goal(metric="accuracy", direction="maximize").violation(-1.0) == 0


def test_the_broken_limits_are_listed_and_what_is_not_known_breaks_nothing():
    values = {"model_bytes": 2000.0, "accuracy": 0.95}
    (broken,) = violations((ACCURACY, BYTES, LATENCY), values)
    assert (broken.metric, broken.limit, broken.value) == ("model_bytes", 1000, 2000)
    assert broken.excess == pytest.approx(math.log(2))


def test_a_value_of_zero_is_no_error():
    assert violations((BYTES,), {"model_bytes": 0.0}) == ()


@pytest.mark.parametrize(
    ("limit_on", "metric"),
    [("min", "latency_ms"), ("median", "latency_median_ms"), ("p90", "latency_p90_ms")],
)
def test_a_latency_limit_is_put_on_the_figure_that_is_asked(limit_on, metric):
    goal = LATENCY.model_copy(update={"limit_on": limit_on})
    assert limited_metric(goal) == metric
    (broken,) = violations((goal,), {metric: 4.0})
    assert broken.metric == metric
    others = {"latency_ms", "latency_median_ms", "latency_p90_ms"} - {metric}
    assert violations((goal,), dict.fromkeys(others, 4.0)) == ()


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        ({"metric": "accuracy", "direction": "maximize", "objective": False}, "is neither"),
        ({"metric": "model_bytes", "direction": "minimize", "limit": 0}, "is above 0, got 0"),
        ({"metric": "latency_ms", "direction": "minimize", "limit": -2}, "is above 0, got -2"),
        ({"metric": "accuracy", "direction": "maximize", "limit": math.nan}, "finite"),
        ({"metric": "accuracy", "direction": "up"}, "maximize"),
    ],
)
def test_construction_validates(broken, rule):
    with pytest.raises(ValidationError, match=rule):
        Goal(**broken)
