"""Harvest: a trained network is offered in its other shippable forms, the cheapest first.

A form costs a conversion, or some epochs of fine-tuning, where another candidate costs a training. Each is
made only as long as it may still join the front, by what the study has seen such forms lose.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Protocol

from objectives.adapt import tuning_s
from objectives.goals import Direction, Goal, violations
from objectives.outcome import Evidence, Harvested
from objectives.standing import Standing, chance, error_of, needed
from objectives.stopping import Figures, Prospects

if TYPE_CHECKING:
    from hardware_profiles.device import Reading
    from hardware_profiles.measurement import Measurement
    from objectives.brief import Brief
    from objectives.stages import Clock, Form
    from spaces.candidate import Candidate

CONVERTED_CHANCE = 0.05
"""A form that costs a conversion is left out below this chance to join the front."""
TUNED_CHANCE = 0.25
"""So is one that costs a fine-tuning below this one."""
TUNED_SHARE = 1.0
"""All fine-tuning of a harvest together takes at most as long as this share of the training did."""


@dataclass(frozen=True)
class Made:
    """A form on disk: its files by fold, of which the first one ships under the name `artifact`."""

    candidate: Candidate
    forms: tuple[Form, ...]
    artifact: str
    seconds: float


class Workbench(Protocol):
    """What a harvest needs of whoever evaluates."""

    @property
    def goals(self) -> Sequence[Goal]:
        """The goals of the study."""

    @property
    def direction(self) -> Direction:
        """Whether more of the study's metric is better."""

    def make(self, candidate: Candidate, clock: Clock) -> Made:
        """Train, compress and convert, as far as it is not done yet."""

    def read(self, made: Sequence[Made], clock: Clock) -> list[Reading | Exception]:
        """Measure some forms in one go: what is known of each, or why nothing is."""

    def shown(self, made: Made) -> tuple[Measurement, ...]:
        """Return what a form shows without its device: accuracies, sparsity, bytes."""

    def evidence(self, made: Made, reading: Reading) -> Evidence:
        """Join all that is known of a form."""

    def values(self, candidate: Candidate) -> tuple[float, ...]:
        """Return the mean metric of the float network after each stage that is kept."""

    def training_s(self, candidate: Candidate) -> float:
        """Return what the training of the candidate's network took, in whichever trial that was."""


