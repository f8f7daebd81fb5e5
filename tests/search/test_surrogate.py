"""The model of what candidates will show."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.surrogate import LENGTHS, Encoding, Lengths, Process, distances
from spaces.chooser import Choices, Integers, Reals

RANGES = {
    "units": Integers(low=1, high=101),
    "rate": Reals(low=1e-4, high=1e-2, log=True),
    "kind": Choices(options=("plain", "residual", "separable")),
}


def encoded(*params):
    encoding = Encoding(RANGES)
    for chosen in params:
        encoding.learn(chosen)
    return encoding.rows(params), encoding.categorical


def test_numbers_lie_in_their_range_and_what_is_not_there_is_nan():
    rows, categorical = encoded({"units": 51, "rate": 1e-3}, {"kind": "separable", "units_2": 1})
    assert rows[0] == pytest.approx([0.5, 0.5, math.nan, math.nan], nan_ok=True)
    assert rows[1] == pytest.approx([math.nan, math.nan, 2.0, 0.0], nan_ok=True)
    assert list(categorical) == [False, False, True, False]


def test_a_name_that_was_never_learnt_counts_for_nothing():
    encoding = Encoding(RANGES)
    encoding.learn({"units": 1})
    assert encoding.rows([{"units": 1, "kind": "plain"}]).shape == (1, 1)


chosen = st.fixed_dictionaries(
    {"units": st.integers(1, 101)},
    optional={"rate": st.floats(1e-4, 1e-2), "kind": st.sampled_from(["plain", "residual"])},
)


@given(st.lists(chosen, min_size=2, max_size=6))
def test_a_distance_is_one(params):
    rows, kinds = encoded(*params)
    apart = distances(rows, rows, kinds)
    assert ((apart >= 0) & (apart <= 1 + 1e-12)).all()
    assert np.allclose(apart, apart.T) and not np.diag(apart).any()
    for i in range(len(params)):
        assert (apart[i] <= apart[i][:, None] + apart + 1e-9).all(), "the way round is never shorter"


def test_a_parameter_that_one_has_alone_is_as_far_as_it_gets():
    rows, kinds = encoded({"units": 1, "rate": 1e-4}, {"units": 1}, {"units": 101, "rate": 1e-4})
    assert distances(rows, rows, kinds)[0] == pytest.approx([0, 0.5, 0.5])


def line(count):
    return np.linspace(0, 1, count)[:, None]


def apart(a, b):
    return np.abs(a - b.T)


def test_it_goes_through_what_was_seen_and_is_unsure_elsewhere():
    x = line(9)
    y = np.sin(5 * x[:, 0])
    process = Process(apart(x, x), np.zeros((9, 9)), y)
    mean, spread = process.predict(apart(x, x), np.zeros((9, 9)))
    assert mean == pytest.approx(y, abs=0.1)
    between, unsure = process.predict(apart(x[:-1] + 1 / 16, x), np.zeros((8, 9)))
    assert np.abs(between - np.sin(5 * (x[:-1, 0] + 1 / 16))).max() < 0.2
    _, far = process.predict(np.full((1, 9), 5.0), np.zeros((1, 9)))
    assert spread.max() < unsure.min() < far[0]


def test_what_a_figure_tells_is_learnt_and_what_it_does_not_is_not():
    generator = np.random.default_rng(0)
    figure, nothing = generator.normal(size=(40, 1)), generator.normal(size=(40, 1))
    x = np.zeros((40, 40))
    told = Process(x, apart(figure, figure), figure[:, 0])
    assert math.isfinite(told.lengths.figures)
    other = Process(apart(figure, figure), apart(nothing, nothing), figure[:, 0])
    assert other.lengths.figures >= 4 and other.lengths.params in LENGTHS


def test_lengths_that_are_given_are_taken():
    lengths, x = Lengths(0.6, 2.0, 1e-2), line(5)
    assert Process(apart(x, x), np.zeros((5, 5)), x[:, 0], lengths).lengths == lengths


def test_observations_that_are_all_alike_are_no_reason_to_fail():
    x = line(4)
    mean, spread = Process(apart(x, x), np.zeros((4, 4)), np.full(4, 0.3)).predict(
        apart(x, x), np.zeros((4, 4))
    )
    assert mean == pytest.approx([0.3] * 4) and (spread < 1e-3).all()
