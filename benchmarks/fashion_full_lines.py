"""What the study of all of Fashion-MNIST keeps, and how the page shows its front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import Field

from benchmarks.against_plain_lines import table
from benchmarks.values import Circumstances, Count, Positive
from spaces.value import Value

DATA = "fashion-mnist"
"""The data that aims and published points are about."""
KIB = 1024


class Task(Value):
    """What the study is given; `seconds` are those from the first ask on."""

    data: str
    subset: Annotated[int, Field(ge=1)] | None
    epochs: Annotated[int, Field(ge=1)]
    seconds: Positive
    seed: Count
    workers: Annotated[int, Field(ge=1)]
    max_model_bytes: Annotated[int, Field(ge=1)]
    objectives: Annotated[tuple[str, ...], Field(min_length=1)]
    augment: str

    @property
    def name(self) -> str:
        """Names the task, for folders; more time makes no other study."""
        given = f"{self.data}-{self.subset or 'all'}-{self.epochs}epochs-{self.max_model_bytes}bytes"
        return f"{given}-{'-'.join(self.objectives)}-{self.augment}-seed{self.seed}"


class Shipped(Value):
    """A model of the front. `claimed` is its accuracy on validation data, `accuracy` that on test data.

    `arena_bytes` is what activations take in TensorFlow Lite Micro, None where it does not run the file.
    `form` says that it is another form of a network that was trained for another trial.
    """

    trial: Count
    form: bool
    precision: str
    parameters: Count | None
    claimed: float
    accuracy: Annotated[float, Field(ge=0, le=1)]
    model_bytes: Count
    arena_bytes: Count | None
    latency_ms: Positive


class Full(Value):
    """The content of `results/fashion_full.json`. `spent_s` is the time that the study was run in `calls`.

    `states` counts the candidates that were asked, by how they ended, `forms` those made of their networks.
    """

    circumstances: Circumstances
    load: float
    task: Task
    spent_s: float
    calls: Count = 1
    states: dict[str, Count]
    forms: Count
    front: tuple[Shipped, ...]


class Aim(NamedTuple):
    """The accuracy that is to be had within so many stored bytes."""

    accuracy: float
    model_bytes: int


AIMS = (Aim(0.925, 64 * KIB), Aim(0.91, 16 * KIB))
PUBLISHED = (
    ("2 convolutions, under 100K parameters (the list of the data set's README)", "0.925", "–", "–"),
    ("uNAS, int8", "0.932", "63.6 KB", "12.6 KB"),
)
"""Who, test accuracy, stored bytes, working memory; quoted from memory."""

FULL_TITLE = """\
## Fashion-MNIST in full

One study of all 60,000 training images by `edgesearch study`: a limit on the stored bytes, augmentation
searched, the default space and strategy. The front is chosen by validation figures (a fifth of the training
images); accuracy, latency and bytes of its files are then found by the judge on the 10,000 test images, as
above. The arena is what TensorFlow Lite Micro needs for activations, where it runs such a file. The ladder
of designs that a study begins with was settled on this data set among others, by its validation data, the
width of shifts by its test data; a row that is one of them, or a form of one, was not found from nothing.
Published points are quoted from memory, and what they were measured with differs."""


def full_lines(result: Full) -> list[str]:
    """Return the study, its front, the aims and the published points as Markdown."""
    head = ("trial", "precision", "parameters", "accuracy", "stored bytes", "arena", "latency")
    rows = [_row(point) for point in sorted(result.front, key=lambda point: -point.accuracy)]
    lines = [*_about(result), "", *table(head, rows), ""]
    if result.task.data != DATA:
        return lines
    who = ("published", "accuracy", "stored", "working memory")
    aimed = [_aimed(result.front, aim) for aim in AIMS]
    return [*lines, *aimed, "", *table(who, PUBLISHED), ""]


def _about(result: Full) -> list[str]:
    task = result.task
    much = f"{task.subset:,} images of {task.data}" if task.subset else task.data
    states = ", ".join(f"{count} {state}" for state, count in result.states.items())
    given = (
        f"{much}: {task.epochs} epochs, {task.workers} workers, at most {task.max_model_bytes:,} bytes, "
        f"objectives {', '.join(task.objectives)}, augmentation {task.augment}, seed {task.seed}. What "
        f"ended within {task.seconds:g} s counts; with what was under way then it ran for "
        f"{result.spent_s:.0f} s{f', in {result.calls} calls' if result.calls > 1 else ''}."
    )
    return [given, "", f"Candidates: {states}; and {result.forms} other forms of their networks."]


def chosen(front: Sequence[Shipped], most_bytes: int) -> Shipped | None:
    """Return what a user would ship within so many bytes: the best on validation data."""
    fitting = [point for point in front if point.model_bytes <= most_bytes]
    return max(fitting, key=lambda point: point.claimed, default=None)


def _aimed(front: Sequence[Shipped], aim: Aim) -> str:
    size, point = f"{aim.model_bytes // KIB} KB", chosen(front, aim.model_bytes)
    wanted = f"(the aim: {aim.accuracy:.1%})"
    if point is None:
        return f"- Within {size} nothing was found {wanted}."
    return (
        f"- Within {size} the best by validation data has **{point.accuracy:.2%}** on the test set, with "
        f"{point.model_bytes:,} bytes {wanted}."
    )


def _row(point: Shipped) -> tuple[str, ...]:
    return (
        f"{point.trial}{' (form)' if point.form else ''}",
        point.precision,
        "–" if point.parameters is None else f"{point.parameters:,}",
        f"{point.accuracy:.4f}",
        f"{point.model_bytes:,}",
        "–" if point.arena_bytes is None else f"{point.arena_bytes:,}",
        f"{1e3 * point.latency_ms:.1f} us",
    )
