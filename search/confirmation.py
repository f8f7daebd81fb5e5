"""What looking twice showed of one file of a front."""

from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

from pydantic import Field

from hardware_profiles.measurement import Latency
from spaces.value import Value

KEY = "confirmed:"
"""A study's attributes `confirmed:<sha256>` hold a confirmation each."""


class Confirmation(Value):
    """A file, by its sha256, measured once more, and its candidate trained again with fresh seeds.

    `agrees` says whether the interval of the second latency meets that of the first; None where it was not
    measured again. `retrained` is the metric on validation data by seed, None where that training failed.
    The first training is not among them: by its figure the candidate was chosen.
    """

    trial: int
    artifact: str
    latency: Latency | None = None
    agrees: bool | None = None
    retrained: dict[int, float | None] = Field(default_factory=dict)

    def again(self, first: Latency, second: Latency) -> "Confirmation":
        """Return the confirmation with a second measurement beside the first."""
        agrees = first.low_ms <= second.high_ms and second.low_ms <= first.high_ms
        return self.model_copy(update={"latency": second, "agrees": agrees})

    def trained(self, seed: int, accuracy: float | None) -> "Confirmation":
        """Return the confirmation with what a training with that seed came to."""
        return self.model_copy(update={"retrained": {**self.retrained, seed: accuracy}})

    @property
    def accuracies(self) -> tuple[float, ...]:
        """What the fresh trainings that worked came to."""
        return tuple(value for value in self.retrained.values() if value is not None)

    @property
    def mean(self) -> float | None:
        """The mean of the fresh trainings, None without any."""
        return fmean(self.accuracies) if self.accuracies else None

    @property
    def spread(self) -> float | None:
        """Their standard deviation (of a sample), None for fewer than two."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else None


def confirmations_in(attributes: Mapping[str, Any]) -> tuple[Confirmation, ...]:
    """Return the confirmations among a study's attributes, by number of trial."""
    told = [text for key, text in attributes.items() if key.startswith(KEY)]
    found = (Confirmation.model_validate_json(text) for text in told)
    return tuple(sorted(found, key=lambda known: known.trial))
