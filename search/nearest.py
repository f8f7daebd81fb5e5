"""What to say where nothing fits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from objectives.outcome import Infeasible

if TYPE_CHECKING:
    from search.trial import TrialRecord


def nearest(trials: Iterable[TrialRecord], study: str, asks: int) -> str:
    """Say which limit binds after so many asks in vain, and how near a trial came to keeping all of them."""
    infeasible = [
        (sum(violation.excess for violation in t.outcome.violations), t.number, t.outcome.violations)
        for t in trials
        if isinstance(t.outcome, Infeasible)
    ]
    if not infeasible:
        return (
            f"{asks} asks in a row brought no new candidate that could be measured; "
            f"`edgesearch trials {study}` says why"
        )
    _, number, broken = min(infeasible, key=lambda found: found[:2])
    worst = max(broken, key=lambda violation: violation.excess)
    return (
        f"no new candidate fits after {asks} asks in a row: the limit {worst.metric} {worst.limit:g} "
        f"binds, the nearest was trial {number} with {worst.value:.6g}; relax the limit or widen the ranges"
    )
