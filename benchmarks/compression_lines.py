"""What the benchmark of compression keeps, and how the page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Annotated

from pydantic import Field

from benchmarks.values import Circumstances, Count
from spaces.candidate import Pca, Reduction, Rfe
from spaces.value import Value


class LeverRow(Value):
    """One lever on one trained network: its file on test data, its bytes, latency and cost.

    `before` is the float network's accuracy on validation data, `validation` that of the file there.
    `lever_s` is what the lever's own fine-tuning took, without the training that it starts from.
    """

    network: str
    lever: str
    seed: Count
    before: float | None
    validation: float
    accuracy: float
    model_bytes: Count
    compressed_bytes: Count
    sparsity: float
    convert_s: float
    lever_s: float
    epochs: Annotated[int, Field(ge=1)]
    latency_ms: float | None = None
    verdict: str | None = None
    model: str | None = None


class ArenaRow(Value):
    """Working memory of one lever's file in TensorFlow Lite Micro, in bytes; None where it does not run it.

    The activations' part alone ("head"), which is the same on a 32-bit device; weights do not change it.
    """

    network: str
    lever: str
    arena_bytes: Count | None


class PenaltyRow(Value):
    """What an L1 penalty in training does for sparsity: an MLP before and after pruning to 80 %, int8.

    `near_zero` is the fraction of its trained weights that int8 rounds to zero without any pruning.
    """

    l1: float
    accuracy: float
    near_zero: float
    compressed_bytes: Count
    pruned_accuracy: float
    pruned_compressed_bytes: Count


class ReductionRow(Value):
    """An int8 MLP on a table of which it sees a part: its accuracy on test data."""

    data: str
    reduction: Reduction | None
    columns: Count
    seed: Count
    accuracy: float
    model_bytes: Count


class CompressionResult(Value):
    """The content of `results/compression.json`."""

    circumstances: Circumstances
    load: float
    levers: tuple[LeverRow, ...] = ()
    reductions: tuple[ReductionRow, ...] = ()
    arenas: tuple[ArenaRow, ...] = ()
    penalties: tuple[PenaltyRow, ...] = ()


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
