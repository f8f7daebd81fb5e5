"""What LiteRT's `benchmark_model` prints, read into values.

The program times one model and logs, after the warm-up's line of the same form, a line

    count=50 first=3072 curr=3011 min=2990 max=3412 avg=3021.3 std=41 p5=2993 median=3010 p95=3120

in microseconds; before 2024 it ended at `std=`, and where every run took as long it is but
`count=50 curr=7(all same)`. Format: tflite/tools/benchmark/benchmark_model.cc and stats_calculator.h
of google-ai-edge/LiteRT; what a delegate took over: benchmark_tflite_model.cc there.
"""

import re
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from hardware_profiles.measurement import Latency, Source
from hardware_profiles.statistics import WIDE, Timing, latency
from hardware_profiles.value import Value

DELEGATES = {"gpu": "GPU", "nnapi": "NNAPI", "hexagon": "Hexagon"}
"""By the accelerator's name, what the program calls the delegate for it."""
HALF_TICK_US = 0.5
"""The program's clock counts whole microseconds, rounded down: a minimum of 7 is 7 to 8."""
NOT_NEGATIVE = Field(ge=0)

_LINE = re.compile(r"\bcount=(\d+)(?= (?:first|curr)=)(.*)")
_FIELD = re.compile(r"\b(\w+)=([^\s(]+)")
_END = "Inference timings in us:"
_REPLACED = re.compile(
    r"Replacing (\d+)(?: out of (\d+))? node\(s\) with delegate \((?!\w*xnnpack)", re.IGNORECASE
)
Microseconds = Annotated[float, NOT_NEGATIVE]


class Unreadable(ValueError):
    """Why a text is not what the program prints, in one line."""


class NotDelegated(ValueError):
    """Why a run on an accelerator is none, in one line."""


class Runs(Value):
    """What one process of the program saw; quantiles are None where it is too old to print them."""

    count: Annotated[int, Field(ge=1)]
    min_us: Microseconds
    max_us: Microseconds
    avg_us: Microseconds
    median_us: Microseconds | None = None
    p95_us: Microseconds | None = None


def read_runs(text: str) -> Runs:
    """Read the timed runs, not the warm-up's. Raises Unreadable for anything but a whole, sane log."""
    lines = list(_LINE.finditer(text))
    if len(lines) < 2 or _END not in text[lines[-1].end() :]:
        raise Unreadable("it does not end with the timings of a warm-up, of the runs, and their summary")
    try:
        seen = {name: float(value) for name, value in _FIELD.findall(lines[-1][2])}
        if "first" not in seen:  # every run took as long
            seen |= dict.fromkeys(("min", "max", "avg", "median", "p95"), seen["curr"])
        runs = Runs(
            count=int(lines[-1][1]),
            min_us=seen["min"],
            max_us=seen["max"],
            avg_us=seen["avg"],
            median_us=seen.get("median"),
            p95_us=seen.get("p95"),
        )
    except (KeyError, ValueError) as error:
        raise Unreadable(f"its timings make no sense: {lines[-1][0].strip()[:120]}") from error
    if not _in_order(runs):
        raise Unreadable(f"its timings contradict each other: {lines[-1][0].strip()[:120]}")
    return runs


def _in_order(runs: Runs) -> bool:
    known = [value for value in (runs.median_us, runs.p95_us) if value is not None]
    steps = [runs.min_us, *known, runs.max_us]
    # the average is printed with six digits, so it may be off by that much
    lowest, highest = runs.min_us * (1 - 1e-5), runs.max_us * (1 + 1e-5)
    return steps == sorted(steps) and lowest <= runs.avg_us <= highest


