"""What a trial has to show to join the front, and how likely it is to."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.goals import Goal
from objectives.standing import (
    FEWEST_SEEN,
    UNSEEN_GAP,
    Spread,
    Standing,
    chance,
    error_of,
    expected,
    needed,
    twentieth,
)

GOALS = (
    Goal(metric="accuracy", direction="maximize"),
    Goal(metric="latency_ms", direction="minimize"),
    Goal(metric="model_bytes", direction="minimize"),
)
SURE = Spread(mean=0.0, deviation=0.0, count=5)


def point(accuracy, latency_ms, model_bytes):
    return {"accuracy": accuracy, "latency_ms": latency_ms, "model_bytes": model_bytes}


FRONT = Standing(front=(point(0.9, 2.0, 3000.0), point(0.8, 1.0, 2000.0), point(0.5, 0.5, 900.0)))


@pytest.mark.parametrize(
    ("latency_ms", "model_bytes", "least"),
    [
        (3.0, 4000.0, 0.9),  # beaten by all in what does not depend on weights
        (1.5, 9000.0, 0.8),
        (0.7, 1000.0, 0.5),
        (0.4, 9000.0, -math.inf),  # the quickest of all
        (9.0, 800.0, -math.inf),  # the smallest of all
        (1.0, 2000.0, 0.8),  # as quick and as small as another
    ],
)
def test_what_is_needed_is_the_best_accuracy_of_those_that_are_no_larger_and_no_slower(
    latency_ms, model_bytes, least
):
    assert needed({"latency_ms": latency_ms, "model_bytes": model_bytes}, FRONT, GOALS) == least


@given(
    st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=8),
    st.tuples(*[st.integers(0, 4)] * 2),
    st.integers(0, 4),
)
def test_what_shows_more_than_is_needed_is_dominated_by_nothing(points, form, accuracy):
    front = [point(a / 4, float(t + 1), float(b + 1)) for a, t, b in points]
    mine = point(accuracy / 4, float(form[0] + 1), float(form[1] + 1))
    least = needed({k: v for k, v in mine.items() if k != "accuracy"}, Standing(front=tuple(front)), GOALS)
    no_worse = [
        p
        for p in front
        if p["accuracy"] >= mine["accuracy"] and all(p[k] <= mine[k] for k in ("latency_ms", "model_bytes"))
    ]
    assert (mine["accuracy"] > least) == (not no_worse)


def test_what_is_not_known_asks_for_nothing():
    assert needed({"model_bytes": 9000.0}, FRONT, GOALS) == -math.inf
    assert needed({}, Standing(), GOALS) == -math.inf


def test_a_limit_on_accuracy_is_needed_even_by_the_smallest():
    limited = (GOALS[0].model_copy(update={"limit": 0.7}), *GOALS[1:])
    assert needed({"latency_ms": 0.1, "model_bytes": 10.0}, FRONT, limited) == 0.7
    assert needed({"latency_ms": 9.0, "model_bytes": 9e9}, FRONT, limited) == 0.9


def test_without_accuracy_as_an_objective_nothing_helps_what_is_beaten():
    budget = (Goal(metric="accuracy", direction="maximize", objective=False, limit=0.6), *GOALS[1:])
    assert needed({"latency_ms": 9.0, "model_bytes": 9e9}, FRONT, budget) == math.inf
    assert needed({"latency_ms": 0.1, "model_bytes": 9e9}, FRONT, budget) == 0.6


def test_a_metric_to_minimise_is_turned_round():
    goals = (Goal(metric="accuracy", direction="minimize"), GOALS[1])
    front = Standing(front=({"accuracy": 0.2, "latency_ms": 1.0},))
    assert needed({"latency_ms": 2.0}, front, goals) == -0.2
    assert chance(0.1, -0.2, "minimize", SURE) == 1.0
    assert chance(0.3, -0.2, "minimize", SURE) == 0.0


def test_the_final_value_decides_alone_where_forms_lose_nothing():
    assert chance(error_of(0.9, "maximize"), 0.89, "maximize", SURE) == 1.0
    assert chance(error_of(0.9, "maximize"), 0.91, "maximize", SURE) == 0.0
    assert chance(0.5, -math.inf, "maximize", SURE) == 1.0
    assert chance(0.0, math.inf, "maximize", SURE) == 0.0


def test_what_cannot_be_worse_or_better_has_no_logarithm():
    assert chance(0.1, 1.0, "maximize", SURE) == chance(0.1, 1.1, "maximize", SURE) == 0.0
    assert chance(0.0, 0.9, "maximize", SURE) == chance(0.0, 1.0, "maximize", SURE) == 1.0


def test_what_lost_nothing_so_far_may_lose_a_fraction_of_a_sample():
    """Whatever its error is: of 100 validation samples, one is a tenth of the errors of one network."""
    for error in (0.02, 0.2):
        almost = 1 - error + 1e-4  # a fiftieth of half a sample more than it has
        assert chance(error, almost, "maximize", SURE) == 0.0
        assert 0.3 < chance(error, almost, "maximize", SURE, half_sample=5e-3) < 0.5
        assert chance(error, 1 - error + 5e-3, "maximize", SURE, half_sample=5e-3) < 0.02


def test_the_chance_is_that_of_a_simulation():
    generator = np.random.default_rng(0)
    gap, rise = Spread(mean=0.1, deviation=0.2, count=60), Spread(mean=-0.7, deviation=0.3, count=60)
    error, least = 0.2, 0.9
    changes = generator.normal(gap.mean, gap.deviation, 400_000)
    final = 1 - error * np.exp(generator.normal(rise.mean, rise.deviation, 400_000) + changes)
    assert chance(error, least, "maximize", gap, rise) == pytest.approx(np.mean(final >= least), abs=0.02)
    told = chance(0.095, least, "maximize", gap)
    assert told == pytest.approx(np.mean(1 - 0.095 * np.exp(changes) >= least), abs=0.02)


@given(st.floats(0.01, 0.9), st.floats(0.02, 0.5), st.integers(3, 50))
def test_the_chance_falls_with_what_is_needed(error, deviation, count):
    rise = Spread(mean=-0.3, deviation=deviation, count=count)
    gap = Spread(mean=0.0, deviation=0.1, count=count)
    chances = [chance(error, least / 20, "maximize", gap, rise) for least in range(21)]
    assert all(0 <= c <= 1 for c in chances)
    assert all(a >= b for a, b in itertools.pairwise(chances))


def test_few_observations_leave_more_doubt():
    few, many = (Spread(mean=0.0, deviation=0.1, count=n) for n in (3, 300))
    assert few.below(-0.3) > 10 * many.below(-0.3) > 0
    assert few.low(2) < many.low(2) == pytest.approx(math.exp(-0.2), rel=0.01)


def test_steps_that_were_hardly_seen_are_guessed_and_steps_add_up():
    seen = Spread(mean=-0.03, deviation=0.04, count=9)
    standing = Standing(
        gaps={"int8": seen, "keep 0.5": Spread(mean=-0.5, deviation=0, count=FEWEST_SEEN - 1)}
    )
    assert standing.gap(["int8"]) == seen
    assert standing.gap(["keep 0.5"]).deviation == UNSEEN_GAP
    both = standing.gap(["keep 0.5", "int8"])
    assert both.mean == -0.03
    assert both.deviation == pytest.approx(math.hypot(0.04, UNSEEN_GAP))
    assert standing.gap([]).deviation == 0


@pytest.mark.parametrize(
    ("epoch", "epochs", "part"), [(1, 6, 3), (3, 6, 10), (6, 6, 20), (1, 20, 1), (9, 30, 6)]
)
def test_twentieths(epoch, epochs, part):
    assert twentieth(epoch, epochs) == part


GAP = Spread(mean=math.log(1.2), deviation=0.01, count=5)


def test_what_is_expected_is_the_error_as_it_shrinks_and_what_the_form_adds():
    rise = Spread(mean=math.log(0.5), deviation=0.3, count=5)
    assert expected(0.2, "maximize", GAP, rise) == pytest.approx(1 - 0.12)
    assert expected(0.2, "maximize", GAP) == pytest.approx(1 - 0.24)
    assert expected(0.2, "minimize", GAP, rise) == pytest.approx(0.12)
    assert expected(0.9, "maximize", GAP) == 0.0, "a share is not below nothing"


@given(st.floats(0.01, 0.9), st.floats(-1, 0.2), st.floats(-0.3, 0.3))
def test_what_is_expected_is_shown_by_half(error, rise, gap):
    rise, gap = (Spread(mean=mean, deviation=1e-3, count=50) for mean in (rise, gap))
    median = expected(error, "maximize", gap, rise)
    shown = chance(error, median, "maximize", gap, rise)
    assert shown == pytest.approx(0.5, abs=0.1) if median > 0 else shown <= 0.6
