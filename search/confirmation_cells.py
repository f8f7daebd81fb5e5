"""What looking twice at a front showed, as cells of rows and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from search.units import human_ms

if TYPE_CHECKING:
    from search.confirmation import Confirmation
    from search.tables import Cell
    from search.trial import StudyRecord, TrialRecord


def confirmed(record: TrialRecord, study: StudyRecord) -> dict[str, Cell]:
    """Return what looking twice at a trial of the front showed; what nobody looked at is None.

    `confirmed_latency_ms`, with its bounds, is the second measurement, and `latency_agrees` says whether
    its interval meets the first one's. `confirmed_accuracy` is the mean over `confirmed_trainings` with
    fresh seeds, and `confirmed_accuracy_spread` their standard deviation.
    """
    known = study.confirmation(record)
    second = known.latency if known else None
    return {
        "confirmed_latency_ms": second.latency_ms if second else None,
        "confirmed_latency_low_ms": second.low_ms if second else None,
        "confirmed_latency_high_ms": second.high_ms if second else None,
        "latency_agrees": known.agrees if known else None,
        "confirmed_accuracy": known.mean if known else None,
        "confirmed_accuracy_spread": known.spread if known else None,
        "confirmed_trainings": len(known.accuracies) if known else None,
    }


def looked_at_twice(records: Iterable[TrialRecord], study: StudyRecord) -> dict[str, list[str]]:
    """Return columns by heading for what looking twice showed; none where nobody did."""
    pairs = [(study.confirmation(record), confirmed(record, study)) for record in records]
    columns = {
        "measured again": [_measured_again(cells) for _, cells in pairs],
        "trained again": [trained_again(known) if known else "–" for known, _ in pairs],
    }
    return {heading: cells for heading, cells in columns.items() if set(cells) != {"–"} and cells}


def _measured_again(cells: dict[str, Cell]) -> str:
    value = cells["confirmed_latency_ms"]
    if not isinstance(value, float):
        return "–"
    return human_ms(value) + ("" if cells["latency_agrees"] else " (differs)")


def trained_again(known: Confirmation) -> str:
    """Return the mean of the fresh trainings with their standard deviation, `0.9512 ± 0.0040`."""
    spread = "" if known.spread is None else f" ± {known.spread:.4f}"
    return "–" if known.mean is None else f"{known.mean:.4f}{spread}"
