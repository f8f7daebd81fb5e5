"""Forms of a network become trials: when the trial that made them ends, or later, where it was missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.book import Book
    from search.counsel import Counsel
    from search.tally import Tally
    from search.trial import TrialRecord


def add_forms(
    book: Book, counsel: Counsel, tally: Tally, trial: TrialRecord, params: Callable[[], Mapping[str, Any]]
) -> Iterator[TrialRecord]:
    """Write down the forms of a trial's network that are worth it and no trials yet, and yield them.

    `params` tells what the sampler chose for the trial.
    """
    for form, offer in counsel.reaped(trial, params, tally.known):
        assert form.outcome is not None  # what has none is not reaped
        number = book.add(trial.number, offer.candidate, offer.params, offer.distributions, form.outcome)
        yield form.model_copy(update={"number": number})


def make_up(book: Book, counsel: Counsel, tally: Tally) -> Iterator[TrialRecord]:
    """Write down, and yield, the forms that no trial has: a kill came first, or the limits were others."""
    for trial in tuple(tally.trials):
        if trial.evidence.harvest:
            yield from add_forms(book, counsel, tally, trial, partial(book.params, trial.number))
