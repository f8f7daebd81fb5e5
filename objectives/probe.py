"""What a candidate's trial will take, told from one epoch of it: for the forecast of a study."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hardware_profiles.value import Value

if TYPE_CHECKING:
    from objectives.harvest import Workbench
    from spaces.candidate import Candidate, Compression, Lever

LONG_EPOCH_S = 10.0
"""An epoch that took this long is taken as it is: what the first one costs besides does not show in it."""


class Probe(Value):
    """The time of one trial, in seconds of this machine, over all folds of the data.

    `start_s` is all but the epochs: building, tracing, converting, checking, scoring, measuring. An epoch
    takes `epoch_s`, and there are `epochs` of them, those of the levers included. `forms_s` is what it takes
    besides to offer the network in its other forms, where each of them may still join the front.
    """

    start_s: Annotated[float, Field(ge=0)]
    epoch_s: Annotated[float, Field(ge=0)]
    epochs: Annotated[int, Field(ge=1)]
    forms_s: Annotated[float, Field(ge=0)] = 0.0

    @property
    def seconds(self) -> float:
        """What the whole trial takes, none of it ended early and no other form made."""
        return self.start_s + self.epochs * self.epoch_s


def epochs_in_all(candidate: Candidate) -> int:
    """Return for how many epochs a candidate is trained and fine-tuned, none of them ended early."""
    return candidate.training.epochs + _tuning_epochs(candidate, candidate.compression.levers)


def _tuning_epochs(candidate: Candidate, levers: Sequence[Lever]) -> int:
    from objectives.adapt import SLIMMING_SHARE
    from objectives.train import FINE_TUNING_SHARE, fine_tuning_epochs

    shares = (SLIMMING_SHARE if lever == "slim" else FINE_TUNING_SHARE for lever in levers)
    return sum(fine_tuning_epochs(candidate.training, share) for share in shares)


def for_one_epoch(candidate: Candidate) -> Candidate:
    """Return the candidate with a training of one epoch."""
    return candidate.model_copy(update={"training": candidate.training.model_copy(update={"epochs": 1})})


def probe_of(candidate: Candidate, seconds: Mapping[str, float], epoch_s: float) -> Probe:
    """Return what a trial takes, of the `seconds` by stage of one whose training had one epoch.

    `epoch_s` is what an epoch takes over all folds.
    """
    spent = epochs_in_all(for_one_epoch(candidate)) * epoch_s
    start_s = max(0.0, sum(seconds.values()) - spent)
    return Probe(start_s=start_s, epoch_s=epoch_s, epochs=epochs_in_all(candidate))


def forms_seconds(
    bench: Workbench,
    candidate: Candidate,
    siblings: Sequence[Compression],
    own: Mapping[str, float],
    epoch_s: float,
) -> float:
    """Return what it takes to offer a network in its other forms while the front has nothing else.

    The network was trained for one epoch, and is kept; `own` are the figures of its own form. What costs a
    conversion is converted and measured here; what costs a fine-tuning is reckoned by its epochs.
    """
    from objectives.brief import Brief
    from objectives.harvest import TUNED_SHARE, Harvest
    from objectives.stages import Clock
    from objectives.standing import Standing

    once = for_one_epoch(candidate)
    kept = {c: len(bench.values(once.model_copy(update={"compression": c}))) for c in siblings}
    ready = tuple(c for c in siblings if kept[c] == 1 + len(c.levers))
    start = time.perf_counter()
    Harvest(bench, once, Brief(siblings=ready, standing=Standing()), own, own, Clock()).forms()
    spent_s = time.perf_counter() - start
    each_s, left_s = spent_s / max(1, len(ready)), TUNED_SHARE * candidate.training.epochs * epoch_s
    tuned: set[Candidate] = set()
    for form in (form for form in siblings if form not in ready):
        network = once.model_copy(update={"compression": form}).stages[-1]
        if network in tuned:  # of which this is one conversion more
            spent_s += each_s
            continue
        tuning_s = epoch_s * _tuning_epochs(candidate, form.levers[max(0, kept[form] - 1) :])
        if tuning_s <= left_s:
            tuned.add(network)
            spent_s, left_s = spent_s + tuning_s + each_s, left_s - tuning_s - each_s
    return spent_s
