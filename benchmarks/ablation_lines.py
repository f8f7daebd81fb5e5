"""What the ablation keeps, and how the page shows what each part of the strategy is worth."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import Annotated, Self

from pydantic import Field, model_validator

from benchmarks.against_plain_lines import codes_told, table
from benchmarks.curves import level_at, reached_at
from benchmarks.values import Compared, Comparison, Judgement

WHOLE = "all of it"
"""The side that the others are held against: the strategy with all its parts."""


PLAIN = "plain strategy"
"""The side that has none of the parts."""


class Ablation(Compared):
    """The content of `results/ablation.json`: a comparison for each seed, of the same sides."""

    comparisons: Annotated[tuple[Comparison, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _held_against_the_whole(self) -> Self:
        if len(abouts := {comparison.case.about for comparison in self.comparisons}) > 1:
            raise ValueError(
                f"the cases of an ablation differ in their seeds alone, got {'; '.join(sorted(abouts))}"
            )
        for comparison in self.comparisons:
            if WHOLE not in {side.contender for side in comparison.sides}:
                raise ValueError(
                    f"sides are held against '{WHOLE}', but seed {comparison.case.seed} has none"
                )
        return self


ABLATION_TITLE = """\
## What each part of the strategy is worth

The default strategy with each of its parts switched off alone (`--without`), and `--strategy plain`, which
has none of them; space, clock and judge are those of the comparison with the plain script. Screening is about
limits, so all sides have one on the stored bytes, and their scale ends there. Beside each hypervolume stands
its ratio to that of all parts together, seed by seed; all figures are means over the seeds. The last column
tells from when on a side was never worse than the plain strategy is at its end."""


def ablation_lines(result: Ablation) -> list[str]:
    """Return a table as Markdown: a row for each side."""
    case = result.comparisons[0].case
    seeds = ", ".join(str(comparison.case.seed) for comparison in result.comparisons)
    half = case.seconds / 2
    head = (
        "",
        "measured",
        "of them forms",
        f"after {half:g} s",
        "ratio",
        f"after {case.seconds:g} s",
        "ratio",
        f"as good as the {PLAIN} after {case.seconds:g} s",
    )
    rows = [
        _row(contender, result.comparisons)
        for contender in dict.fromkeys(
            side.contender for comparison in result.comparisons for side in comparison.sides
        )
    ]
    return [f"{case.about}; seeds: {seeds}.", "", *table(head, rows), "", *_warnings(result)]


def _warnings(result: Ablation) -> list[str]:
    """Say where rows are not of the same seeds, or not of the same code."""
    lines = []
    sides = [{side.contender for side in comparison.sides} for comparison in result.comparisons]
    if any(one != sides[0] for one in sides):
        lines.append("Not every row is of every seed: hold none but the ratios against each other.")
    if told := codes_told(result.comparisons):
        lines.append(told.strip())
    return [*lines, ""] if lines else []


def _row(contender: str, comparisons: Iterable[Comparison]) -> tuple[str, ...]:
    """Return the cells of one side, over the seeds in which it took part."""
    comparisons = [one for one in comparisons if contender in {side.contender for side in one.sides}]
    pairs, cells = _pairs(contender, comparisons), list[str]()
    sides = [side for _, side, _ in pairs]
    for part in (0.5, 1.0):
        levels = [
            (level_at(side.curve, part * seconds), level_at(whole.curve, part * seconds))
            for seconds, side, whole in pairs
        ]
        cells += [f"{fmean(level for level, _ in levels):.3f}", ratio(levels)]
    measured, forms = fmean(side.candidates for side in sides), fmean(side.forms for side in sides)
    return (contender, f"{measured:.0f}", f"{forms:.0f}", *cells, _as_good(contender, comparisons))


def _pairs(contender: str, comparisons: Iterable[Comparison]) -> list[tuple[float, Judgement, Judgement]]:
    return [
        (comparison.case.seconds, comparison.side(contender), comparison.side(WHOLE))
        for comparison in comparisons
    ]


def _as_good(contender: str, comparisons: Iterable[Comparison]) -> str:
    """Write after how many seconds a side was as good as the plain strategy is at its end: mean and range."""
    held = [one for one in comparisons if PLAIN in {side.contender for side in one.sides}]
    ends = [reached_at(one.side(contender).curve, one.side(PLAIN).hypervolume) for one in held]
    times = sorted(seconds for seconds in ends if seconds is not None)
    if not times:
        return "–"
    never = f", not in {len(ends) - len(times)} of {len(ends)}" if len(times) < len(ends) else ""
    return f"**{fmean(times):.0f} s** ({times[0]:.0f} to {times[-1]:.0f}){never}"


def ratio(levels: Iterable[tuple[float, float]]) -> str:
    """Write the mean ratio of a side's hypervolumes to those of all parts; a dash where one of those is 0."""
    pairs = list(levels)
    if any(whole == 0 for _, whole in pairs):
        return "–"
    return f"**{fmean(level / whole for level, whole in pairs):.2f}**"
