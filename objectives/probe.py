"""What a candidate's trial will take, told from one epoch of it: for the forecast of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hardware_profiles.value import Value

if TYPE_CHECKING:
    from spaces.candidate import Candidate

LONG_EPOCH_S = 10.0
"""An epoch that took this long is taken as it is: what the first one costs besides does not show in it."""


class Probe(Value):
    """The time of one trial, in seconds of this machine, over all folds of the data.

    `start_s` is all but the epochs: building, tracing, converting, checking, scoring, measuring. An epoch
    takes `epoch_s`, and there are `epochs` of them, those of the levers included.
    """

    start_s: Annotated[float, Field(ge=0)]
    epoch_s: Annotated[float, Field(ge=0)]
    epochs: Annotated[int, Field(ge=1)]

    @property
    def seconds(self) -> float:
        """What the whole trial takes, none of it ended early."""
        return self.start_s + self.epochs * self.epoch_s


def epochs_in_all(candidate: Candidate) -> int:
    """Return for how many epochs a candidate is trained and fine-tuned, none of them ended early."""
    from objectives.adapt import SLIMMING_SHARE
    from objectives.train import FINE_TUNING_SHARE, fine_tuning_epochs

    shares = [
        SLIMMING_SHARE if lever == "slim" else FINE_TUNING_SHARE for lever in candidate.compression.levers
    ]
    return candidate.training.epochs + sum(fine_tuning_epochs(candidate.training, s) for s in shares)


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