def delegated(text: str, accelerator: str) -> str:
    """Tell how much of the graph ran on an accelerator (see DELEGATES): '' for all, else '12 of 14 nodes'.

    Raises NotDelegated where nothing did, or the program does not say that anything did: it runs
    on the processor then, at a speed that looks like a figure.
    """
    name = DELEGATES[accelerator]
    if re.search(
        rf"\b{name} delegate is (?:explicitly )?applied, the model graph will not be", text, re.IGNORECASE
    ):
        raise NotDelegated(f"no node of it runs on {accelerator}: all would have been timed on the processor")
    found = re.search(rf"applied {name} delegate, and the model graph will be (\w+)", text, re.IGNORECASE)
    if found is None:
        raise NotDelegated(f"benchmark_model does not say that any node of it runs on {accelerator}")
    if found[1].lower() == "completely":
        return ""
    replaced = [(int(nodes), int(of) if of else None) for nodes, of in _REPLACED.findall(text)]
    nodes, totals = sum(count for count, _ in replaced), [of for _, of in replaced if of is not None]
    if not nodes or len(totals) < len(replaced):
        return "some of its nodes"
    return f"{nodes} of {sum(totals)} nodes"


def complaint(text: str) -> str | None:
    """Return the first line that the program marks as an error, at most 200 characters of it."""
    found = re.search(r"^.*?\bERROR: *(.+)$", text, re.MULTILINE)
    return " ".join(found[1].split())[:200] if found else None


def judge(rounds: Sequence[tuple[Runs, Runs, Runs]], constant_ms: float | None, source: Source) -> Latency:
    """Return the latency by rounds of three processes: anchor, model, anchor.

    The ranked figure is by `statistics.latency`, its interval widened by what the program's clock
    cannot tell. Minima are taken from the middle of the clock's tick. The median is the median of the
    processes' medians; for p90 stands the median of the p95 that they print, and for p99 the
    longest run: both are at least what their name says. A program too old to print quantiles tells but
    averages, so then all three are quantiles of the processes' averages.
    `constant_ms` None takes the anchor's minimum in these rounds.
    """
    anchors = [runs for before, _, after in rounds for runs in (before, after)]
    anchor_ns = 1e3 * min(_least_us(runs) for runs in anchors)
    timing = _timing([model for _, model, _ in rounds], rounds)
    seen = latency(timing, anchor_ns, anchor_ns / 1e6 if constant_ms is None else constant_ms, source)
    unsure = 1e3 * HALF_TICK_US * (1 / timing.min_ns + 1 / anchor_ns)
    return seen.model_copy(
        update={
            "low_ms": seen.low_ms / (1 + unsure),
            "high_ms": seen.high_ms * (1 + unsure),
            "verdict": "noisy" if seen.verdict == "stable" and 2 * unsure > WIDE else seen.verdict,
        }
    )


def _timing(models: Sequence[Runs], rounds: Sequence[tuple[Runs, Runs, Runs]]) -> Timing:
    least_us = min(map(_least_us, models))
    median_us, p90_us, p99_us = (max(least_us, figure) for figure in _quantiles_us(models))
    return Timing(
        min_ns=1e3 * least_us,
        median_ns=1e3 * median_us,
        p90_ns=1e3 * p90_us,
        p99_ns=1e3 * p99_us,
        runs=sum(runs.count for runs in models),
        rounds=tuple(
            (1e3 * _least_us(before), 1e3 * _least_us(model), 1e3 * _least_us(after))
            for before, model, after in rounds
        ),
    )


def _quantiles_us(models: Sequence[Runs]) -> tuple[float, float, float]:
    medians = [runs.median_us for runs in models if runs.median_us is not None]
    p95s = [runs.p95_us for runs in models if runs.p95_us is not None]
    if len(medians) == len(p95s) == len(models):
        return float(np.median(medians)), float(np.median(p95s)), max(runs.max_us for runs in models)
    median, p90, p99 = np.quantile([runs.avg_us for runs in models], [0.5, 0.9, 0.99])
    return float(median), float(p90), float(p99)


def _least_us(runs: Runs) -> float:
    return runs.min_us + HALF_TICK_US
