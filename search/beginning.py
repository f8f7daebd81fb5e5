"""What a study tries before its sampler is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from objectives.canonical import canonical, least_bytes
from search.carried import carried
from search.errors import StudyError
from search.strategies import strategy_of
from spaces.ladder import Rung, rungs

if TYPE_CHECKING:
    from collections.abc import Callable

    from search.plan import StudyPlan
    from search.prepared import Prepared
    from spaces.candidate import Problem
    from spaces.chooser import Ranges
    from spaces.space import Space

STEP = 4
"""Every how many rungs the ladder is climbed at first; what was left out follows."""


def handed_to(prepared: Prepared, say: Callable[[str], None]) -> tuple[dict[str, Any], ...]:
    """Return the parameters that another study hands on. Raises StudyError where it has none.

    `say` is told what of them is chosen anew, for it lies outside of the ranges.
    """
    plan, places = prepared.plan, prepared.places
    if plan.source == prepared.name:
        raise StudyError(
            f"the study '{prepared.name}' is this very one, for it has the same device and goals; name "
            "another --device, or another --name"
        )
    return () if plan.source is None else carried(places, plan, prepared.ranges, say)


def ladder_of(prepared: Prepared, most: int) -> tuple[Rung, ...]:
    """Return proven designs, where the strategy has them and networks are made here.

    At most so many: what is never asked would be shown as waiting for ever.
    """
    plan = prepared.plan
    if not strategy_of(plan).ladder or prepared.model is not None or plan.only_carried:
        return ()
    return ladder(prepared.space, prepared.problem, prepared.ranges, plan)[: max(0, most)]


def ladder(space: Space, problem: Problem, ranges: Ranges, plan: StudyPlan) -> tuple[Rung, ...]:
    """Return proven designs, canonical, in an order in which the first few span all sizes.

    Left out is what cannot keep the limit on bytes. Raises StudyError where a user's own space fails.
    """
    size = next((goal for goal in plan.goals if goal.metric == "model_bytes" and goal.limit), None)
    try:
        made = (Rung(p, canonical(found, problem)) for p, found in rungs(space, problem, ranges))
        fitting = [
            rung for rung in made if size is None or size.violation(least_bytes(rung.candidate, problem)) <= 0
        ]
    except Exception as error:  # a user's own space may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise StudyError(
            f"the space '{space.name}' cannot make its ladder ({reason}); mend it, or give --without ladder"
        ) from error
    return tuple(rung for first in range(STEP) for rung in fitting[first::STEP])
