"""What the benchmark of the training recipe keeps, and how the page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Annotated, Self

from pydantic import Field, model_validator

from benchmarks.values import Circumstances, Count
from spaces.value import Value

Share = Annotated[float, Field(ge=0, le=1)]


class Trained(Value):
    """One network, trained both ways: accuracy on the test set after each number of epochs."""

    data: str
    number: Count
    parameters: Annotated[int, Field(ge=1)]
    epochs: tuple[int, ...]
    recipe: tuple[Share, ...]
    plain: tuple[Share, ...]

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if not len(self.epochs) == len(self.recipe) == len(self.plain):
            raise ValueError(
                f"there is one accuracy each for {len(self.epochs)} numbers of epochs, got "
                f"{len(self.recipe)} and {len(self.plain)}"
            )
        return self


class Recipe(Value):
    """The content of `results/recipe.json`; `load` is the machine's when it was written."""

    circumstances: Circumstances
    load: float
    seed: Count
    networks: Annotated[tuple[Trained, ...], Field(min_length=1)]


RECIPE_TITLE = """\
## The training recipe

Random networks of the spaces `convnet` (images) and `sequence` (the time series), each with the optimiser,
rate, batch, dropout and penalties that were drawn with it, trained in two ways: by `objectives/train.py`,
and by Keras's `fit` as the plain script has it (constant rate, Keras's initial weights and momentum of
BatchNorm). Both see the same normalised samples, split and epochs, neither augments, and of either the epoch
counts that was best on validation data. Accuracy is that of the float network on the test set; a difference
and a ratio are those of one network with itself, and what is shown is their median. The error that is left
is the ratio of the shares that are classified wrongly, recipe over plain: under 1 is better."""


def recipe_lines(result: Recipe) -> list[str]:
    """Return a table for each data set as Markdown."""
    lines: list[str] = []
    for data in dict.fromkeys(network.data for network in result.networks):
        lines += _data_lines(data, [network for network in result.networks if network.data == data])
    return lines


def _data_lines(data: str, networks: Sequence[Trained]) -> list[str]:
    epochs = networks[0].epochs
    sizes = [network.parameters for network in networks]
    head = (
        "epochs",
        "plain",
        "recipe",
        "difference",
        "error left",
        "better",
        f"as good as plain after {epochs[-1]}",
    )
    rows = [_row(networks, i, f"{count}") for i, count in enumerate(epochs)]
    told = f"{len(networks)} networks of {min(sizes):,} to {max(sizes):,} parameters."
    return [
        f"### {data}", "", told, "", f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *rows, "",
    ]  # fmt: skip


def _row(networks: Sequence[Trained], i: int, epochs: str) -> str:
    pairs = [(network.recipe[i], network.plain[i]) for network in networks]
    cells = (
        epochs,
        f"{median(plain for _, plain in pairs):.3f}",
        f"{median(recipe for recipe, _ in pairs):.3f}",
        f"**{100 * median(recipe - plain for recipe, plain in pairs):+.1f} points**",
        f"{median(error_left(recipe, plain) for recipe, plain in pairs):.2f}",
        f"{sum(recipe > plain for recipe, plain in pairs)} of {len(pairs)}",
        f"{sum(network.recipe[i] >= network.plain[-1] for network in networks)} of {len(networks)}",
    )
    return f"| {' | '.join(cells)} |"


def error_left(recipe: float, plain: float) -> float:
    """Return the ratio of two error rates; 1 where both are without error, infinite where one alone is."""
    if recipe == plain:
        return 1.0
    return float("inf") if plain == 1 else (1 - recipe) / (1 - plain)
