"""Which data, and what is known of it once it is prepared."""

from typing import Annotated, Literal

from pydantic import Field

from hardware_profiles.value import Value

Kind = Literal["table", "image", "series"]


class DataSpec(Value):
    """Which data a study uses and how it is split.

    `source` is a bundled name, a file (`.npz`, `.csv`, `.parquet`), a folder of images with a folder
    per class, or a callable as `package.module:function`. `keep_constant` leaves columns of a table that
    have one value in training where they are: a network that was brought takes all of them. `targets` are
    classes, or any numbers that a metric of the user's own knows how to read.
    """

    source: Annotated[str, Field(min_length=1)]
    target: str | None = None
    group: str | None = None
    kind: Kind | None = None
    image_size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    split_seed: Annotated[int, Field(ge=0)] = 0
    subset: Annotated[int, Field(ge=1)] | None = None
    keep_constant: bool = False
    targets: Literal["classes", "any"] = "classes"


class Column(Value):
    """One column of a table: numbers, or categories whose integer code is their place in the list."""

    name: str
    categories: tuple[str, ...] | None = None


class DataSummary(Value):
    """What is known of prepared data.

    `input_shape` has no batch axis: (columns,), (height, width, channels) or (time, 1, channels).
    `sizes` counts the samples of train, validation and test. Where targets are no classes, there are no
    `classes`, and `target_shape` is the shape of one, () for a number.
    """

    name: str
    digest: str
    kind: Kind
    input_shape: tuple[int, ...]
    dtype: str
    classes: tuple[str, ...]
    target_shape: tuple[int, ...] | None = None
    columns: tuple[Column, ...] | None = None
    sizes: tuple[int, int, int]
    folds: Annotated[int, Field(ge=1)] = 1
    notes: tuple[str, ...] = ()
