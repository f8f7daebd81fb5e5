"""What is expected of candidates: losses, growth of the front, and samples of what is not known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from objectives.goals import Goal
from search.promise import (
    DRAWS,
    FEWEST,
    HOPEFUL,
    MIDDLE,
    REFERENCE,
    Box,
    Foresight,
    Growing,
    Known,
    figures_apart,
    limits_of,
    loss,
    losses,
    modelled,
    nondominated,
)
from search.surrogate import Encoding
from spaces.chooser import Integers

ACCURACY = Goal(metric="accuracy", direction="maximize")
LATENCY = Goal(metric="latency_ms", direction="minimize")
GOALS = (ACCURACY, LATENCY)


def test_losses_are_small_where_it_is_good():
    assert loss(ACCURACY, 0.9) < loss(ACCURACY, 0.8)
    assert loss(LATENCY, 2.0) - loss(LATENCY, 1.0) == pytest.approx(math.log(2))
    own = Goal(metric="mine:Own", direction="minimize")
    assert loss(own, 3.0) == 3.0


def volume(points):
    """Return by counting how much of the box up to the reference is dominated, on a fine grid."""
    grid = (np.arange(440) + 0.5) / 400
    a, b = np.meshgrid(grid, grid)
    inside = (a < REFERENCE) & (b < REFERENCE)
    covered = np.zeros_like(inside)
    for x, y in points:
        covered |= (a >= x) & (b >= y)
    return float((covered & inside).sum()) / 400**2


def growth(box, point):
    """Return by how much the front grows with one point."""
    return float(box.growths(np.array([point]))[0])


unit = st.floats(0, 1)


@given(st.lists(st.tuples(unit, unit), max_size=6), st.tuples(unit, unit))
def test_growth_is_what_counting_finds(points, new):
    ends = [(0.0, 1.0), (1.0, 0.0)]  # so that what is measured in lies at 0 and 1
    known = np.array([*ends, *points])
    assume(not any(x == 0 or y == 0 for x, y in points))
    front = known[nondominated(known)]
    box = Box(known, np.empty((0, 2)))
    grown = volume([*front, new]) - volume(front)
    assert growth(box, new) == pytest.approx(grown, abs=0.02)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_a_front_that_grows_is_that_of_all_points(points):
    """Equal points and ties are frequent here; of equals the first one stays."""
    growing, losses_of = Growing(GOALS), [(-a / 5, math.log(1 + b)) for a, b in points]
    found = [known(i, accuracy=a / 5, latency_ms=1.0 + b) for i, (a, b) in enumerate(points)]
    for one in found:
        growing.join(one)
    kept = nondominated(np.array(losses_of).reshape(-1, 2))
    assert [found.index(one) for one in growing.points] == kept
    assert growing.losses.tolist() == [list(losses_of[place]) for place in kept]
    if points:
        alone, every = (Box(np.array(part), np.empty((0, 2))) for part in (growing.losses, losses_of))
        tried = np.array([(-0.7, 0.3), (-0.1, 0.1)])
        assert alone.growths(tried).tolist() == every.growths(tried).tolist()


def test_what_is_under_way_leaves_less_to_grow():
    points = np.array([[0.0, 1.0], [1.0, 0.0]])
    new = np.array([0.4, 0.4])
    free, taken = Box(points, np.empty((0, 2))), Box(points, np.array([[0.3, 0.3]]))
    assert growth(free, new) > 0 == growth(taken, new)


def test_beyond_a_limit_nothing_grows():
    small = Goal(metric="model_bytes", direction="minimize", limit=1000.0)
    limits = limits_of((ACCURACY, small))
    assert limits.tolist() == [math.inf, math.log(1000)]
    points = np.array([[-0.9, math.log(990)], [-0.5, math.log(100)]])
    free, held = (Box(points, np.empty((0, 2)), most) for most in (math.inf, limits))
    beyond, within = np.array([-0.95, math.log(1010)]), np.array([-0.95, math.log(1000)])
    assert growth(free, beyond) > 0 == growth(held, beyond)
    assert growth(held, within) == growth(free, within) > 0
    assert limits_of((ACCURACY.model_copy(update={"limit": 0.8}),)).tolist() == [-0.8]


def test_expected_is_the_mean():
    box = Box(np.array([[0.0, 1.0], [1.0, 0.0]]), np.empty((0, 2)))
    samples = np.array([[[0.5, 0.5], [2.0, 2.0]], [[0.1, 0.2], [0.3, 0.4]]])
    grown = [[growth(box, point) for point in of_one] for of_one in samples]
    assert grown[0][0] > grown[0][1] == 0
    assert box.expected(samples) == pytest.approx(np.mean(grown, axis=1))


ENCODING = Encoding({"units": Integers(low=1, high=100)})


def known(units, **values):
    params = {"units": units}
    return Known(params, ENCODING.point(params), {"bytes": float(units)}, values)


def foresight(learnt, asked, lengths=None):
    return Foresight(GOALS, ENCODING, learnt, asked, {} if lengths is None else lengths)


def test_what_is_known_is_not_guessed_and_what_is_not_is_learnt():
    learnt = [known(u, accuracy=1 - 1 / u, latency_ms=u / 100) for u in range(2, 90, 4)]
    asked = [known(45, latency_ms=0.45), known(47)]
    found = foresight(learnt, asked).samples()
    assert found.shape == (2, 2 + DRAWS, 2)
    assert set(found[0, :, 1]) == {loss(LATENCY, 0.45)}
    assert found[0, MIDDLE, 0] == pytest.approx(loss(ACCURACY, 1 - 1 / 45), abs=0.01)
    assert found[1, MIDDLE, 1] == pytest.approx(loss(LATENCY, 0.47), abs=0.2)
    assert (found[:, HOPEFUL, 0] < found[:, MIDDLE, 0]).all()
    assert found[:, 2:, 0].min() < found[0, MIDDLE, 0] < found[:, 2:, 0].max()


def test_draws_of_no_two_columns_go_hand_in_hand():
    """However many objectives and limits there are: eight of them, here."""
    goals = [Goal(metric=f"mine:Own{i}", direction="minimize") for i in range(8)]
    learnt = [known(u, **{goal.metric: u / 100 for goal in goals}) for u in range(2, 90, 6)]
    draws = Foresight(goals, ENCODING, learnt, [known(100)], {}).samples()[0, 2:]
    assert np.abs(np.corrcoef(draws.T) - np.eye(8)).max() < 0.5


def test_of_what_was_stopped_it_learns_what_was_expected():
    seen = [known(u, accuracy=0.9, latency_ms=1.0) for u in range(2, 50, 6)]
    stopped = [
        replace(known(u, latency_ms=1.0), expected={"accuracy": 0.5, "latency_ms": 9.0})
        for u in range(50, 98, 6)
    ]
    learnt = [*seen, *stopped]
    found = foresight(learnt, [known(20), known(80)]).samples()
    assert found[1, MIDDLE, 0] == pytest.approx(-0.5, abs=0.05)
    assert found[0, MIDDLE, 0] == pytest.approx(-0.9, abs=0.05)
    assert found[1, MIDDLE, 1] == pytest.approx(0, abs=0.05), "what was measured counts for more"


def test_seconds_are_learnt_from_those_that_were_timed():
    learnt = [replace(known(u), seconds=0.1 * u if u % 4 else None) for u in range(2, 90, 3)]
    found = foresight(learnt, [known(20), known(60), known(100)]).seconds()
    assert found[:2] == pytest.approx([2.0, 6.0], rel=0.2)
    longest = max(one.seconds for one in learnt if one.seconds)
    assert found[2] <= longest * (1 + 1e-9), "nobody has seen more"


def test_of_few_that_were_timed_nothing_is_concluded():
    learnt = [replace(known(u), seconds=float(u)) for u in range(1, FEWEST)]
    assert foresight(learnt, [known(3), known(90)]).seconds().tolist() == [1.0, 1.0]


P90 = Goal(metric="latency_ms", direction="minimize", objective=False, limit=3.0, limit_on="p90")
FLASH = Goal(metric="model_bytes", direction="minimize", objective=False, limit=2_000.0)


def test_what_is_limited_alone_is_modelled_beside_the_objectives_by_the_figure_that_the_limit_is_on():
    both = LATENCY.model_copy(update={"limit": 2.0})
    found = modelled((FLASH, ACCURACY, both, P90))
    assert [goal.metric for goal in found] == ["accuracy", "latency_ms", "model_bytes", "latency_p90_ms"]
    most = [math.inf, math.log(2), math.log(2_000), math.log(3)]
    assert limits_of(found) == pytest.approx(most)


def test_each_metric_is_learnt_from_those_that_showed_it():
    """What was too large was weighed and never trained."""
    trained = [
        known(u, accuracy=1 - 1 / u, latency_ms=u / 100, model_bytes=50.0 * u) for u in range(2, 40, 4)
    ]
    weighed = [known(u, model_bytes=50.0 * u) for u in range(42, 98, 4)]
    goals = modelled((*GOALS, FLASH))
    found = Foresight(goals, ENCODING, [*trained, *weighed], [known(25), known(71)], {}).samples()
    assert found[:, MIDDLE, 2] == pytest.approx([math.log(1250), math.log(3550)], abs=0.05)
    alone = Foresight(goals, ENCODING, trained, [known(71)], {}).samples()
    assert abs(alone[0, MIDDLE, 2] - math.log(3550)) > 0.2
    assert found[1, MIDDLE, :2] == pytest.approx(alone[0, MIDDLE, :2], abs=0.02)


def test_a_limit_of_which_hardly_anything_was_seen_is_taken_to_be_kept():
    learnt = [known(u, accuracy=0.9, latency_ms=1.0) for u in range(2, 50, 6)]
    seen = [replace(one, values={**one.values, "model_bytes": 9e9}) for one in learnt[: FEWEST - 1]]
    goals = modelled((*GOALS, FLASH))
    found = Foresight(goals, ENCODING, [*learnt, *seen], [known(20)], {}).samples()
    assert (found[0, :, 2] == -math.inf).all()


def test_beyond_a_limit_that_is_no_objective_nothing_grows_and_nothing_is_awaited():
    front, most = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([math.inf, math.inf, 5.0])
    box = Box(front, np.array([[0.2, 0.2, 9.0]]), most)
    assert box.growths(np.array([[0.5, 0.5, 5.0], [0.5, 0.5, 5.1]])).tolist() == [pytest.approx(0.25), 0]
    awaited = Box(front, np.array([[0.2, 0.2, 4.0]]), most)
    assert growth(awaited, [0.5, 0.5, 4.0]) == 0 < growth(box, [0.5, 0.5, 4.0])


def test_how_far_beyond_its_limits_something_lies():
    box = Box(np.array([[0.0, 1.0]]), np.empty((0, 3)), np.array([math.inf, 2.0, 5.0]))
    points = np.array([[9.0, 2.0, 5.0], [0.0, 2.5, 6.0], [0.0, 0.0, -math.inf]])
    assert box.excesses(points).tolist() == [0, 1.5, 0]


def test_lengths_are_chosen_once_and_kept():
    learnt, lengths = [known(u, accuracy=1 - 1 / u, latency_ms=u / 100) for u in range(2, 90, 4)], {}
    first = foresight(learnt, [known(47)], lengths).samples()
    assert set(lengths) == {"accuracy", "latency_ms"}
    kept = dict(lengths)
    assert (foresight(learnt, [known(47)], lengths).samples() == first).all() and lengths == kept


def test_figures_are_compared_by_their_ratios():
    a = figures_apart([known(1), known(10), known(100)], [known(1), known(100)])
    assert a[0] == pytest.approx([0, 2]) and a[1] == pytest.approx([1, 1])


def test_what_only_some_have_is_no_figure():
    bare = replace(known(3), figures={})
    assert not figures_apart([known(1)], [bare]).any()


def test_losses_are_an_array_of_candidates_and_goals():
    assert losses(GOALS, [known(1, accuracy=0.5, latency_ms=1.0)]).tolist() == [[-0.5, 0.0]]
