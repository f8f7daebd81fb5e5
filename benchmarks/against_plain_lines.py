"""How the page shows edgesearch against the plain script: the sides, and their hypervolume over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from benchmarks.contenders import EDGESEARCH, KNOWING, PLAIN
from benchmarks.curves import level_at, reached_at
from benchmarks.values import AgainstPlain, Comparison, Judgement

PARTS = (16, 8, 4, 2, 1)
"""After a sixteenth of the time, after an eighth, and so on, the hypervolumes are shown."""
AIMS = {"digits": 10, "fashion-mnist": 5}
"""The plain script's final hypervolume is to be reached in one of so many parts of the time."""

AGAINST_PLAIN_TITLE = """\
## Against a plain Optuna script

The baseline is [benchmarks/plain_optuna.py](../benchmarks/plain_optuna.py), the script that somebody who
knows Optuna and Keras would write today. Both sides get the same space, data, split, epochs and wall time,
one after the other on the same machine; the clock starts at the first ask, and what happens before is
start-up. A candidate counts if it was measured within that time; other forms of a network that was trained
count from when they are in the record on, are told in brackets, and are left out where candidates are
compared. Each side's front is chosen by its own validation figures; one neutral judge then finds test
accuracy, latency and bytes of the files that were on either front at any time, and the hypervolume is that of
`search/hypervolume.py` with its default scales. Over time it is that of the front as it was then. The
accuracy shown is that of the point with the best validation accuracy. A hypervolume counts as reached when
edgesearch has it and does not fall below it again; the aim is to reach the plain script's final one in a
tenth of the time on digits, and in a fifth of it on Fashion-MNIST. edgesearch takes longer to start, for its
workers train and convert a network of each kind before the first ask; so the share is also told from the
launch of the command on, the start-up of each side included.

What edgesearch begins with, a ladder of proven designs, and its schedule were settled on the training and
validation data of these very data sets, the default augmentation's width on test data of Fashion-MNIST too
(`spaces/designs.py`, `objectives/augment.py`, `objectives/train.py` say by which figures); augmentation is
left out in this comparison. On data of another kind they may be worth less."""

KNOWING_NOTE = """\
The third side is the same script with one line changed, the momentum of BatchNorm (0.9 in place of Keras's
0.99, which ruins short trainings): what is left of the difference then is not owed to that one trap."""


def against_plain_lines(result: AgainstPlain) -> list[str]:
    """Return all cases as Markdown, and what they come to."""
    lines: list[str] = []
    if any(side.contender == KNOWING for comparison in result.comparisons for side in comparison.sides):
        lines += [KNOWING_NOTE, ""]
    for comparison in result.comparisons:
        lines += comparison_lines(comparison)
    return [*lines, *summary_lines(result.comparisons)]


