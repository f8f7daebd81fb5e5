"""The model of what candidates will show."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search import surrogate
from search.surrogate import LENGTHS, SAMPLED, Apart, Encoding, Lengths, Process, Totals, place
from spaces.chooser import Choices, Integers, Reals, family

RANGES = {
    "units": Integers(low=1, high=101),
    "rate": Reals(low=1e-4, high=1e-2, log=True),
    "kind": Choices(options=("plain", "residual", "separable")),
}


def distances(*params):
    encoding = Encoding(RANGES)
    points = [encoding.point(chosen) for chosen in params]
    return encoding.distances(points, points)


def gower(a, b):
    """The distance by its definition (see the module)."""

    def one(name):
        if name not in a or name not in b:
            return float((name in a) != (name in b))
        if name.startswith("kind"):
            return float(a[name] != b[name])
        return abs(place(RANGES[family(name)], a[name]) - place(RANGES[family(name)], b[name]))

    return one


chosen = st.fixed_dictionaries(
    {"units": st.integers(1, 101)},
    optional={
        "rate": st.floats(1e-4, 1e-2),
        "kind": st.sampled_from(["plain", "residual"]),
        "kind_2": st.sampled_from(["separable", "residual"]),
        "units_3": st.integers(1, 101),
    },
)


@given(st.lists(chosen, min_size=1, max_size=6))
def test_a_distance_is_the_mean_over_all_parameters_that_anybody_has(params):
    names = sorted({name for one in params for name in one})
    found = distances(*params)
    for i, a in enumerate(params):
        for j, b in enumerate(params):
            one = gower(a, b)
            assert found[i, j] == pytest.approx(sum(map(one, names)) / len(names), abs=1e-12)


@given(st.lists(chosen, min_size=2, max_size=6))
def test_a_distance_is_one(params):
    apart = distances(*params)
    assert ((apart >= 0) & (apart <= 1 + 1e-12)).all()
    assert np.allclose(apart, apart.T) and not np.diag(apart).any()
    for i in range(len(params)):
        assert (apart[i] <= apart[i][:, None] + apart + 1e-9).all(), "the way round is never shorter"


def test_a_parameter_that_one_has_alone_is_as_far_as_it_gets():
    found = distances({"units": 1, "rate": 1e-4}, {"units": 1}, {"units": 101, "rate": 1e-4})
    assert found[0] == pytest.approx([0, 0.5, 0.5])


def test_a_point_stays_good_when_later_ones_bring_new_names():
    encoding = Encoding(RANGES)
    early = encoding.point({"units": 1})
    late = encoding.point({"units": 1, "kind": "plain"})
    assert len(early) < len(late)
    assert encoding.distances([early], [early, late])[0] == pytest.approx([0, 0.5])


def test_distances_are_the_same_whatever_was_asked_before(monkeypatch):
    monkeypatch.setattr(surrogate, "MOST", 12)
    rng, asked = np.random.default_rng(0), Totals()
    points = [rng.uniform(size=rng.integers(1, 6)) for _ in range(40)]
    table = np.array([[*point, *[0.0] * (5 - len(point))] for point in points])
    for _ in range(50):
        some, others = (rng.choice(40, size=rng.integers(1, 9)) for _ in range(2))
        found = asked.of([points[i] for i in some], [points[i] for i in others])
        assert np.allclose(found, np.abs(table[some][:, None] - table[others][None]).sum(axis=2))
    many = asked.of(points, points[:3])  # more than are kept
    assert np.allclose(many, np.abs(table[:, None] - table[None, :3]).sum(axis=2))


def test_numbers_lie_in_their_range():
    assert place(RANGES["units"], 51) == 0.5
    assert place(RANGES["rate"], 1e-3) == pytest.approx(0.5)
    assert place(Integers(low=3, high=3), 3) == 0.0


def line(count):
    return np.linspace(0, 1, count)[:, None]


def between(a, b):
    return np.abs(a - b.T)


def alone(params):
    """No figure tells anything."""
    return Apart(params, np.zeros_like(params))


def test_it_goes_through_what_was_seen_and_is_unsure_elsewhere():
    x = line(9)
    y = np.sin(5 * x[:, 0])
    process = Process(alone(between(x, x)), y)
    mean, spread = process.predict(alone(between(x, x)))
    assert mean == pytest.approx(y, abs=0.1)
    beside, unsure = process.predict(alone(between(x[:-1] + 1 / 16, x)))
    assert np.abs(beside - np.sin(5 * (x[:-1, 0] + 1 / 16))).max() < 0.2
    _, far = process.predict(alone(np.full((1, 9), 5.0)))
    assert spread.max() < unsure.min() < far[0]


def test_what_it_says_is_what_the_textbook_says():
    """Rasmussen and Williams 2006, equations 2.25 and 2.26, with a mean and a scale of the observations."""
    generator, lengths = np.random.default_rng(1), Lengths(0.6, 2.0, 1e-2)
    points, figures = generator.random((30, 1)), generator.normal(size=(30, 1))
    y = points[:20, 0] ** 2 + 0.1 * figures[:20, 0]
    whole = Apart(between(points, points), between(figures, figures))
    mean, spread = Process(whole.part(slice(20), slice(20)), y, lengths).predict(
        whole.part(slice(20, None), slice(20))
    )
    kernel = np.exp(-whole.params / 0.6 - whole.figures / 2.0)
    near, inverse = kernel[20:, :20], np.linalg.inv(kernel[:20, :20] + 1e-2 * np.eye(20))
    scaled = (y - y.mean()) / y.std()
    variance = scaled @ inverse @ scaled / 20
    told = np.einsum("ij,jk,ik->i", near, inverse, near)
    assert mean == pytest.approx(y.mean() + y.std() * near @ inverse @ scaled)
    assert spread == pytest.approx(y.std() * np.sqrt(variance * (1 - told)))


def test_what_a_figure_tells_is_learnt_and_what_it_does_not_is_not():
    generator = np.random.default_rng(0)
    figure, nothing = generator.normal(size=(40, 1)), generator.normal(size=(40, 1))
    told = Process(Apart(np.zeros((40, 40)), between(figure, figure)), figure[:, 0])
    assert math.isfinite(told.lengths.figures)
    other = Process(Apart(between(figure, figure), between(nothing, nothing)), figure[:, 0])
    assert other.lengths.figures >= 4 and other.lengths.params in LENGTHS


def test_of_many_observations_some_that_are_evenly_spread_choose_the_lengths():
    x = line(3 * SAMPLED)
    y = np.where(np.arange(len(x)) < 2 * SAMPLED, 0.0, np.sin(40 * x[:, 0]))
    alike = Process(
        alone(between(x[: 2 * SAMPLED], x[: 2 * SAMPLED])), y[: 2 * SAMPLED] + x[: 2 * SAMPLED, 0]
    )
    assert Process(alone(between(x, x)), y).lengths.params < alike.lengths.params, "the newest are among them"


def test_lengths_that_are_given_are_taken():
    lengths, x = Lengths(0.6, 2.0, 1e-2), line(5)
    assert Process(alone(between(x, x)), x[:, 0], lengths).lengths == lengths


def test_observations_that_are_all_alike_are_no_reason_to_fail():
    x = line(4)
    mean, spread = Process(alone(between(x, x)), np.full(4, 0.3)).predict(alone(between(x, x)))
    assert mean == pytest.approx([0.3] * 4) and (spread < 1e-3).all()