class Harvest:
    """Makes the other forms of one trial's network; `known` are the figures of the candidate's own form.

    `own` are all figures of that form, where it was measured: a form that it dominates is not made, unless
    it breaks a limit itself.
    """

    def __init__(
        self, bench: Workbench, candidate: Candidate, brief: Brief, known: Figures, own: Figures, clock: Clock
    ) -> None:
        self._bench, self._candidate, self._clock = bench, candidate, clock
        standing = brief.standing or Standing()
        points = (dict(own),) if "accuracy" in own and not violations(bench.goals, own) else ()
        self._prospects = Prospects(
            standing.model_copy(update={"front": (*standing.front, *points)}),
            bench.goals,
            candidate.compression,
            known,
        )
        self._within_s = inf if brief.within_s is None else brief.within_s
        self._siblings = [candidate.model_copy(update={"compression": c}) for c in brief.siblings]

    def forms(self) -> tuple[Harvested, ...]:
        """Return the forms that were made. Whatever goes wrong costs the form alone."""
        left = list(self._siblings)
        found = self._conversions(left)
        training_s, spent_s = self._bench.training_s(self._candidate), 0.0
        while left:
            sibling = left.pop(0)
            left_s = min(TUNED_SHARE * training_s - spent_s, self._within_s - self._clock.elapsed_s)
            if self._cost_s(sibling, training_s) > left_s or self._chance(sibling) < TUNED_CHANCE:
                continue
            start = time.perf_counter()
            found += self._read([self._made(sibling)])
            spent_s += time.perf_counter() - start
            found += self._conversions(left)  # of the network that is there now
            left = [other for other in left if other.stages != sibling.stages]  # or it failed
        return tuple(found)

    def _conversions(self, left: list[Candidate]) -> list[Harvested]:
        """Take those forms out that need no fine-tuning any more, and make them where they may join."""
        ready = [sibling for sibling in left if self._is_ready(sibling)]
        left[:] = [sibling for sibling in left if sibling not in ready]
        return self._read([form for sibling in ready if (form := self._converted(sibling))])

    def _is_ready(self, sibling: Candidate) -> bool:
        return len(self._bench.values(sibling)) == len(sibling.stages)

    def _converted(self, sibling: Candidate) -> Made | Harvested | None:
        return self._made(sibling) if self._chance(sibling) >= CONVERTED_CHANCE else None

    def _chance(self, sibling: Candidate) -> float:
        """Return how likely a form is to join the front, from the last of its stages that is kept."""
        values = self._bench.values(sibling)
        if not values:
            return 0.0
        form, standing = sibling.compression, self._prospects.standing
        prospect = self._prospects.of(form, done=len(values) - 1)
        half_sample, direction = standing.half_sample, self._bench.direction
        error = max(error_of(values[-1], direction), half_sample)
        # An equal one would be no gain: half a sample more is needed.
        return chance(error, prospect.least + half_sample, direction, prospect.gap, half_sample=half_sample)

    def _cost_s(self, sibling: Candidate, training_s: float) -> float:
        """Return what the fine-tuning that is missing takes, by the epochs of the network's training."""
        return tuning_s(sibling, max(0, len(self._bench.values(sibling)) - 1), training_s)

    def _made(self, sibling: Candidate) -> Made | Harvested:
        try:
            return self._bench.make(sibling, self._clock)
        except Exception as error:  # whatever TensorFlow raises costs this form alone
            if "KeyboardInterrupt" in str(error):  # which native code takes for an error of its own
                raise KeyboardInterrupt from error
            return Harvested(compression=sibling.compression, error=_one_line(error))

    def _read(self, made: Sequence[Made | Harvested]) -> list[Harvested]:
        """Measure those forms that may join the front now that their accuracy and bytes are known."""
        found = [form for form in made if isinstance(form, Harvested)]
        there = [form for form in made if isinstance(form, Made)]
        worth = [form for form in there if self._may_join(form)]
        found += [self._unread(form) for form in there if form not in worth]
        if not worth:
            return found
        for form, reading in zip(worth, self._bench.read(worth, self._clock), strict=True):
            if isinstance(reading, Exception):
                found.append(Harvested(compression=form.candidate.compression, error=_one_line(reading)))
                continue
            evidence = self._bench.evidence(form, reading)
            found.append(_harvested(form, evidence))
            self._take_in(evidence.values)
        return found

    def _unread(self, made: Made) -> Harvested:
        """Return a form that cannot join: what it shows tells the study what to expect of others."""
        return Harvested(
            compression=made.candidate.compression,
            measurements=self._bench.shown(made),
            artifact=made.artifact,
            values=self._bench.values(made.candidate),
            seconds=made.seconds,
            error="not measured: its accuracy and bytes cannot join the front",
        )

    def _may_join(self, made: Made) -> bool:
        form = made.forms[0]
        figures = {**self._prospects.figures(made.candidate.compression), "model_bytes": len(form.data)}
        least = needed(figures, self._prospects.standing, self._bench.goals)
        value = sum(f.value for f in made.forms) / len(made.forms)
        return (value if self._bench.direction == "maximize" else -value) > least

    def _take_in(self, values: dict[str, float]) -> None:
        """Let what was measured stand beside the front for the forms that follow."""
        wanted = {goal.metric for goal in self._bench.goals if goal.objective}
        if wanted <= values.keys() and not violations(self._bench.goals, values):
            before = self._prospects
            standing = before.standing.model_copy(update={"front": (*before.standing.front, values)})
            self._prospects = Prospects(standing, before.goals, before.about, before.known)


def _harvested(made: Made, evidence: Evidence) -> Harvested:
    return Harvested(
        compression=made.candidate.compression,
        measurements=evidence.measurements,
        latency=evidence.latency,
        artifact=made.artifact,
        values=evidence.stages,
        parameters=evidence.parameters,
        seconds=made.seconds,
    )


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
