"""Writes `docs/benchmarks.md` from the JSON under `results/`, so that its figures cannot drift.

python -m benchmarks.report            write it
python -m benchmarks.report --check    exit 1 if it says anything else than the results do
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TypeVar

from benchmarks.contenders import EDGESEARCH, KNOWING
from benchmarks.measuring import TITLE as MEASURING_TITLE
from benchmarks.measuring import Measuring, measuring_lines
from benchmarks.recipe_lines import RECIPE_TITLE, Recipe, recipe_lines
from benchmarks.values import (
    AgainstPlain,
    Circumstances,
    Comparison,
    CompressionResult,
    Judgement,
    LeverRow,
    PenaltyRow,
    ReductionRow,
    Workers,
)
from spaces.candidate import Pca, Reduction, Rfe
from spaces.value import Value

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
GB = 1e9
Result = TypeVar("Result", bound=Value)

INTRODUCTION = """\
# Benchmarks

Written from `benchmarks/results/*.json` by `python -m benchmarks.report`; do not edit it by hand.
How to run them is in [benchmarks/README.md](../benchmarks/README.md).

## Against a plain Optuna script

The baseline is [benchmarks/plain_optuna.py](../benchmarks/plain_optuna.py), the script that somebody who
knows Optuna and Keras would write today. Both sides get the same space, data, split, epochs and wall time,
one after the other on the same machine; the clock starts at the first ask, and what happens before is
start-up. A candidate counts if it was measured within that time. Each side's front is chosen by its own
validation figures; one neutral judge then finds test accuracy, latency and bytes of the files on both
fronts, and the hypervolume is that of `search/hypervolume.py` with its default scales."""

KNOWING_NOTE = """\
The third side is the same script with one line changed, the momentum of BatchNorm (0.9 in place of Keras's
0.99, which ruins short trainings): what is left of the difference then is not owed to that one trap."""

WORKERS_TITLE = """\
## Two workers on two cores

The same seeded list of candidates, worked off by one worker and by two in turn, everything trained anew,
start-up excluded."""


def comparison_lines(comparison: Comparison) -> list[str]:
    """Return one case as Markdown: a table of its sides, and what edgesearch has over the plain script."""
    head = (
        "",
        "start-up",
        "candidates",
        "on the front",
        "hypervolume",
        "best accuracy",
        "smallest",
        "quickest",
    )
    rows = [head, ("---",) * len(head), *(_row(side) for side in comparison.sides)]
    return [
        f"### {comparison.case.title}",
        "",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        *_ratios(comparison),
    ]


def _row(side: Judgement) -> tuple[str, ...]:
    shown = [side.contender, f"{side.startup_s:.0f} s", str(side.candidates), str(len(side.front))]
    return (*shown, f"{side.hypervolume:.3f}", *_bests(side))


def _bests(side: Judgement) -> tuple[str, str, str]:
    if not side.front:
        return ("none", "none", "none")
    judged = [point.judged for point in side.front]
    return (
        f"{max(point['accuracy'] for point in judged):.3f}",
        f"{min(point['model_bytes'] for point in judged):,.0f} bytes",
        f"{1e3 * min(point['latency_ms'] for point in judged):.1f} us",
    )


def _ratios(comparison: Comparison) -> list[str]:
    """Hold edgesearch against each other side, where both took part and had a candidate."""
    sides = {side.contender: side for side in comparison.sides}
    ours = sides.pop(EDGESEARCH, None)
    return [] if ours is None else [_ratio(ours, side) for side in sides.values()] + [""]


def _ratio(ours: Judgement, other: Judgement) -> str:
    if not other.candidates:
        return f"- The {other.contender} finished no candidate in this time, edgesearch {ours.candidates}."
    times = ours.candidates / other.candidates
    return (
        f"- Against the {other.contender}: **{times:.1f} times the candidates**, hypervolume "
        f"**{ours.hypervolume:.3f} against {other.hypervolume:.3f}**."
    )


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


COMPRESSION_TITLE = """\
## What each lever buys

