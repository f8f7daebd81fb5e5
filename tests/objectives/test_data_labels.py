"""Labels of any type become classes and codes, and codes lead back to the labels."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.datasets.labels import encode_labels, plain_labels
from objectives.datasets.raw import Part, Raw
from objectives.datasets.rows import ArrayRows
from objectives.errors import DataError

ALPHABET = st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"))
LABELS = st.one_of(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=20),
    st.lists(st.booleans(), min_size=2, max_size=20),
    st.lists(st.text(ALPHABET, min_size=1, max_size=5), min_size=2, max_size=20),
)


def raw_of(y, y_test=None, classes=None) -> Raw:
    x = ArrayRows(np.zeros((len(y), 1)))
    test = None if y_test is None else Part(x, np.asarray(y_test))
    return Raw("name", Part(x, np.asarray(y)), test, classes=classes)


@given(LABELS.filter(lambda labels: len(set(labels)) > 1))
def test_codes_lead_back_to_the_labels(labels):
    encoded = encode_labels(raw_of(labels, labels[:1]))
    assert [encoded.classes[code] for code in encoded.train] == [str(label) for label in labels]
    assert encoded.test.tolist() == encoded.train[:1].tolist()
    assert encoded.classes == tuple(str(label) for label in sorted(set(labels)))


def test_numbers_are_sorted_by_size_and_floats_that_are_whole_are_whole():
    assert encode_labels(raw_of([10.0, 9.0, 2.0, 10.0])).classes == ("2", "9", "10")


def test_a_source_keeps_its_own_names():
    encoded = encode_labels(raw_of([1, 0, 1], classes=("zebra", "ant")))
    assert encoded.classes == ("zebra", "ant")
    assert encoded.train.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "plain"),
    [
        (np.array([b"a", b"b"]), ["a", "b"]),
        (np.array([["a"], ["b"]]), ["a", "b"]),
        (np.array([True, False], object), [True, False]),
        (np.array([3, 4], object), [3, 4]),
        (np.array([Decimal(3), Decimal(4)], object), [3, 4]),
        (np.array(["a", 4], object), ["a", "4"]),
    ],
)
def test_labels_become_plain(labels, plain):
    assert plain_labels(labels, "the target").tolist() == plain


def test_decimals_with_a_fraction_are_continuous():
    with pytest.raises(DataError, match="refuses a continuous target"):
        plain_labels(np.array([Decimal("1.5"), Decimal("2.5")], object), "the target")


def test_many_classes_with_samples_enough_are_no_quantity():
    assert len(np.unique(plain_labels(np.repeat(np.arange(100), 10), "the target"))) == 100


def test_a_small_test_set_of_many_classes_is_one():
    """What are classes is said by the train part."""
    train, test = np.repeat(np.arange(26), 50), np.repeat(np.arange(26), 8)
    labels = encode_labels(raw_of(train, test))
    assert labels.test.tolist() == test.tolist()


def test_text_and_numbers_meet_as_text():
    encoded = encode_labels(raw_of([10, 9, 10], ["9", "10"]))
    assert encoded.classes == ("9", "10")
    assert encoded.test.tolist() == [0, 1]
