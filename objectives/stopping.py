"""Stopping a trial that can hardly join the front any more: a threshold on its learning curve.

The threshold is the least that one of the network's forms has to show to be beaten by nothing (see
`objectives/standing.py`). A trial ends where the chance of each of its forms is small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from objectives.goals import Direction, Goal
from objectives.outcome import Doubt, Epoch
from objectives.standing import FEWEST_SEEN, Spread, Standing, chance, error_of, expected, needed, twentieth
from spaces.candidate import Compression
from spaces.forms import shape_of, steps_of

CAUTION = 2.0
"""By how many standard deviations the better end of a guessed figure lies from its mean."""

Figures = Mapping[str, float]


class Hopeless(Exception):
    """A trial that can hardly join the front: after which epoch, why, and what was seen until then."""

    def __init__(self, doubt: Doubt, curve: tuple[Epoch, ...]) -> None:
        super().__init__(doubt.reason)
        self.doubt, self.curve = doubt, curve


@dataclass(frozen=True)
class Prospect:
    """One form that a network may take: the least that it has to show, and what its making changes."""

    form: Compression
    least: float
    gap: Spread


@dataclass(frozen=True)
class Prospects:
    """What forms of one network have to show, from what is known of one of them.

    `known` are the figures of the form `about` (of intervals the better end) that do not depend on weights.
    """

    standing: Standing
    goals: Sequence[Goal]
    about: Compression
    known: Figures

    def of(self, form: Compression, done: int = 0) -> Prospect:
        """Return the prospect of a form, of whose steps the first `done` are done."""
        least = needed(self.figures(form), self.standing, self.goals)
        return Prospect(form, least, self.standing.gap(steps_of(form)[done:]))

    def figures(self, form: Compression) -> Figures:
        """Return what a form will take at best; what the study cannot tell yet is not there."""
        here, there = shape_of(self.about), shape_of(form)
        if here == there:
            return self.known
        found = {}
        for metric, value in self.known.items():
            ratio = self.standing.ratios.get(f"{metric}: {here} > {there}")
            if ratio is not None and ratio.count >= FEWEST_SEEN:
                found[metric] = value * ratio.low(CAUTION)
        return found


class Watch:
    """Watches one trial, and raises Hopeless where the chance of all its forms is small.

    `look` finds out what is known of the candidate's own form, when it is first needed. With `audit`
    nothing is raised, and `doubt` says that it would have been.
    """

    def __init__(
        self,
        standing: Standing,
        goals: Sequence[Goal],
        direction: Direction,
        epochs: int,
        forms: Sequence[Compression],
        look: Callable[[], Figures],
        *,
        audit: bool,
    ) -> None:
        self._standing, self._goals, self._direction = standing, goals, direction
        self._epochs, self._forms, self._look, self._audit = epochs, forms, look, audit
        self._prospects: Prospects | None = None
        self._curve: list[Epoch] = []
        self.doubt: Doubt | None = None

    def __call__(self, point: Epoch) -> None:
        """Judge a point of the training's learning curve. Raises Hopeless."""
        self._curve.append(point)
        rise = self._standing.rises.get(twentieth(point.epoch, self._epochs))
        if point.averaged is None or rise is None or self.doubt or point.epoch == self._epochs:
            return
        shown = point.averaged
        prospects = [self.prospects.of(form) for form in self._forms]
        self._judge(shown, rise, prospects, f"showed {shown:.4f} after epoch {point.epoch}")

    def between(self, value: float, done: int, epoch: int) -> None:
        """Judge the candidate's own form where `done` of its steps are done. Raises Hopeless."""
        if self.doubt is None:
            prospect = self.prospects.of(self._forms[0], done)
            self._judge(value, None, [prospect], f"showed {value:.4f} before its last steps", epoch)

    @property
    def prospects(self) -> Prospects:
        """What the forms have to show."""
        if self._prospects is None:
            self._prospects = Prospects(self._standing, self._goals, self._forms[0], self._look())
        return self._prospects

    def _judge(
        self,
        value: float,
        rise: Spread | None,
        prospects: list[Prospect],
        what: str,
        epoch: int | None = None,
    ) -> None:
        direction, half_sample = self._direction, self._standing.half_sample
        error = max(error_of(value, direction), half_sample)
        chances = [
            # In doubt for the trial: half a sample less would do.
            (chance(error, p.least - half_sample, direction, p.gap, rise, half_sample), p)
            for p in prospects
        ]
        best, prospect = max(chances, key=lambda found: found[0])
        if best >= self._standing.chance:
            return
        least = abs(prospect.least)
        reason = (
            f"{what}; a form of it needs {least:.4f} to join the front, and has a chance of {best:.1%} "
            f"({' + '.join(steps_of(prospect.form))})"
        )
        last = self._curve[-1].epoch if epoch is None and self._curve else epoch or 1
        own = expected(error, direction, prospects[0].gap, rise)
        self.doubt = Doubt(epoch=last, reason=reason, expected=own)
        if not self._audit:
            raise Hopeless(self.doubt, tuple(self._curve))
