"""Objectives of the user's own, as `package.module:Objective`: any figure of a finished `.tflite`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware_profiles.measurement import Measurement, Source
from hardware_profiles.profile import HardwareProfile
from objectives.datasets.callables import load_callable
from objectives.datasets.wording import one_line
from objectives.errors import ObjectiveError
from objectives.goals import Direction

DIRECTIONS: tuple[Direction, ...] = ("minimize", "maximize")


@dataclass(frozen=True)
class OwnObjective:
    """What a user's class makes of a model: `reference` names it, `direction` says which way is better."""

    reference: str
    direction: Direction
    function: Any

    def measure(self, model: Path, profile: HardwareProfile) -> Measurement:
        """Return the figure of a `.tflite`.

        Raises ObjectiveError if the class's `measure` raises, or returns what is no finite number.
        """
        try:
            value = float(self.function.measure(model, profile))
        except Exception as error:  # whatever a user's class raises
            raise ObjectiveError(
                f"objective '{self.reference}' failed with {one_line(error)}; its measure(model, profile) is "
                "called with the path of a .tflite and the device's profile, and returns a number"
            ) from error
        if not math.isfinite(value):
            raise ObjectiveError(f"an objective is a finite number, got {value} from '{self.reference}'")
        source = Source(provenance="measured", device=profile.name, runtime=self.reference)
        return Measurement(metric=self.reference, value=value, source=source)


def load_objective(reference: str) -> OwnObjective:
    """Return a user's objective.

    `package.module:Objective` is a class, made without arguments, that has `measure(model, profile)` and, if
    more of it is better, `direction = "maximize"`. Raises ObjectiveError for what is none.
    """
    made = load_callable(reference, ObjectiveError)
    try:
        function = made()
    except Exception as error:  # whatever a user's class raises
        raise ObjectiveError(
            f"objective '{reference}' cannot be made ({one_line(error)}); it is made without arguments"
        ) from error
    direction = getattr(function, "direction", "minimize")
    if not callable(getattr(function, "measure", None)) or direction not in DIRECTIONS:
        raise ObjectiveError(
            f"an objective is a class with measure(model, profile) and, if it likes, a direction of "
            f"{' or '.join(DIRECTIONS)}; '{reference}' is none"
        )
    return OwnObjective(reference, direction, function)
