"""Writes `docs/benchmarks.md` from the JSON under `results/`, so that its figures cannot drift.

python -m benchmarks.report            write it
python -m benchmarks.report --check    exit 1 if it says anything else than the results do
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.ablation_lines import ABLATION_TITLE, Ablation, ablation_lines
from benchmarks.against_plain_lines import AGAINST_PLAIN_TITLE, against_plain_lines
from benchmarks.compression_lines import COMPRESSION_TITLE, CompressionResult, compression_lines
from benchmarks.fashion_full_lines import FULL_TITLE, Full, full_lines
from benchmarks.measuring import TITLE as MEASURING_TITLE
from benchmarks.measuring import Measuring, measuring_lines
from benchmarks.nasbench201_lines import NASBENCH_TITLE, NasBench, nasbench_lines
from benchmarks.recipe_lines import RECIPE_TITLE, Recipe, recipe_lines
from benchmarks.scaling_lines import SCALING_TITLE, Scaling, scaling_lines
from benchmarks.values import (
    AgainstPlain,
    Circumstances,
    Comparison,
    Workers,
)
from spaces.value import Value

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
GB = 1e9
Result = TypeVar("Result", bound=Value)

INTRODUCTION = """\
# Benchmarks

Written from `benchmarks/results/*.json` by `python -m benchmarks.report`; do not edit it by hand.
How to run them is in [benchmarks/README.md](../benchmarks/README.md)."""

WORKERS_TITLE = """\
## Two workers on two cores

The same seeded list of candidates, worked off by one worker and by two in turn, everything trained anew,
start-up excluded."""


def workers_lines(result: Workers) -> list[str]:
    """Return the comparison of one worker with two as Markdown."""
    task = result.task
    much = f"{task.subset:,} images of {task.data}" if task.subset else task.data
    ranges = ", ".join(f"{name} {low} to {high}" for name, (low, high) in task.ranges.items())
    lines = [f"{task.candidates} candidates ({ranges}), {much}, {task.epochs} epochs, seed {task.seed}.", ""]
    lines += ["| round | workers | seconds | candidates a minute |", "| --- | --- | --- | --- |"]
    for number, seen in enumerate(result.rounds, 1):
        pace = 60 * task.candidates / seen.seconds
        lines.append(f"| {number} | {seen.workers} | {seen.seconds:.1f} | {pace:.1f} |")
    if {seen.workers for seen in result.rounds} >= {1, 2}:
        lines += ["", f"Two workers finish **{result.speedup:.2f} times** the trials of one."]
    return [*lines, ""]


def circumstances_line(seen: Circumstances, loads: Iterable[float]) -> str:
    """Say where and when, in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in seen.versions.items())
    return (
        f"{seen.date}, {seen.processor}, {seen.cores} cores, {seen.ram_bytes / GB:.0f} GB, {seen.system}, "
        f"Python {seen.python}, {versions}. Load of the machine before each part at most {max(loads):.1f}."
    )


def document(results: Path = RESULTS) -> str:
    """Return the whole page. A part that was not run yet says so."""
    lines = [INTRODUCTION, "", AGAINST_PLAIN_TITLE, ""]
    lines += _part(results / "against_plain.json", AgainstPlain, _against_plain, "benchmarks.against_plain")
    lines += [ABLATION_TITLE, ""]
    lines += _part(results / "ablation.json", Ablation, _ablation, "benchmarks.ablation")
    lines += [FULL_TITLE, ""]
    lines += _part(results / "fashion_full.json", Full, _full, "benchmarks.fashion_full")
    lines += [RECIPE_TITLE, ""]
    lines += _part(results / "recipe.json", Recipe, _recipe, "benchmarks.recipe")
    lines += [WORKERS_TITLE, ""]
    lines += _part(results / "workers.json", Workers, _workers, "benchmarks.workers")
    lines += [NASBENCH_TITLE, ""]
    lines += _part(results / "nasbench201.json", NasBench, _nasbench, "benchmarks.nasbench201")
    lines += [SCALING_TITLE, ""]
    lines += _part(results / "scaling.json", Scaling, _scaling, "benchmarks.scaling")
    lines += [MEASURING_TITLE, ""]
    lines += _part(results / "measuring.json", Measuring, _measuring, "benchmarks.measuring")
    lines += [COMPRESSION_TITLE, ""]
    lines += _part(results / "compression.json", CompressionResult, _compression, "benchmarks.compression")
    return "\n".join(lines).rstrip() + "\n"


def _part(path: Path, kind: type[Result], render: Callable[[Result], list[str]], module: str) -> list[str]:
    if not path.is_file():
        return [f"No results yet: run `python -m {module}`.", ""]
    return render(kind.model_validate_json(path.read_text(encoding="utf-8")))


def _against_plain(result: AgainstPlain) -> list[str]:
    return [*against_plain_lines(result), *_where(result.comparisons)]


def _ablation(result: Ablation) -> list[str]:
    return [*ablation_lines(result), *_where(result.comparisons)]


def _where(comparisons: Sequence[Comparison]) -> list[str]:
    """Say where and when, by case where that differs."""
    lines: list[str] = []
    for seen in _distinct(comparison.circumstances for comparison in comparisons):
        same = [comparison for comparison in comparisons if comparison.circumstances == seen]
        line = circumstances_line(seen, [side.load for comparison in same for side in comparison.sides])
        titles = "; ".join(comparison.case.title for comparison in same)
        lines += [line if len(same) == len(comparisons) else f"{titles}: {line}", ""]
    return lines


def _distinct(several: Iterable[Circumstances]) -> list[Circumstances]:
    found: list[Circumstances] = []
    for one in several:
        if one not in found:
            found.append(one)
    return found


def _full(result: Full) -> list[str]:
    return [*full_lines(result), circumstances_line(result.circumstances, [result.load]), ""]


def _recipe(result: Recipe) -> list[str]:
    return [*recipe_lines(result), circumstances_line(result.circumstances, [result.load]), ""]


def _workers(result: Workers) -> list[str]:
    return [
        *workers_lines(result),
        circumstances_line(result.circumstances, [r.load for r in result.rounds]),
        "",
    ]


def _nasbench(result: NasBench) -> list[str]:
    return [*nasbench_lines(result), circumstances_line(result.circumstances, [result.load]), ""]


def _scaling(result: Scaling) -> list[str]:
    return [
        *scaling_lines(result),
        circumstances_line(result.circumstances, [cost.load for cost in result.costs]),
        "",
    ]


def _measuring(result: Measuring) -> list[str]:
    return [*measuring_lines(result), circumstances_line(result.circumstances, [result.load]), ""]


def _compression(result: CompressionResult) -> list[str]:
    return [*compression_lines(result), circumstances_line(result.circumstances, [result.load]), ""]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if the page is out of date"
    )
    options = parser.parse_args(arguments)
    if not options.check:
        DOCUMENT.write_text(document(), encoding="utf-8")
        return 0
    if DOCUMENT.is_file() and DOCUMENT.read_text(encoding="utf-8") == document():
        return 0
    print(f"{DOCUMENT} is not what the results say; run python -m benchmarks.report", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
