"""The normaliser: fitted on train alone, per column or channel, and the same after JSON."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from objectives.normalise import Normaliser

FLOATS = st.floats(-1e6, 1e6, width=32)
TABLES = hnp.arrays(np.float32, st.tuples(st.integers(2, 30), st.integers(1, 4)), elements=FLOATS)


@pytest.mark.parametrize(
    ("shape", "kind", "size"),
    [((200, 3), "table", 3), ((20, 5, 4, 3), "image", 3), ((20, 30, 1, 2), "series", 2)],
)
def test_each_column_or_channel_gets_mean_0_and_deviation_1(shape, kind, size):
    x = np.random.default_rng(0).normal(50, 7, shape).astype(np.float32) * np.arange(
        1, size + 1, dtype=np.float32
    )
    normaliser = Normaliser.fit(x, kind)
    assert (len(normaliser.offset), normaliser.clip) == (size, 6.0)
    z = normaliser.apply(x).reshape(-1, size)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(axis=0), 1, atol=1e-4)


@settings(deadline=None)
@given(TABLES, st.integers(1, 400))
def test_chunks_agree_with_numpy(x, chunk_bytes):
    normaliser = Normaliser.fit(x, "table", chunk_bytes)
    exact = x.astype(np.float64)
    varies = np.ptp(x, axis=0) > 0
    np.testing.assert_allclose(
        normaliser.offset, np.where(varies, exact.mean(axis=0), x[0]), rtol=1e-5, atol=1e-6
    )
    with np.errstate(divide="ignore"):
        scale = np.where(varies & (exact.std(axis=0) > 1e-37), 1 / exact.std(axis=0), 1.0)
    large = np.abs(exact).max(axis=0) * 1e-9 < exact.std(axis=0)
    np.testing.assert_allclose(np.array(normaliser.scale)[large], scale[large], rtol=1e-5)


@settings(deadline=None)
@given(TABLES)
def test_values_stay_finite_within_the_clip_and_the_same_after_json(x):
    normaliser = Normaliser.fit(x, "table")
    z = normaliser.apply(x)
    assert (z.dtype, z.shape) == (np.float32, x.shape)
    assert np.all(np.abs(z) <= 6.0)
    again = Normaliser.model_validate_json(normaliser.model_dump_json())
    np.testing.assert_array_equal(again.apply(x), z)
    np.testing.assert_array_equal(np.float32(normaliser.offset), normaliser.offset)


def test_a_constant_column_is_harmless():
    x = np.stack([np.full(50, 0.1), np.arange(50)], axis=1).astype(np.float32)
    normaliser = Normaliser.fit(x, "table")
    assert normaliser.scale[0] == 1.0
    assert np.all(normaliser.apply(x)[:, 0] == 0)


def test_deviations_whose_inverse_is_no_float32_count_as_constant():
    x = np.array([[0.0], [1e-45]], np.float32)
    assert Normaliser.fit(x, "table").scale == (1.0,)


def test_outliers_are_clipped_and_bytes_are_not():
    x = np.zeros((1000, 1), np.float32)
    x[0] = 1e6
    assert Normaliser.fit(x, "table").apply(x).max() == 6.0
    pixels = np.zeros((1000, 1, 1, 1), np.uint8)
    pixels[0] = 255
    normaliser = Normaliser.fit(pixels, "image")
    assert normaliser.clip is None
    assert normaliser.apply(pixels).max() > 30
    assert normaliser.apply(pixels).dtype == np.float32


def test_the_input_is_not_touched():
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    before = x.copy()
    Normaliser.fit(x, "table").apply(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(("shape", "kind"), [((4, 3), "image"), ((4, 3, 1, 1), "table"), ((0, 3), "table")])
def test_samples_of_another_kind_are_refused(shape, kind):
    with pytest.raises(ValueError, match="got an array of shape"):
        Normaliser.fit(np.zeros(shape, np.float32), kind)


@pytest.mark.parametrize(
    "broken",
    [
        {"offset": (0.0,), "scale": (1.0, 1.0)},
        {"offset": (), "scale": ()},
        {"offset": (0.0,), "scale": (0.0,)},
        {"offset": (float("nan"),), "scale": (1.0,)},
        {"offset": (0.0,), "scale": (1.0,), "clip": -1.0},
    ],
)
def test_construction_validates(broken):
    with pytest.raises(ValidationError):
        Normaliser(**broken)
