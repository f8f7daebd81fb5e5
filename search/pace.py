"""How long a study still takes: what its trials took so far, by how they ended."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.trial import TrialRecord

WINDOW = 64
"""So many trials of each state are looked at, the newest ones: a search moves to other candidates."""
MIXED = 4 * WINDOW
"""Over so many trials it is looked at how they end."""
FEWEST = 0.01
"""Trials at once: who is told fewer than this has hardly begun to look."""
TRIMMED = 0.1
"""This share of the longest and of the shortest times is left out, lest a straggler change it all."""

SEATS_PER_SPARE = 8
"""For so many workers one trial is asked ahead, for fewer as well."""


def spare(workers: int) -> int:
    """Return how many trials to ask ahead, so that a free worker need not wait for the sampler.

    For one worker none, since there is time to ask only while it is busy; and no more than it takes, for what
    is asked earlier is asked with less knowledge.
    """
    return max(1, workers // SEATS_PER_SPARE) if workers > 1 else 0


class Pace:
    """Seconds of a worker by trial that counts, of the newest trials.

    `prior_s` is what a trial takes as far as is known before one came back, in seconds of a worker. Every
    call takes the same short time, however many trials there were.
    """

    def __init__(self, prior_s: float | None = None) -> None:
        self._prior_s = prior_s
        self._took: dict[str, deque[float]] = {}
        self._ended: deque[tuple[str, bool]] = deque(maxlen=MIXED)

    @classmethod
    def of(cls, trials: Iterable[TrialRecord]) -> Pace:
        """Return the pace of a study that is taken up: what its last trials took is known before any."""
        before = cls()
        for trial in trials:
            if (seconds := sum(trial.evidence.seconds.values())) and trial.parent is None:
                before.took(trial.state, seconds, counts=trial.counts)
        return cls(before.trial_s)

    def took(self, ended: str, seconds: float, *, counts: bool) -> None:
        """Take note of a trial, by how it ended, and whether it counts for `--trials`."""
        self._took.setdefault(ended, deque(maxlen=WINDOW)).append(seconds)
        self._ended.append((ended, counts))

    @property
    def trial_s(self) -> float | None:
        """What a trial that counts takes on average, with its part in those that failed; None if unknown."""
        counted = sum(counts for _, counts in self._ended)
        if not counted:
            return self._prior_s
        total = sum(
            count * _trimmed_mean(self._took[ended]) for (ended, _), count in Counter(self._ended).items()
        )
        return total / counted

    def seconds_left(self, trials: int, at_once: float, under_way_s: Iterable[float] = ()) -> float | None:
        """Return how long so many trials that count still take, or None where nothing is known yet.

        `at_once` trials are under way on average, and `under_way_s` says for how long those of now were.
        """
        trial_s = self.trial_s
        if trial_s is None:
            return None
        begun = [min(trial_s, seconds) for seconds in under_way_s][:trials]
        left = trials * trial_s - sum(begun)
        return left / max(FEWEST, min(at_once, trials)) if trials > 0 else 0.0


def _trimmed_mean(seconds: Iterable[float]) -> float:
    ordered = sorted(seconds)
    cut = int(TRIMMED * len(ordered))
    return fmean(ordered[cut : len(ordered) - cut])
