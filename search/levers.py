"""Which levers work on a network that was brought, for which device, and why the others do not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hardware_profiles.profile import HardwareProfile, load_profile
from objectives.brought.importing import import_model
from objectives.brought.value import BroughtModel
from search.errors import StudyError
from spaces.candidate import LAST_FIELD, PRECISIONS

if TYPE_CHECKING:
    from search.places import Places
    from search.plan import StudyPlan

NAMES = {"slim": "slimming", "prune": "sparsity", "cluster": "clustering", "aware": "aware training"}


class LeverRow(NamedTuple):
    """One lever, whether it can be used, and if not why."""

    lever: str
    usable: bool
    reason: str | None


def lever_table(plan: StudyPlan, places: Places) -> list[LeverRow]:
    """Return a row for each lever. Raises StudyError for a plan without a network of the user's."""
    if plan.model is None:
        raise StudyError("--dry-run shows what can be done to a network of yours; give --model")
    profile = load_profile(plan.device, places.devices)
    places.home.ensure_writable()
    model = import_model(Path(plan.model).expanduser(), places.home.models)
    return [*_conversions(profile), *_trained(model, plan)]


def _conversions(profile: HardwareProfile) -> list[LeverRow]:
    rows = []
    for precision in PRECISIONS:
        usable = precision in profile.precisions
        reason = None if usable else f"{profile.name} does not run it"
        rows.append(LeverRow(f"{precision}, post-training", usable, reason))
    return rows


def _trained(model: BroughtModel, plan: StudyPlan) -> list[LeverRow]:
    rows = []
    for lever in LAST_FIELD:
        reason = model.levers[lever] if plan.training else "--no-training was asked for"
        rows.append(LeverRow(NAMES[lever], reason is None, reason))
    return rows
