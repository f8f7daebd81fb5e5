"""What the trials of a study teach about those to come, and how well that has held.

From finished trials: what each step from a network to a form costs of its accuracy, what becomes of a
learning curve, how the figures of two forms of one network compare. From the trials that were finished
although the rule would have stopped them: how often it was wrong, so that it can grow more patient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, permutations
from typing import TYPE_CHECKING, NamedTuple

from objectives.standing import Spread, Standing, error_of, twentieth
from search.front import figures, front
from spaces.forms import shape_of, steps_of

if TYPE_CHECKING:
    from objectives.goals import Direction, Goal
    from objectives.outcome import Evidence
    from search.storage import Facts
    from search.trial import StudyRecord, TrialRecord
    from spaces.candidate import Compression

CHANCE = 0.05
"""Below this chance to join the front a trial is stopped, as long as the rule is seldom wrong."""
TOLERATED = 0.1
"""The share of wrong verdicts among the checked ones above which the rule grows more patient."""
AUDITED = 0.1
"""The share of trials that are finished whatever the rule says, in order to check it."""
FEWEST_CURVES = 6
"""As many finished curves a study needs before it extrapolates another one."""
WITHOUT_WEIGHTS = ("latency_ms", "model_bytes", "arena_bytes", "energy_mj")
"""The figures of a form that do not depend on its weights."""


class Checks(NamedTuple):
    """How many trials were finished although they would have been stopped, and how many joined the front."""

    audited: int
    wrong: int


def checks(trials: Sequence[TrialRecord], goals: Sequence[Goal]) -> Checks:
    """Look through a study's trials, in order of number, for how often stopping would have been wrong."""
    wrong = [
        joined_front(
            trial, front([t for t in trials if t.number <= trial.number or t.parent == trial.number], goals)
        )
        for trial in trials
        if trial.evidence.doubt is not None
    ]
    return Checks(len(wrong), sum(wrong))


def about_frugality(study: StudyRecord) -> Iterator[str]:
    """Tell in a line each what harvest and stopping did, where they did anything."""
    asked = sum(trial.parent is None and trial.state == "measured" for trial in study.trials)
    if forms := sum(trial.parent is not None for trial in study.trials):
        yield f"harvest   {forms} forms of {asked} trained networks are trials of their own"
    stopped, seen = sum(trial.state == "stopped" for trial in study.trials), checks(study.trials, study.goals)
    if stopped or seen.audited:
        told = f"wrong in {seen.wrong} of {seen.audited}" if seen.audited else "none yet"
        yield f"stopping  {stopped} trials ended early; of those finished all the same, to check it: {told}"


def joined_front(trial: TrialRecord, best: Sequence[TrialRecord]) -> bool:
    """Tell whether a trial or a form of its network is on a front."""
    return any(trial.number in (other.number, other.parent) for other in best)


