"""A data set as its source gives it: nothing checked, labels of any kind."""

from dataclasses import dataclass

from objectives.datasets.rows import AnyArray, Rows
from objectives.datasets.spec import Column


@dataclass(frozen=True)
class Part:
    """Samples, their labels, and what each sample belongs to (a person, a recording) if that is known."""

    x: Rows
    y: AnyArray
    groups: AnyArray | None = None


@dataclass(frozen=True)
class Raw:
    """A data set as its source gives it.

    `train` holds all samples where the source brings no test set. `classes` names the integer labels
    0, 1, … where the source knows their names.
    """

    name: str
    train: Part
    test: Part | None = None
    columns: tuple[Column, ...] | None = None
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
