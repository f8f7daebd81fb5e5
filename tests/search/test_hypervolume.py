"""The hypervolume: hand-computed cases, and what must hold for any points."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.goals import Goal
from search.errors import StudyError
from search.hypervolume import Scale, hypervolume, scale_of

ACCURACY = Goal(metric="accuracy", direction="maximize")
LATENCY = Goal(metric="latency_ms", direction="minimize")
BYTES = Goal(metric="model_bytes", direction="minimize")
GOALS = (ACCURACY, LATENCY, BYTES)
MIDDLE_MS = math.sqrt(1e-3 * 2)
MIDDLE_BYTES = math.sqrt(500 * 400_000)

points = st.lists(
    st.fixed_dictionaries(
        {
            "accuracy": st.floats(0, 1),
            "latency_ms": st.floats(1e-4, 10),
            "model_bytes": st.integers(100, 10**6).map(float),
        }
    ),
    max_size=8,
)


def test_one_objective_is_the_share_of_the_error_that_is_gone() -> None:
    assert hypervolume([{"accuracy": 0.55}], [ACCURACY], 0.1) == pytest.approx(0.5)


def test_the_middle_of_a_log_scale_is_the_geometric_mean() -> None:
    assert hypervolume([{"latency_ms": MIDDLE_MS}], [LATENCY], 0.1) == pytest.approx(0.5)
    assert hypervolume([{"model_bytes": MIDDLE_BYTES}], [BYTES], 0.1) == pytest.approx(0.5)


def test_two_crossing_points_by_hand() -> None:
    both = [{"accuracy": 1.0, "latency_ms": MIDDLE_MS}, {"accuracy": 0.55, "latency_ms": 1e-3}]
    assert hypervolume(both, [ACCURACY, LATENCY], 0.1) == pytest.approx(0.5 + 0.5 - 0.25)


def test_three_objectives_by_hand() -> None:
    middle = {"accuracy": 0.55, "latency_ms": MIDDLE_MS, "model_bytes": MIDDLE_BYTES}
    accurate = {"accuracy": 1.0, "latency_ms": MIDDLE_MS, "model_bytes": MIDDLE_BYTES}
    small = {"accuracy": 0.55, "latency_ms": MIDDLE_MS, "model_bytes": 500.0}
    assert hypervolume([middle], GOALS, 0.1) == pytest.approx(1 / 8)
    assert hypervolume([accurate, small], GOALS, 0.1) == pytest.approx(3 / 8)


def test_the_limit_is_the_reference() -> None:
    limited = LATENCY.model_copy(update={"limit": 0.1})
    assert hypervolume([{"latency_ms": 0.01}], [limited], 0.1) == pytest.approx(0.5)


def test_limits_that_are_no_objectives_do_not_count() -> None:
    budget = Goal(metric="model_bytes", direction="minimize", objective=False, limit=1000)
    assert hypervolume([{"accuracy": 0.55}], [ACCURACY, budget], 0.1) == pytest.approx(0.5)


@pytest.mark.parametrize("values", [{"accuracy": 0.05}, {"accuracy": 0.1}])
def test_what_is_no_better_than_guessing_counts_nothing(values: dict[str, float]) -> None:
    assert hypervolume([values], [ACCURACY], 0.1) == 0


def test_a_point_beyond_one_reference_counts_nothing() -> None:
    assert hypervolume([{"accuracy": 1.0, "latency_ms": 2.0}], [ACCURACY, LATENCY], 0.1) == 0


def test_better_than_best_counts_as_best() -> None:
    assert hypervolume([{"latency_ms": 1e-5}], [LATENCY], 0.1) == 1


def test_no_points_dominate_nothing() -> None:
    assert hypervolume([], GOALS, 0.1) == 0


def test_a_metric_to_minimise_goes_from_zero_to_the_majority() -> None:
    loss = Goal(metric="accuracy", direction="minimize")
    assert hypervolume([{"accuracy": 0.5}], [loss], 2.0) == pytest.approx(0.75)


def test_a_limit_below_the_best_moves_the_best() -> None:
    scale = scale_of(Goal(metric="model_bytes", direction="minimize", limit=400), 0.1)
    assert (scale.best, scale.reference) == (0.4, 400)


def test_a_majority_without_error_is_refused() -> None:
    with pytest.raises(StudyError, match="choose another --metric"):
        hypervolume([], [ACCURACY], 1.0)


def test_a_missing_objective_is_refused() -> None:
    with pytest.raises(StudyError, match="latency_ms is missing"):
        hypervolume([{"accuracy": 0.5}], [ACCURACY, LATENCY], 0.1)


def test_a_scale_has_two_ends() -> None:
    with pytest.raises(ValueError, match="two different ends"):
        Scale(metric="accuracy", best=1, reference=1)
    with pytest.raises(ValueError, match="rises from above 0"):
        Scale(metric="latency_ms", best=2, reference=1, log=True)


def test_a_value_of_zero_has_no_place_on_a_log_scale() -> None:
    with pytest.raises(StudyError, match="latency_ms is above 0"):
        hypervolume([{"latency_ms": 0.0}], [LATENCY], 0.1)


@given(points, points)
def test_more_points_never_dominate_less(some: list[dict[str, float]], more: list[dict[str, float]]) -> None:
    before, after = hypervolume(some, GOALS, 0.1), hypervolume([*some, *more], GOALS, 0.1)
    assert 0 <= before <= after + 1e-12
    assert after <= 1 + 1e-12


@given(points, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(some: list[dict[str, float]], random: object) -> None:
    shuffled = list(some)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert hypervolume(shuffled, GOALS, 0.1) == pytest.approx(hypervolume(some, GOALS, 0.1), abs=1e-12)


@given(points.filter(bool), st.floats(0, 0.5), st.floats(1, 3), st.floats(1, 3))
def test_a_dominated_point_adds_nothing(
    some: list[dict[str, float]], worse: float, slower: float, larger: float
) -> None:
    first = some[0]
    dominated = {
        "accuracy": first["accuracy"] - worse,
        "latency_ms": first["latency_ms"] * slower,
        "model_bytes": first["model_bytes"] * larger,
    }
    assert hypervolume([*some, dominated], GOALS, 0.1) == pytest.approx(
        hypervolume(some, GOALS, 0.1), abs=1e-12
    )


@given(points)
def test_it_equals_the_sum_over_boxes(some: list[dict[str, float]]) -> None:
    """Cut the cube at every coordinate and add up the dominated boxes: slow, and plainly right."""
    scales = [scale_of(goal, 0.1) for goal in GOALS]
    places = [[min(1.0, max(0.0, s.place(p[s.metric]))) for s in scales] for p in some]
    cuts = [sorted({0.0, 1.0, *(p[axis] for p in places)}) for axis in range(3)]
    total = 0.0
    for i, a in enumerate(cuts[0][:-1]):
        for j, b in enumerate(cuts[1][:-1]):
            for k, c in enumerate(cuts[2][:-1]):
                if any(p[0] <= a and p[1] <= b and p[2] <= c for p in places):
                    total += (cuts[0][i + 1] - a) * (cuts[1][j + 1] - b) * (cuts[2][k + 1] - c)
    assert hypervolume(some, GOALS, 0.1) == pytest.approx(total, abs=1e-9)


def test_of_nothing_but_objectives_of_ones_own_it_is_0() -> None:
    own = Goal(metric="mine:Objective", direction="maximize")
    assert hypervolume([{"mine:Objective": 3.0}], [own], 0.5) == 0.0
    accuracy = Goal(metric="accuracy", direction="maximize")
    values = {"mine:Objective": 3.0, "accuracy": 0.9}
    assert hypervolume([values], [accuracy, own], 0.5) == pytest.approx(0.8)