@dataclass
class _Tally:
    """Mean and variance of a growing number of observations (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        before = value - self.mean
        self.mean += before / self.count
        self.squares += before * (value - self.mean)

    @property
    def spread(self) -> Spread:
        deviation = math.sqrt(max(0.0, self.squares) / max(1, self.count - 1))
        return Spread(mean=self.mean, deviation=deviation, count=self.count)


@dataclass
class _Tallies:
    """Tallies by name."""

    by_name: dict[str, _Tally] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.by_name.setdefault(name, _Tally()).add(value)

    def spreads(self, fewest: int = 1, within: str = "") -> dict[str, Spread]:
        return {n: t.spread for n, t in self.by_name.items() if t.count >= fewest and within in n}


class Lessons:
    """Learns from trials as they come back."""

    def __init__(self, facts: Facts) -> None:
        plan = facts.plan
        self._direction: Direction = plan.metric_direction
        self._objectives = tuple(goal.metric for goal in plan.goals if goal.objective)
        self._half_sample = 0.5 / max(1, facts.data.sizes[1])
        self._gaps, self._rises, self._ratios = _Tallies(), _Tallies(), _Tallies()
        self._bases: set[str] = set()
        self.audited = self.wrong = 0

    def learn(self, trial: TrialRecord) -> None:
        """Take in a trial that ended, and the forms that were made of its network."""
        if trial.candidate is None or trial.parent is not None:
            return
        evidence = trial.evidence
        self._learn_curve(trial.candidate.base.digest, trial.candidate.training.epochs, evidence)
        forms = list(_forms(trial.candidate.compression, evidence))
        self._learn_gaps(forms)
        self._learn_ratios(forms)

    def recall(self, seen: Checks) -> None:
        """Take over what a study was checked for before."""
        self.audited, self.wrong = seen

    def audit(self, *, wrong: bool) -> None:
        """Take note of a trial that the rule would have stopped, and whether that would have been wrong."""
        self.audited += 1
        self.wrong += wrong

    @property
    def chance(self) -> float:
        """The chance below which a trial is stopped: the smaller, the more often the rule was wrong."""
        rate = self.wrong / self.audited if self.audited else 0.0
        return CHANCE * min(1.0, TOLERATED / rate) if rate else CHANCE

    def standing(self, front: Sequence[TrialRecord], about: Compression | None = None) -> Standing:
        """Return how the study stands, for a trial in the making.

        Of its own form `about` alone ratios to others are told, where it is given: there are as many ratios
        as pairs of forms, and every trial is sent what it needs.
        """
        own = f": {shape_of(about)} > " if about is not None else ""
        points = (figures(trial) for trial in front)
        return Standing(
            front=tuple({metric: point[metric] for metric in self._objectives} for point in points),
            gaps=self._gaps.spreads(),
            rises={int(name): spread for name, spread in self._rises.spreads(FEWEST_CURVES).items()},
            ratios=self._ratios.spreads(within=own),
            chance=self.chance,
            half_sample=self._half_sample,
        )

    def _learn_curve(self, base: str, epochs: int, evidence: Evidence) -> None:
        if base in self._bases or not evidence.stages:
            return
        self._bases.add(base)
        final = self._error(evidence.stages[0])
        for point in evidence.curve[:epochs]:
            if point.averaged is not None and point.epoch <= epochs:
                rise = math.log(final / self._error(point.averaged))
                self._rises.add(str(twentieth(point.epoch, epochs)), rise)

    def _learn_gaps(self, forms: Sequence[_Form]) -> None:
        """Take in by what ratio each step of each form made the error grow, steps in common once.

        By the other copies' ratios the error of a network with half its filters is foretold within 12 % (38
        of them, all of Fashion-MNIST), by their differences within 27 %; with 4 bits it is 14 against 31 %.
        """
        known: set[tuple[str, ...]] = set()
        for form in forms:
            steps = steps_of(form.compression)
            values = (
                (*form.stages, form.values["accuracy"]) if len(form.stages) == len(steps) else form.stages
            )
            for i, (before, after) in enumerate(pairwise(values)):
                if steps[: i + 1] not in known:
                    known.add(steps[: i + 1])
                    self._gaps.add(steps[i], math.log(self._error(after) / self._error(before)))

    def _learn_ratios(self, forms: Sequence[_Form]) -> None:
        by_shape = {shape_of(form.compression): form.values for form in forms}
        for (one, here), (other, there) in permutations(by_shape.items(), 2):
            for metric in WITHOUT_WEIGHTS:
                if here.get(metric, 0) > 0 and there.get(metric, 0) > 0:
                    self._ratios.add(f"{metric}: {one} > {other}", math.log(there[metric] / here[metric]))

    def _error(self, value: float) -> float:
        return max(error_of(value, self._direction), self._half_sample)


@dataclass(frozen=True)
class _Form:
    """One form of a network: the metric after each stage of it, and its figures."""

    compression: Compression
    stages: tuple[float, ...]
    values: Mapping[str, float]


def _forms(own: Compression, evidence: Evidence) -> Iterator[_Form]:
    """Yield the forms of a trial whose accuracy is known, its own first.

    Those among them that lost too much to be measured count as well: the others alone would make every form
    look better than it is.
    """
    if "accuracy" in evidence.values:
        yield _Form(own, evidence.stages, evidence.values)
    for made in evidence.harvest:
        values = {m.metric: m.value for m in made.measurements}
        if "accuracy" in values:
            yield _Form(made.compression, made.values, values)
