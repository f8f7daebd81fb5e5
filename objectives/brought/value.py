"""What is known of a network that a user brought: what it takes and gives, and which levers move it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hardware_profiles.value import Value
from objectives.datasets.spec import DataSummary
from objectives.errors import ObjectiveError
from spaces.candidate import Lever

Format = Literal["keras-2", "keras-3", "saved-model"]
InputType = Literal["float32", "int8", "uint8", "int32", "int64"]
INPUT_TYPES: tuple[InputType, ...] = ("float32", "int8", "uint8", "int32", "int64")
Side = Annotated[int, Field(ge=1)]


class BroughtModel(Value):
    """A trained network of the user's own, as it was imported.

    `digest` names its bytes. Shapes are without the batch axis. `parameters` counts all weights, those of
    BatchNorm's statistics too. `probabilities` says that its scores are at least 0 and add up to 1 (a
    softmax). `trainable` is None if its layers can be trained here, else the reason why they cannot; each
    of `levers` likewise is None if it can be used.
    """

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    format: Format
    input_name: str
    input_shape: tuple[Side, ...]
    input_dtype: InputType
    output_name: str
    output_shape: tuple[Side, ...]
    parameters: Annotated[int, Field(ge=0)]
    probabilities: bool
    trainable: str | None
    levers: dict[Lever, str | None]


def refuse_misfit(model: BroughtModel, data: DataSummary) -> None:
    """Raise ObjectiveError where a network cannot take the data's samples, or tells other classes apart.

    What it gives for targets that are no classes is between it and the metric.
    """
    given, taken = (tuple(n for n in shape if n != 1) for shape in (data.input_shape, model.input_shape))
    if given != taken:
        raise ObjectiveError(
            f"the network takes samples of shape {model.input_shape}, and those of {data.name} have "
            f"{data.input_shape}; give it the data that it was trained on, as it takes them"
        )
    if data.target_shape is None and model.output_shape != (len(data.classes),):
        raise ObjectiveError(
            f"the network gives scores of shape {model.output_shape}, and {data.name} has "
            f"{len(data.classes)} classes; give it the data that it was trained on (or --no-training and a "
            "--metric of your own, for any other task)"
        )
