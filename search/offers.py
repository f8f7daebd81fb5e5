"""The other forms of an asked candidate's network, as candidates with the parameters that lead to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from search.asking import Declined
from search.chooser import distribution
from spaces.chooser import Choices, Integers, Reals, Recorder, Scalar
from spaces.forms import other_forms

if TYPE_CHECKING:
    from search.asking import Asker
    from search.plan import StudyPlan
    from spaces.candidate import Candidate, Compression


class Offer(NamedTuple):
    """A form of a network: the candidate, and what a sampler would have had to choose, within what."""

    candidate: Candidate
    params: Mapping[str, Any]
    asked: Mapping[str, Integers | Reals | Choices]

    @property
    def distributions(self) -> dict[str, Any]:
        """What the sampler would have had to choose from, as Optuna has it."""
        return {name: distribution(within) for name, within in self.asked.items()}


class _Unanswered(Declined):
    """The space asks what the asked candidate was not asked."""


class _Answers:
    """Chooses what it was given."""

    def __init__(self, answers: Mapping[str, Scalar]) -> None:
        self._answers = answers

    def __call__(self, name: str, within: Integers | Reals | Choices) -> Scalar:
        value = self._answers.get(name)
        if value is None or not within.holds(value):
            raise _Unanswered(name)
        return value


def offers(
    asker: Asker, plan: StudyPlan, candidate: Candidate, params: Mapping[str, Any]
) -> dict[Compression, Offer]:
    """Return the other forms in which a study offers a candidate's network, the cheapest first.

    A form differs in compression alone, by which it is found, and lies within the plan's ranges. `params` are
    what the sampler chose for the candidate. A space that asks for other names has no forms.
    """
    deflated = any(goal.metric == "compressed_bytes" for goal in plan.goals)  # so a deflated file counts
    found: dict[Compression, Offer] = {}
    for answers in other_forms(params, asker.ranges, deflated=deflated):
        try:
            chooser = Recorder(_Answers(answers))
            form = asker.made(chooser)
        except Declined:
            continue
        same = form.model_copy(update={"compression": candidate.compression})
        if same == candidate and form != candidate and form.compression not in found:
            found[form.compression] = Offer(form, chooser.answers, chooser.asked)
    return found