def comparison_lines(comparison: Comparison) -> list[str]:
    """Return one case as Markdown: a table of its sides, their curves, and what edgesearch has over each."""
    head = (
        "",
        "start-up",
        "candidates",
        "failed, stopped or over a limit",
        "on the front",
        "hypervolume",
        "accuracy",
        "smallest",
        "quickest",
    )
    return [
        f"### {comparison.case.title}",
        "",
        *table(head, [_row(side) for side in comparison.sides]),
        "",
        *curve_lines(comparison),
        *_ratios(comparison),
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table as Markdown."""
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


def _row(side: Judgement) -> tuple[str, ...]:
    candidates = f"{side.candidates} ({side.forms})" if side.forms else str(side.candidates)
    shown = [side.contender, f"{side.startup_s:.0f} s", candidates, str(side.failed), str(len(side.front))]
    return (*shown, f"{side.hypervolume:.3f}", *_bests(side))


def _bests(side: Judgement) -> tuple[str, str, str]:
    if not side.front:
        return ("none", "none", "none")
    judged = [point.judged for point in side.front]
    best = max(side.front, key=lambda point: point.claimed["accuracy"])
    return (
        f"{best.judged['accuracy']:.3f}",
        f"{min(point['model_bytes'] for point in judged):,.0f} bytes",
        f"{1e3 * min(point['latency_ms'] for point in judged):.1f} us",
    )


def curve_lines(comparison: Comparison) -> list[str]:
    """Return the hypervolumes of a case over time as Markdown; nothing where they were not kept."""
    if not any(side.curve for side in comparison.sides):
        return []
    times = [comparison.case.seconds / part for part in PARTS]
    head = ("hypervolume after", *(f"{seconds:.4g} s" for seconds in times))
    rows = [
        (side.contender, *(f"{level_at(side.curve, seconds):.3f}" for seconds in times))
        for side in comparison.sides
    ]
    return [*table(head, rows), ""]


def _ratios(comparison: Comparison) -> list[str]:
    """Hold edgesearch against each other side, where both took part and had a candidate."""
    sides = {side.contender: side for side in comparison.sides}
    ours = sides.pop(EDGESEARCH, None)
    if ours is None:
        return []
    told = [_ratio(ours, side) + _reached(comparison, ours, side) for side in sides.values()]
    return [*told, ""]


def _ratio(ours: Judgement, other: Judgement) -> str:
    if not other.candidates:
        return f"- The {other.contender} finished no candidate in this time, edgesearch {ours.candidates}."
    times = (ours.candidates - ours.forms) / (other.candidates - other.forms)
    return (
        f"- Against the {other.contender}: **{times:.1f} times the candidates**, hypervolume "
        f"**{ours.hypervolume:.3f} against {other.hypervolume:.3f}**."
    )


def _reached(comparison: Comparison, ours: Judgement, other: Judgement) -> str:
    if not (ours.curve and other.curve):
        return ""
    seconds = reached_at(ours.curve, other.hypervolume)
    if seconds is None:
        return f" edgesearch did not reach the {other.contender}'s final hypervolume."
    launched = _launched(comparison, ours, other, seconds)
    return (
        f" edgesearch reached the {other.contender}'s final hypervolume after **{seconds:.0f} s, "
        f"{fraction(seconds / comparison.case.seconds)} of the time**; {fraction(launched)} of it from the "
        "launch on."
    )


def _launched(comparison: Comparison, ours: Judgement, other: Judgement, seconds: float) -> float:
    """Return the share of the time where each side's clock starts as its command does."""
    return (seconds + ours.startup_s) / (comparison.case.seconds + other.startup_s)


def fraction(share: float) -> str:
    """Write a share of the time as one of so many parts, as people compare it."""
    return "not in all" if math.isinf(share) else f"1/{1 / share:.1f}"


def share_reached(comparison: Comparison, *, launched: bool = False) -> float | None:
    """Return the share of the time after which edgesearch was as good as the plain script at its end.

    From the first ask on, or from when each side was `launched`. Infinite where it never was; None where a
    side is missing, had no candidate, or its curve was not kept.
    """
    sides = {side.contender: side for side in comparison.sides if side.curve}
    if not {EDGESEARCH, PLAIN} <= sides.keys():
        return None
    ours, plain = sides[EDGESEARCH], sides[PLAIN]
    seconds = reached_at(ours.curve, plain.hypervolume)
    if seconds is None:
        return math.inf
    return _launched(comparison, ours, plain, seconds) if launched else seconds / comparison.case.seconds


def summary_lines(comparisons: Sequence[Comparison]) -> list[str]:
    """Return, for cases that differ in their seeds alone, the share of the time of each and the median."""
    lines: list[str] = []
    for about in dict.fromkeys(comparison.case.about for comparison in comparisons):
        same = [comparison for comparison in comparisons if comparison.case.about == about]
        known, launched = _known(same, launched=False), _known(same, launched=True)
        if known:
            lines.append(
                f"- {about}: {_shares(known)}{_aim(same[0].case.data)}; from the launch on "
                f"{_shares(launched)}.{codes_told(same)}"
            )
    if not lines:
        return []
    title = "### The time to reach the plain script's final hypervolume"
    return [title, "", *lines, ""]


def _known(comparisons: Sequence[Comparison], *, launched: bool) -> dict[int, float]:
    shares = {c.case.seed: share_reached(c, launched=launched) for c in comparisons}
    return {seed: share for seed, share in shares.items() if share is not None}


def codes_told(comparisons: Sequence[Comparison]) -> str:
    """Say where not all sides were run by one and the same code; nothing where they were."""
    found = {side.code or "unknown" for comparison in comparisons for side in comparison.sides}
    return f" By different versions of the code: {', '.join(sorted(found))}." if len(found) > 1 else ""


def _shares(known: dict[int, float]) -> str:
    each = ", ".join(f"{fraction(share)} (seed {seed})" for seed, share in known.items())
    return f"{each} of the time; median **{fraction(median(known.values()))}**"


def _aim(data: str) -> str:
    return f" (the aim: at most 1/{AIMS[data]})" if data in AIMS else ""