Every lever of `spaces/recipe.py` on the same trained networks: 12,000 images of Fashion-MNIST, 6 epochs,
mean over the seeds. Accuracy is that of the `.tflite` on the test set; bytes are those of the file as it
is stored and deflated; the arena is TensorFlow Lite Micro's for activations, where it runs such a file;
latency is measured on this machine, all files of a network in turn in one process; the last column is the
lever's own fine-tuning, in seconds, and in brackets the conversion (medians). A lever that has only to be
converted, for its weights were there already, takes 0."""


def compression_lines(result: CompressionResult) -> list[str]:
    """Return the table of levers and that of input reduction as Markdown."""
    lines: list[str] = []
    for network in dict.fromkeys(row.network for row in result.levers):
        rows = [row for row in result.levers if row.network == network]
        arenas = {row.lever: row.arena_bytes for row in result.arenas if row.network == network}
        lines += [
            f"### {network}, {len({row.seed for row in rows})} seeds",
            "",
            *_lever_table(rows, arenas),
            "",
        ]
    return [*lines, *_penalty_table(result.penalties), *_reduction_table(result.reductions)]


def _lever_table(rows: Sequence[LeverRow], arenas: Mapping[str, int | None]) -> list[str]:
    head = ("lever", "accuracy", "stored bytes", "deflated", "arena", "latency", "sparsity", "seconds")
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for lever in dict.fromkeys(row.lever for row in rows):
        same = [row for row in rows if row.lever == lever]
        latencies = [row.latency_ms for row in same if row.latency_ms is not None]
        cells = (
            lever,
            f"{fmean(row.accuracy for row in same):.3f}",
            f"{fmean(row.model_bytes for row in same):,.0f}",
            f"{fmean(row.compressed_bytes for row in same):,.0f}",
            "–" if (arena := arenas.get(lever)) is None else f"{arena:,}",
            f"{1e3 * fmean(latencies):.1f} us" if latencies else "–",
            f"{fmean(row.sparsity for row in same):.2f}",
            f"{median(row.lever_s for row in same):.1f} ({median(row.convert_s for row in same):.2f})",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _penalty_table(rows: Sequence[PenaltyRow]) -> list[str]:
    if not rows:
        return []
    head = ("L1", "accuracy", "zeros in int8", "deflated", "pruned to 80 %: accuracy", "deflated")
    lines = ["### What L1 does for sparsity (the MLP, int8, seed 0)", "", f"| {' | '.join(head)} |"]
    lines.append("|" + " --- |" * len(head))
    for row in rows:
        before = f"{row.accuracy:.3f} | {row.near_zero:.2f} | {row.compressed_bytes:,}"
        lines.append(
            f"| {row.l1:g} | {before} | {row.pruned_accuracy:.3f} | {row.pruned_compressed_bytes:,} |"
        )
    return [*lines, ""]


def _reduction_table(rows: Sequence[ReductionRow]) -> list[str]:
    if not rows:
        return []
    head = ("data", "input", "accuracy", "stored bytes")
    lines = ["### Input reduction, int8 MLP of 32 units", "", f"| {' | '.join(head)} |", "|" + " --- |" * 4]
    for data, reduction in dict.fromkeys((row.data, row.reduction) for row in rows):
        same = [row for row in rows if (row.data, row.reduction) == (data, reduction)]
        cells = (
            data,
            _reduced(reduction, same[0].columns),
            f"{fmean(row.accuracy for row in same):.3f}",
            f"{fmean(row.model_bytes for row in same):,.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", f"Mean of {len({row.seed for row in rows})} seeds, each with a split of its own.", ""]


def _reduced(reduction: Reduction | None, columns: int) -> str:
    match reduction:
        case Rfe(columns=count):
            return f"RFE: {count} of {columns} columns"
        case Pca(components=count):
            return f"PCA: {count} of {columns} components"
        case _:
            return f"all {columns} columns"


def circumstances_line(seen: Circumstances, loads: Iterable[float]) -> str:
    """Say where and when, in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in seen.versions.items())
    return (
        f"{seen.date}, {seen.processor}, {seen.cores} cores, {seen.ram_bytes / GB:.0f} GB, {seen.system}, "
        f"Python {seen.python}, {versions}. Load of the machine before each part at most {max(loads):.1f}."
    )


def document(results: Path = RESULTS) -> str:
    """Return the whole page. A part that was not run yet says so."""
    lines = [INTRODUCTION, ""]
    lines += _part(results / "against_plain.json", AgainstPlain, _against_plain, "benchmarks.against_plain")
    lines += [RECIPE_TITLE, ""]
    lines += _part(results / "recipe.json", Recipe, _recipe, "benchmarks.recipe")
    lines += [WORKERS_TITLE, ""]
    lines += _part(results / "workers.json", Workers, _workers, "benchmarks.workers")
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
    lines: list[str] = []
    if any(side.contender == KNOWING for comparison in result.comparisons for side in comparison.sides):
        lines += [KNOWING_NOTE, ""]
    for comparison in result.comparisons:
        lines += comparison_lines(comparison)
    loads = [side.load for comparison in result.comparisons for side in comparison.sides]
    return [*lines, circumstances_line(result.circumstances, loads), ""]


def _recipe(result: Recipe) -> list[str]:
    return [*recipe_lines(result), circumstances_line(result.circumstances, [result.load]), ""]


def _workers(result: Workers) -> list[str]:
    return [
        *workers_lines(result),
        circumstances_line(result.circumstances, [r.load for r in result.rounds]),
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
