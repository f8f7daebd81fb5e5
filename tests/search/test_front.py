"""The front against brute force, and its rules one by one."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from objectives.goals import Direction, Goal
from search.front import Front, best_of, eligible, figures, front
from search.trial import TrialRecord

MakeTrial = Callable[..., TrialRecord]

ACCURACY = Goal(metric="accuracy", direction="maximize")
LATENCY = Goal(metric="latency_ms", direction="minimize")
BYTES = Goal(metric="model_bytes", direction="minimize")
GOALS = (ACCURACY, LATENCY, BYTES)

# few distinct numbers, so that ties and equal points are common
numbers = st.sampled_from([0.25, 0.5, 0.75, 1.0])
triples = st.lists(st.tuples(numbers, numbers, numbers, st.integers(1, 12)), max_size=12)
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def _numbers(records: tuple[TrialRecord, ...]) -> list[int]:
    return [record.number for record in records]


def _dominates(a: TrialRecord, b: TrialRecord, goals: tuple[Goal, ...]) -> bool:
    signs = [1 if goal.direction == "maximize" else -1 for goal in goals]
    pairs = [(s * a.values[g.metric], s * b.values[g.metric]) for s, g in zip(signs, goals, strict=True)]
    return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)


@shared
@given(triples=triples, direction=st.sampled_from(["maximize", "minimize"]), count=st.integers(1, 3))
def test_the_front_is_what_brute_force_finds(
    make_trial: MakeTrial, triples: list[tuple[float, float, float, int]], direction: Direction, count: int
) -> None:
    goals = (ACCURACY.model_copy(update={"direction": direction}), LATENCY, BYTES)[:count]
    records = [make_trial(n, a, lat, size, units=units) for n, (a, lat, size, units) in enumerate(triples)]
    expected = []
    for record in eligible(records, goals):
        rivals = [r for r in eligible(records, goals) if r.number != record.number]
        equal_before = any(
            all(r.values[g.metric] == record.values[g.metric] for g in goals) and r.number < record.number
            for r in rivals
        )
        if not equal_before and not any(_dominates(r, record, goals) for r in rivals):
            expected.append(record.number)
    assert sorted(_numbers(front(records, goals))) == expected


@shared
@given(triples=triples, random=st.randoms(use_true_random=False))
def test_the_order_of_records_does_not_matter(
    make_trial: MakeTrial, triples: list[tuple[float, float, float, int]], random: object
) -> None:
    records = [make_trial(n, a, lat, size, units=units) for n, (a, lat, size, units) in enumerate(triples)]
    shuffled = list(records)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert front(shuffled, GOALS) == front(records, GOALS)


@shared
@given(triples=triples, random=st.randoms(use_true_random=False))
def test_joined_one_by_one_in_any_order_it_is_the_same_front(
    make_trial: MakeTrial, triples: list[tuple[float, float, float, int]], random: Random
) -> None:
    goals = (*GOALS[:2], BYTES.model_copy(update={"limit": 0.9}))
    records = [make_trial(n, a, lat, size, units=n + 1) for n, (a, lat, size, _) in enumerate(triples)]
    random.shuffle(records)
    begun = Front(goals, records[:3])
    for count, record in enumerate(records[3:], 4):
        joins = begun.join(record)
        assert begun.points == front(records[:count], goals)
        assert joins == (record in begun.points)
    for goal in goals:
        assert begun.best(goal.metric) == best_of(begun.points, goal)


def test_the_best_of_the_first_objective_comes_first(make_trial: MakeTrial) -> None:
    records = [make_trial(0, 0.7, 0.1, 900), make_trial(1, 0.9, 0.3, 2000), make_trial(2, 0.8, 0.2, 1500)]
    assert _numbers(front(records, GOALS)) == [1, 2, 0]
    down = (ACCURACY.model_copy(update={"direction": "minimize"}), *GOALS[1:])
    assert _numbers(front(records, down)) == [0]


def test_of_equal_trials_the_first_stands(make_trial: MakeTrial) -> None:
    records = [make_trial(5, 0.9, 0.1, 900), make_trial(3, 0.9, 0.1, 900)]
    assert _numbers(front(records, GOALS)) == [3]


def test_a_candidate_counts_once_with_its_first_trial(make_trial: MakeTrial) -> None:
    records = [make_trial(4, 0.9, 0.1, 900, units=7), make_trial(6, 0.9, 0.05, 900, units=7)]
    assert _numbers(front(records, GOALS)) == [4]


@pytest.mark.parametrize("state", ["infeasible", "stopped", "failed", "running", "waiting"])
def test_only_measured_trials_compete(make_trial: MakeTrial, state: str) -> None:
    records = [make_trial(0, 0.9, 0.1, 900, state=state), make_trial(1, 0.5, 0.2, 1000)]
    assert _numbers(front(records, GOALS)) == [1]


def test_a_limit_bars_what_breaks_it_even_as_a_budget(make_trial: MakeTrial) -> None:
    budget = Goal(metric="model_bytes", direction="minimize", objective=False, limit=1000)
    records = [make_trial(0, 0.9, 0.1, 1001), make_trial(1, 0.5, 0.2, 1000), make_trial(2, 0.4, 0.3, 10)]
    assert _numbers(front(records, (ACCURACY, LATENCY, budget))) == [1]


def test_a_limit_on_p90_looks_at_p90(make_trial: MakeTrial) -> None:
    limited = LATENCY.model_copy(update={"limit": 0.15, "limit_on": "p90"})
    records = [make_trial(0, 0.9, 0.1, 900), make_trial(1, 0.5, 0.07, 900)]
    assert figures(records[0])["latency_p90_ms"] == pytest.approx(0.2)
    assert _numbers(front(records, (ACCURACY, limited, BYTES))) == [1]


def test_a_limit_on_what_was_not_measured_is_not_kept(make_trial: MakeTrial) -> None:
    limited = Goal(metric="latency_ms", direction="minimize", objective=False, limit=1)
    assert front([make_trial(0, 0.9, None, 900)], (ACCURACY, limited)) == ()


def test_a_trial_without_an_objective_does_not_compete(make_trial: MakeTrial) -> None:
    assert front([make_trial(0, 0.9, None, 900)], GOALS) == ()


def test_no_trials_make_no_front() -> None:
    assert front([], GOALS) == ()


def test_best_of_takes_the_first_of_equals_within_the_limit(make_trial: MakeTrial) -> None:
    limited = LATENCY.model_copy(update={"limit": 0.2})
    records = [make_trial(0, 0.9, 0.3, 900), make_trial(2, 0.5, 0.2, 900), make_trial(1, 0.4, 0.2, 800)]
    assert best_of(records, limited) == records[2]
    assert best_of(records, ACCURACY) == records[0]
    assert best_of(records[:1], limited) is None
