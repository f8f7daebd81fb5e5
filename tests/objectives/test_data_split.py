"""Splits: disjoint, complete, stratified, seeded, and never through a group."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from objectives.datasets.split import FOLDS, REPEATS, split_samples, take_subset
from objectives.errors import DataError

COUNTS = st.lists(st.integers(10, 500), min_size=2, max_size=4)
SEEDS = st.integers(0, 1000)


def codes_of(counts, seed=0):
    codes = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(codes)


def names(counts):
    return tuple(f"c{k}" for k in range(len(counts)))


def sets(split):
    """Return (train, validation, test) as row numbers of the source, for every fold."""
    test = np.arange(0) if split.test is None else split.test
    return [(split.dev[train], split.dev[valid], test) for train, valid in split.folds]


@settings(deadline=None)
@given(COUNTS, SEEDS, st.booleans())
def test_every_sample_is_in_one_set_and_every_class_in_each_by_its_share(counts, seed, test_given):
    codes = codes_of(counts)
    split = split_samples(codes, names(counts), None, seed, test_given=test_given)
    folded = sum(counts) // 5 < 200
    assert len(split.folds) == (FOLDS * REPEATS if folded else 1)
    for parts in sets(split):
        assert sorted(np.concatenate(parts)) == list(range(len(codes)))
        shares = (
            (3 / 4 if folded else 4 / 5, 1 / 4 if folded else 1 / 5, 0) if test_given else (0.6, 0.2, 0.2)
        )
        for part, share in zip(parts, shares, strict=True):
            found = np.bincount(codes[part], minlength=len(counts))
            assert np.all(np.abs(found - share * np.array(counts)) <= 2)


@given(COUNTS, SEEDS)
@settings(deadline=None)
def test_the_seed_decides(counts, seed):
    codes = codes_of(counts)
    first, again, other = (
        split_samples(codes, names(counts), None, s, test_given=False) for s in (seed, seed, seed + 1)
    )
    assert np.array_equal(first.dev, again.dev)
    for pair, same in zip(first.folds, again.folds, strict=True):
        assert [positions.tolist() for positions in pair] == [positions.tolist() for positions in same]
    assert not np.array_equal(first.dev, other.dev)


def test_each_repeat_validates_on_every_row_once_and_differently():
    split = split_samples(codes_of([60, 60]), ("a", "b"), None, 0, test_given=False)
    repeats = [split.folds[:FOLDS], split.folds[FOLDS:]]
    for folds in repeats:
        assert sorted(np.concatenate([valid for _, valid in folds])) == list(range(len(split.dev)))
    assert not any(np.array_equal(a[1], b[1]) for a in repeats[0] for b in repeats[1])


def test_with_one_fold_train_comes_first():
    split = split_samples(codes_of([600, 600]), ("a", "b"), None, 0, test_given=False)
    ((train, valid),) = split.folds
    assert np.array_equal(np.concatenate((train, valid)), np.arange(len(split.dev)))
    # Shuffled: neither the classes nor the source's order are seen in the stored one.
    assert 100 < np.sum(np.diff(split.dev[train]) < 0) < len(train) - 100


@settings(deadline=None, max_examples=40)
@given(st.integers(8, 60), st.integers(2, 30), SEEDS, st.booleans())
def test_groups_are_never_in_two_sets(group_count, per_group, seed, test_given):
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(group_count), per_group)
    codes = generator.integers(0, 2, len(groups))
    try:
        split = split_samples(codes, ("a", "b"), groups.astype(str), seed, test_given=test_given)
    except DataError as error:
        assume("needs at least" not in str(error) and "at least 2 samples" not in str(error))
        raise
    for parts in sets(split):
        owners = [set(groups[part]) for part in parts]
        assert sum(map(len, owners)) == len(set.union(*owners))
        assert sorted(np.concatenate(parts)) == list(range(len(codes)))


def test_grouped_sets_are_near_their_share():
    groups = np.repeat(np.arange(300), 10)
    codes = np.random.default_rng(0).integers(0, 3, len(groups))
    ((train, valid, test),) = sets(split_samples(codes, ("a", "b", "c"), groups, 0, test_given=False))
    for part, share in ((train, 0.6), (valid, 0.2), (test, 0.2)):
        assert abs(len(part) / len(codes) - share) < 0.03


@pytest.mark.parametrize(
    ("smallest", "test_given", "fine"),
    [(10, False, True), (9, False, False), (8, True, True), (7, True, False)],
)
def test_two_samples_of_each_class_in_every_set_is_the_limit(smallest, test_given, fine):
    codes = codes_of([50, smallest])
    if not fine:
        with pytest.raises(DataError, match=f"'c1' has {smallest}"):
            split_samples(codes, ("c0", "c1"), None, 0, test_given=test_given)
        return
    for parts in sets(split_samples(codes, ("c0", "c1"), None, 0, test_given=test_given)):
        assert all(np.sum(codes[part] == 1) >= 2 for part in parts if len(part))


@given(COUNTS, SEEDS, st.data())
def test_a_subset_keeps_the_shares_and_the_size(counts, seed, data):
    codes = codes_of(counts)
    size = data.draw(st.integers(1, len(codes)))
    rows = take_subset(codes, size, seed)
    assert len(set(rows)) == size
    found = np.bincount(codes[rows], minlength=len(counts))
    assert np.all(np.abs(found - size * np.array(counts) / len(codes)) < 1)
    assert np.array_equal(rows, take_subset(codes, size, seed))


def test_no_subset_is_all_rows():
    assert take_subset(codes_of([5, 5]), None, 0).tolist() == list(range(10))
