"""What all trials of a study share, as one value that travels to every worker."""

from pathlib import Path
from typing import Literal

from hardware_profiles.connection import Connection
from hardware_profiles.profile import HardwareProfile
from hardware_profiles.runners.base import Anchor
from hardware_profiles.value import Value
from objectives.brought.value import BroughtModel
from objectives.goals import Direction, Goal
from spaces.candidate import Problem


class Setting(Value):
    """Data, device and goals of a study, and the folders in which workers keep what they make.

    `connection` is where the device is, and `anchor` None where nothing is measured there. `model` is the
    network that the user brought, if that is what is compressed; `models` holds it. Without `training`
    only networks are used whose weights are kept; without `screening` all are trained, whatever the limits.
    """

    problem: Problem
    data_root: Path
    data_digest: str
    goals: tuple[Goal, ...]
    metric: str
    metric_direction: Direction
    input_type: Literal["float32", "int8"]
    class_weights: Literal["none", "balanced"]
    seed: int
    profile: HardwareProfile
    threads: int
    anchor: Anchor | None
    connection: Connection | None = None
    artifacts: Path
    weights: Path
    weights_budget_bytes: int
    model: BroughtModel | None = None
    models: Path | None = None
    training: bool = True
    screening: bool = True
