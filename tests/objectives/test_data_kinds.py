"""What an array is taken for, and the shape that it has inside."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.datasets.kinds import shape_samples
from objectives.datasets.raw import Part, Raw
from objectives.datasets.rows import ArrayRows, View, chunks

SIDES = st.integers(1, 5)


def raw_of(x, test=None) -> Raw:
    part = None if test is None else Part(ArrayRows(test), np.zeros(len(test)))
    return Raw("name", Part(ArrayRows(x), np.zeros(len(x))), part)


@pytest.mark.parametrize(
    ("shape", "wanted", "kind", "inside"),
    [
        ((6, 5), None, "table", (5,)),
        ((6, 5), "series", "series", (5, 1, 1)),
        ((6, 4, 4), None, "image", (4, 4, 1)),
        ((6, 4, 4), "series", "series", (4, 1, 4)),
        ((6, 5, 3), None, "series", (5, 1, 3)),
        ((6, 5, 3), "image", "image", (5, 3, 1)),
        ((6, 5, 3), "table", "table", (15,)),
        ((6, 5, 4, 3), None, "image", (5, 4, 3)),
        ((6, 5, 4, 3), "table", "table", (60,)),
        ((6, 5, 1, 3), "series", "series", (5, 1, 3)),
    ],
)
def test_the_kind_follows_from_the_axes_unless_it_is_given(shape, wanted, kind, inside):
    shaped = shape_samples(raw_of(np.ones(shape)), wanted)
    assert (shaped.kind, shaped.train.shape) == (kind, (6, *inside))
    assert shaped.train.take(np.arange(2)).shape == (2, *inside)
    assert ("as asked" if wanted else "--kind overrides") in shaped.notes[0]


@pytest.mark.parametrize(
    ("pixels", "dtype"),
    [
        (np.array([0, 255], np.uint8), np.uint8),
        (np.array([False, True]), np.uint8),
        (np.array([0, 255], np.int64), np.uint8),
        (np.array([0, 256], np.int64), np.float32),
        (np.array([-1, 5], np.int16), np.float32),
        (np.array([0.0, 1.0]), np.float32),
    ],
)
def test_pixels_are_bytes_if_they_are_whole_numbers_that_fit(pixels, dtype):
    x = np.resize(pixels, (4, 3, 3, 1))
    shaped = shape_samples(raw_of(x), None, chunk_bytes=1)
    assert shaped.train.dtype == dtype
    np.testing.assert_array_equal(shaped.train.take(np.arange(4)), x)


def test_test_pixels_count_too():
    x = np.zeros((4, 3, 3), np.int64)
    assert shape_samples(raw_of(x, x + 300), None).train.dtype == np.float32


def test_numbers_too_large_for_float32_become_infinite_and_are_found_later():
    x = np.array([[1e300, 1.0]])
    assert shape_samples(raw_of(x), None).train.take(np.arange(1)).tolist() == [[np.inf, 1.0]]


def test_channels_that_come_first_are_pointed_out():
    notes = shape_samples(raw_of(np.zeros((2, 3, 32, 32), np.uint8)), None).notes
    assert "put that axis last" in notes[1]
    assert len(shape_samples(raw_of(np.zeros((2, 32, 32, 3), np.uint8)), None).notes) == 1


@given(SIDES, SIDES, SIDES, st.integers(1, 200), st.randoms())
def test_chunks_give_every_row_once_and_in_order(rows, height, width, chunk_bytes, random):
    x = np.arange(rows * height * width, dtype=np.float64).reshape(rows, height, width)
    order = np.array(random.sample(range(rows), rows))
    view = View(ArrayRows(x), (height * width,), np.dtype(np.float32))
    parts = list(chunks(view, order, chunk_bytes))
    assert all(part.nbytes <= max(chunk_bytes, height * width * 4) for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts), x.reshape(rows, -1)[order])
