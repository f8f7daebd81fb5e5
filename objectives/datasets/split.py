"""Splits samples into train, validation and test: stratified, seeded, groups kept together.

60/20/20, or 20 % of train for validation where a test set is given. With under 200 validation samples a
single validation set says little, so there are 4 folds x 2 repeats over train and validation, whose
results the caller averages.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from objectives.datasets.rows import AnyArray, IntArray
from objectives.datasets.wording import count
from objectives.errors import DataError

FIFTHS = 5
FOLDS, REPEATS = 4, 2
FEWEST_VALIDATION = 200
FEWEST_OF_A_CLASS = 2


@dataclass(frozen=True)
class Split:
    """Row numbers of the source.

    `dev` holds train and validation, in stored order: shuffled, and train first if there is one fold.
    `test` is None where a test set is given. `folds` are pairs of positions within `dev`.
    """

    dev: IntArray
    test: IntArray | None
    folds: tuple[tuple[IntArray, IntArray], ...]


def take_subset(codes: IntArray, size: int | None, seed: int) -> IntArray:
    """Return the row numbers of a stratified subset, in ascending order; all of them if `size` is None.

    Each class keeps its share, rounded by largest remainder. Raises DataError if there are fewer
    samples than asked.
    """
    if size is None:
        return np.arange(len(codes))
    if size > len(codes):
        raise DataError(f"a subset has at most all {len(codes):,} samples, got {size:,}; leave --subset out")
    generator = np.random.default_rng(seed)
    wanted = _shares(np.bincount(codes), size)
    chosen = [generator.permutation(np.flatnonzero(codes == k))[:number] for k, number in enumerate(wanted)]
    rows: IntArray = np.sort(np.concatenate(chosen))
    return rows


def _shares(counts: IntArray, size: int) -> IntArray:
    exact = counts * size / counts.sum()
    shares: IntArray = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(shares - exact, kind="stable")
    shares[by_remainder[: size - shares.sum()]] += 1
    return shares


def split_samples(
    codes: IntArray, classes: tuple[str, ...], groups: AnyArray | None, seed: int, *, test_given: bool
) -> Split:
    """Split samples by their class codes.

    Raises DataError if a class has too few samples for 2 in every set, or if there are too few groups.
    """
    folded = len(codes) // FIFTHS < FEWEST_VALIDATION
    parts = FOLDS if test_given and folded else FIFTHS
    _check_counts(codes, classes, parts)
    _check_groups(groups, parts)
    members = None if groups is None else np.unique(groups.astype(str), return_inverse=True)[1]
    generator = np.random.default_rng(seed)
    everything = np.arange(len(codes))
    dev, test = (everything, None) if test_given else _one_part(codes, members, FIFTHS, generator)
    dev = generator.permutation(dev)
    dev_groups = None if members is None else members[dev]
    if folded:
        folds = tuple(f for _ in range(REPEATS) for f in _parts(codes[dev], dev_groups, FOLDS, generator))
    else:
        inner = _one_part(codes[dev], dev_groups, FIFTHS if test_given else FOLDS, generator)
        dev = dev[np.concatenate(inner)]
        folds = ((np.arange(len(inner[0])), np.arange(len(inner[0]), len(dev))),)
    split = Split(dev, test, folds)
    _check_split(split, codes, classes, grouped=groups is not None)
    return split


def _parts(
    codes: IntArray, groups: IntArray | None, parts: int, generator: np.random.Generator
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield (the others, this part) for each of so many stratified parts."""
    import sklearn.model_selection as selection  # type: ignore[import-untyped, unused-ignore]

    kind = selection.StratifiedKFold if groups is None else selection.StratifiedGroupKFold
    splitter = kind(parts, shuffle=True, random_state=int(generator.integers(2**31)))
    yield from splitter.split(np.zeros(len(codes)), codes, groups)


def _one_part(
    codes: IntArray, groups: IntArray | None, parts: int, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Return (the others, one part): of the parts, the one whose class counts are nearest to an equal share.

    Without groups all parts are alike; with groups they are as unequal as the groups.
    """
    share = np.bincount(codes) / parts

    def distance(pair: tuple[IntArray, IntArray]) -> float:
        return float(np.abs(np.bincount(codes[pair[1]], minlength=len(share)) - share).sum())

    best: tuple[IntArray, IntArray] = min(_parts(codes, groups, parts, generator), key=distance)
    return best


def _check_counts(codes: IntArray, classes: tuple[str, ...], parts: int) -> None:
    """Refuse what cannot give each of so many equal parts 2 samples of every class."""
    counts = np.bincount(codes, minlength=len(classes))
    rarest = int(counts.argmin())
    needed = parts * FEWEST_OF_A_CLASS
    if counts[rarest] < needed:
        raise DataError(
            f"train, validation and test need at least {FEWEST_OF_A_CLASS} samples of every class "
            "each, so a class "
            f"needs {needed}, and '{classes[rarest]}' has {counts[rarest]}; add samples of it or "
            "leave the class out"
        )


def _check_groups(groups: AnyArray | None, parts: int) -> None:
    found = parts if groups is None else len(np.unique(groups.astype(str)))
    if found < parts:
        raise DataError(
            f"groups are never split across sets, so there must be at least {parts}, got "
            f"{count(found, 'group')}; "
            "bring more, or name a finer --group column"
        )


def _check_split(split: Split, codes: IntArray, classes: tuple[str, ...], *, grouped: bool) -> None:
    if split.test is not None:
        check_set(codes[split.test], classes, "test", grouped=grouped)
    for train, valid in split.folds:
        check_set(codes[split.dev[train]], classes, "train", grouped=grouped)
        check_set(codes[split.dev[valid]], classes, "validation", grouped=grouped)


def check_set(codes: IntArray, classes: tuple[str, ...], name: str, *, grouped: bool = False) -> None:
    """Raise DataError unless a set holds at least 2 samples of every class."""
    counts = np.bincount(codes, minlength=len(classes))
    rarest = int(counts.argmin())
    if counts[rarest] < FEWEST_OF_A_CLASS:
        way_out = "bring more groups of it, or try another split seed" if grouped else "add samples of it"
        raise DataError(
            f"every set needs at least {FEWEST_OF_A_CLASS} samples of a class, and {name} has "
            f"{counts[rarest]} of "
            f"'{classes[rarest]}'; {way_out}, or leave the class out"
        )
