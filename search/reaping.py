"""Forms of networks become trials where they did not before, for the limits were others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search.book import Book
    from search.counsel import Counsel
    from search.tally import Tally
    from search.trial import TrialRecord


def make_up(book: Book, counsel: Counsel, tally: Tally) -> Iterator[TrialRecord]:
    """Write down, and yield, the forms of earlier harvests that are worth it and no trials yet."""
    for trial in tuple(tally.trials):
        if trial.evidence.harvest:
            yield from book.add(counsel.reaped(trial, partial(book.params, trial.number), tally.known))
