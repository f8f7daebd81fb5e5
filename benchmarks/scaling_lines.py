"""What the benchmark of scaling keeps, and how the page shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from benchmarks.values import Circumstances, Count, Positive
from spaces.value import Value

Strategy = Literal["plain", "frugal"]
Share = Annotated[float, Field(ge=0, le=1)]


class Simulated(Value):
    """A study on simulated workers, every ask and tell charged to the clock.

    `busy` is the share of the workers' time, from the start to the last time that a trial was begun, in which
    they had one. `filling_s` is what it took until all had their first, which is part of that, and `tail_s`
    what came after it, when there was nothing left to begin.
    """

    workers: Annotated[int, Field(ge=1)]
    trials: Annotated[int, Field(ge=1)]
    charge_ms: Positive
    shortest_s: Positive
    longest_s: Positive
    seed: Count
    busy: Share
    filling_s: float
    tail_s: float
    total_s: Positive


class Cost(Value):
    """What the driver spends on a trial once there are so many: all but waiting for workers, in ms a trial.

    `trials` are all that the study had, `forms` those among them that came of other trials' networks, and
    `over` so many were asked while the time was taken. `taking_up_s` is what reading such a study takes until
    its first trial is handed to a worker. `load` is the machine's before it was measured.
    """

    strategy: Strategy
    trials: Annotated[int, Field(ge=1)]
    forms: Count
    over: Annotated[int, Field(ge=1)]
    sampler: str
    space: str
    wall_ms: Positive
    cpu_ms: Positive
    taking_up_s: Positive
    load: float


class Scaling(Value):
    """The content of `results/scaling.json`."""

    circumstances: Circumstances
    simulated: tuple[Simulated, ...]
    costs: tuple[Cost, ...]


SCALING_TITLE = """\
## Many workers, many trials

Simulated: the real driver with workers of a clock that is moved, every ask and every tell charged to that
clock, trials of random length (log-uniform). A worker is busy while it has a trial; counted is the time from
the first ask to the last trial that was begun. What comes after it, when there is nothing left to begin, is
told as the tail. Measured: what the real driver spends on a trial with a SQLite storage and the conditional
space of convolutional networks, when workers answer at once: the ask, writing it down, telling how it ended,
front, hypervolume, and handing over to the ledger's thread. With the default strategy (frugal) that is also
preselection, the offers that a harvest may make of a network, and what its forms teach; each trial brings
back those that need a conversion alone, and those of a copy with half of the filters."""


def scaling_lines(result: Scaling) -> list[str]:
    """Return both parts as Markdown."""
    head = ("workers", "trials", "a trial takes", "ask and tell", "busy", "first filled after", "tail")
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for run in result.simulated:
        row = (
            f"{run.workers}",
            f"{run.trials:,}",
            f"{run.shortest_s:g} to {run.longest_s:g} s",
            f"{run.charge_ms:g} ms each",
            f"**{100 * run.busy:.1f} %**",
            f"{run.filling_s:.1f} s",
            f"{run.tail_s:.0f} s of {run.total_s:,.0f} s",
        )
        lines.append(f"| {' | '.join(row)} |")
    return [*lines, "", *_costs(result.costs), ""]


def _costs(costs: Sequence[Cost]) -> Iterator[str]:
    head = ("strategy", "trials before", "a trial costs", "of which processor time", "to take the study up")
    yield f"| {' | '.join(head)} |"
    yield "|" + " --- |" * len(head)
    for cost in costs:
        forms = f" ({cost.forms:,} of them forms)" if cost.forms else ""
        row = (
            f"{cost.strategy} ({cost.sampler}, {cost.space})",
            f"{cost.trials:,}{forms}",
            f"**{cost.wall_ms:.0f} ms**, mean of {cost.over}",
            f"{cost.cpu_ms:.0f} ms",
            f"{cost.taking_up_s:.1f} s",
        )
        yield f"| {' | '.join(row)} |"
