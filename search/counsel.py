"""What a study tells its workers along with a candidate, and what it makes of the forms they bring back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from objectives.brief import Brief
from objectives.goals import violations
from objectives.outcome import Evidence, Harvested, Infeasible, Measured, Outcome
from search.front import front
from search.lessons import AUDITED, Lessons, checks, joined_front
from search.offers import Offer, offers
from search.trial import TrialRecord

if TYPE_CHECKING:
    from objectives.goals import Goal
    from search.asking import Asker
    from search.storage import Facts
    from search.strategies import Strategy
    from spaces.candidate import Candidate, Compression

Known = Callable[[str], TrialRecord | None]
"""Tells of a candidate's digest which trial it is, if it is one."""
UNNUMBERED = 2**31
"""Where the numbers begin that forms have until they are trials."""


class Reaped(NamedTuple):
    """A form that becomes a trial: how it ended, and the parameters that would have led to it."""

    record: TrialRecord
    offer: Offer


class Stocked(NamedTuple):
    """What is known of a form that is no trial, and of which trial's network it is."""

    outcome: Outcome
    parent: int


class Counsel:
    """Carries a strategy out, but for its sampler: what to stop, what to harvest, what that has taught."""

    def __init__(self, asker: Asker, facts: Facts, strategy: Strategy, trials: Sequence[TrialRecord]) -> None:
        self._asker, self._facts, self._strategy = asker, facts, strategy
        self._goals = facts.plan.goals
        self.lessons = Lessons(facts)
        self.stock: dict[str, Stocked] = {}
        self._offered: dict[int, dict[Compression, Offer]] = {}
        for trial in trials:
            self.lessons.learn(trial)
            self._put_in_stock(forms_of(trial, self._goals))
        self.lessons.recall(checks(trials, self._goals))

    def brief(
        self,
        number: int,
        candidate: Candidate,
        params: Mapping[str, Any],
        best: Sequence[TrialRecord],
        known: Known = lambda _: None,
    ) -> Brief:
        """Return what to tell a worker of the study and of the wanted forms that are not `known` yet."""
        strategy = self._strategy
        # What is only carried over is not trained, and its forms are carried over themselves.
        if self._facts.plan.only_carried or not (strategy.harvest or strategy.stopping):
            return Brief()
        wanted: dict[Compression, Offer] = {}
        if strategy.harvest:
            wanted = self._offers(candidate, params)
            self._offered[number] = wanted
        return Brief(
            siblings=tuple(c for c, offer in wanted.items() if not self._is_known(offer.candidate, known)),
            standing=self.lessons.standing(best, candidate.compression),
            stopping=strategy.stopping,
            audit=self._is_audit(number),
        )

    def reaped(
        self, trial: TrialRecord, params: Callable[[], Mapping[str, Any]], known: Known
    ) -> tuple[Reaped, ...]:
        """Return the forms of a trial's network that are no trials yet and that no other form dominates.

        The rest is put in stock. `params` tells what the sampler chose for the trial, where that is needed.
        """
        offered, forms = self._offered.pop(trial.number, None), tuple(forms_of(trial, self._goals))
        best = {form.number for form in front((trial, *forms), self._goals)} if forms else set()
        self._put_in_stock(form for form in forms if form.number not in best)
        new = [
            form
            for form in forms
            if form.number in best and form.candidate and not known(form.candidate.digest)
        ]
        if not new or trial.candidate is None:
            return ()
        if offered is None:
            offered = self._offers(trial.candidate, params())
        return tuple(
            Reaped(form, offered[form.candidate.compression])
            for form in new
            if form.candidate and form.candidate.compression in offered
        )

    def audit(self, trial: TrialRecord, best: Sequence[TrialRecord]) -> None:
        """Check the rule by a trial that it would have stopped: did it or a form of it join the front?"""
        if trial.evidence.doubt is not None:
            self.lessons.audit(wrong=joined_front(trial, best))

    def _offers(self, candidate: Candidate, params: Mapping[str, Any]) -> dict[Compression, Offer]:
        return offers(self._asker, self._facts.plan, candidate, params)

    def _is_known(self, candidate: Candidate, known: Known) -> bool:
        digest = candidate.digest
        return digest in self.stock or known(digest) is not None

    def _put_in_stock(self, forms: Iterator[TrialRecord] | Sequence[TrialRecord]) -> None:
        for form in forms:
            if form.candidate is not None and form.outcome is not None and form.parent is not None:
                self.stock[form.candidate.digest] = Stocked(form.outcome, form.parent)

    def _is_audit(self, number: int) -> bool:
        """Draw the share of trials that are finished in any case, the same ones if a study is repeated."""
        drawn = hashlib.sha256(f"{self._facts.plan.seed}/audit/{number}".encode()).digest()
        return int.from_bytes(drawn[:4]) < AUDITED * 2**32


def forms_of(trial: TrialRecord, goals: Sequence[Goal]) -> Iterator[TrialRecord]:
    """Yield the measured other forms of a trial's network as records without a number of their own."""
    if trial.candidate is None:
        return
    for i, made in enumerate(trial.evidence.harvest):
        if made.error is not None:
            continue
        outcome = _outcome(made, trial.evidence, goals)
        yield TrialRecord(
            number=UNNUMBERED + i,
            state=outcome.state,
            candidate=trial.candidate.model_copy(update={"compression": made.compression}),
            outcome=outcome,
            parent=trial.number,
        )


def _outcome(made: Harvested, parent: Evidence, goals: Sequence[Goal]) -> Measured | Infeasible:
    evidence = Evidence(
        measurements=made.measurements,
        latency=made.latency,
        artifact=made.artifact,
        inputs_used=parent.inputs_used,
        parameters=made.parameters,
        stages=made.values,
        seconds={"harvest": made.seconds},
    )
    broken = violations(goals, evidence.values)
    return Infeasible(violations=broken, evidence=evidence) if broken else Measured(evidence=evidence)
