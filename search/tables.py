"""Trials as rows for `--json` and as tables for a terminal."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, assert_never

from objectives.datasets.callables import is_reference
from search.confirmation_cells import confirmed, looked_at_twice
from search.front import figures
from search.trial import StudyRecord, TrialRecord
from search.units import human_bytes, human_figure, human_ms, three_digits, time_unit
from spaces.candidate import Candidate, Compression, Pca, Resize, Rfe
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Layer, Residual, Size

if TYPE_CHECKING:
    from rich.table import Table

Cell = str | int | float | bool | None

KEYS = (
    "accuracy", "latency_ms", "model_bytes", "compressed_bytes", "arena_bytes", "energy_mj",
    "sparsity_reached", "sparsity_overall", "float_accuracy",
)  # fmt: skip
"""Metrics that every row has, null where they are not known."""


def describe(architecture: Iterable[Layer]) -> str:
    """Return an architecture as short text: `conv16k3 · dws32k3s2 · pool · dense32`.

    A number after the word is the filters or units, k the kernel, s the stride where it is not 1; sizes
    that are not square are written `k5x1`. The classifier at the end goes without saying.
    """
    return " · ".join(_layer(layer) for layer in architecture)


def _layer(layer: Layer) -> str:
    match layer:
        case Conv(filters=filters, kernel=kernel, stride=stride):
            return f"conv{filters}{_window(kernel, stride)}"
        case DepthwiseSeparable(filters=filters, kernel=kernel, stride=stride):
            return f"dws{filters}{_window(kernel, stride)}"
        case Residual(filters=filters, kernel=kernel, stride=stride):
            return f"res{filters}{_window(kernel, stride)}"
        case GlobalPool():
            return "pool"
        case Flatten():
            return "flat"
        case Dense(units=units):
            return f"dense{units}"
        case _:
            assert_never(layer)


def _window(kernel: Size, stride: Size) -> str:
    return f"k{_size(kernel)}" + (f"s{_size(stride)}" if stride != (1, 1) else "")


def _size(size: Size) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def describe_network(candidate: Candidate) -> str:
    """Return an architecture after the reduction of its input, if there is one: `pca12 → dense32`."""
    if candidate.model is not None:
        return f"your network {candidate.model}"
    match candidate.reduction:
        case None:
            return describe(candidate.architecture)
        case Rfe(columns=count):
            before = f"rfe{count}"
        case Pca(components=count):
            before = f"pca{count}"
        case Resize(scale=scale):
            before = f"resize{scale:g}"
        case _:
            assert_never(candidate.reduction)
    return f"{before} → {describe(candidate.architecture)}".rstrip()


def describe_compression(compression: Compression) -> str:
    """Return a compression as short text: `int8 aware · keep .5 · sparsity .6 · 16 clusters`."""
    precision = compression.precision + (" aware" if compression.quantization == "aware" else "")
    parts = [
        precision + (f" in {compression.int4_share:.0%}" if compression.int4_share < 1 else ""),
        f"keep {compression.keep:g}" if compression.keep < 1 else "",
        f"sparsity {compression.sparsity:g}" if compression.sparsity else "",
        f"{compression.clusters} clusters" if compression.clusters else "",
    ]
    return " · ".join(part for part in parts if part)


def flat_parameters(candidate: Candidate) -> dict[str, Cell]:
    """Return a candidate as flat names and plain values: `training.learning_rate`, `compression.precision`.

    The architecture is one text (see `describe_network`).
    """
    flat: dict[str, Cell] = {"architecture": describe_network(candidate)}
    for part, values in candidate.model_dump(mode="json", exclude={"architecture"}).items():
        flat.update(_flatten(part, values))
    return flat


def _flatten(name: str, value: object) -> dict[str, Cell]:
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in _flatten(f"{name}.{key}", inner).items()}
    return {name: value if isinstance(value, Cell) else str(value)}


def row(record: TrialRecord) -> dict[str, Cell]:
    """Return one trial as a flat object for JSON or a table; what is not known is None.

    Latencies are in ms: `latency_ms` is the ranked figure with `latency_low_ms` and `latency_high_ms`
    around it, and `latency_median_ms`, `latency_p90_ms` are what a user feels. `provenance` is that of
    the latency, `arena_provenance` and `energy_provenance` are those of `arena_bytes` and `energy_mj`.
    Objectives of the user's own have their references as keys (`package.module:Objective`).
    """
    values, latency, candidate = figures(record), record.latency, record.candidate
    timed = record.measurement("latency_ms")
    source = latency.source if latency else timed.source if timed else None
    known = {key: values.get(key) for key in KEYS} | own_values(record)
    return {
        "trial": record.number,
        "state": record.state,
        **known,
        "latency_low_ms": latency.low_ms if latency else timed.low if timed else None,
        "latency_high_ms": latency.high_ms if latency else timed.high if timed else None,
        "latency_median_ms": values.get("latency_median_ms"),
        "latency_p90_ms": values.get("latency_p90_ms"),
        "latency_verdict": latency.verdict if latency else None,
        "provenance": source.provenance if source else None,
        "arena_provenance": _provenance(record, "arena_bytes"),
        "energy_provenance": _provenance(record, "energy_mj"),
        "device": source.device if source else None,
        "machine": source.machine if source else None,
        "precision": candidate.compression.precision if candidate else None,
        "compression": describe_compression(candidate.compression) if candidate else None,
        "parameters": record.evidence.parameters,
        "artifact": record.evidence.artifact,
        "reason": record.reason,
        "duplicate_of": record.duplicate_of,
        "retry_of": record.retry_of,
        "parent": record.parent,
        "candidate": candidate.digest if candidate else None,
        **(flat_parameters(candidate) if candidate else {}),
    }


def own_values(record: TrialRecord) -> dict[str, float]:
    """Return the figures of objectives of the user's own, by their references."""
    return {metric: value for metric, value in record.values.items() if is_reference(metric)}


def _provenance(record: TrialRecord, metric: str) -> str | None:
    found = record.measurement(metric)
    return found.source.provenance if found else None


def rows(records: Iterable[TrialRecord], study: StudyRecord | None = None) -> list[dict[str, Cell]]:
    """Return the trials as rows in the order given.

    Of a study each says what looking twice showed (see `confirmed`), and where a network was brought the
    difference to that (see `changes`).
    """
    if study is None:
        return [row(record) for record in records]
    base = study.as_it_is
    return [
        {**row(record), **confirmed(record, study), **({} if base is None else changes(record, base))}
        for record in records
    ]


CHANGED = ("latency_ms", "model_bytes", "compressed_bytes")


def changes(record: TrialRecord, base: TrialRecord) -> dict[str, Cell]:
    """Return how a trial differs from another: hundredths of accuracy, and percent of ms and bytes.

    The keys are `accuracy_change_points` and METRIC`_change_percent`; None where a figure is missing.
    """
    now, then = figures(record), figures(base)
    both = now.keys() & then.keys()
    points = 100 * (now["accuracy"] - then["accuracy"]) if "accuracy" in now else None
    shares = {
        f"{metric}_change_percent": 100 * (now[metric] / then[metric] - 1) if {metric} <= both else None
        for metric in CHANGED
    }
    return {"accuracy_change_points": points, **shares}


def _change(record: TrialRecord, base: TrialRecord | None, key: str) -> str:
    """Return a difference in brackets, ` (−0.4)` or ` (−71 %)`; nothing where there is none to tell."""
    value = None if base is None or base is record else changes(record, base)[key]
    if not isinstance(value, float):
        return ""
    text = f"{value:+.1f}" if key.endswith("points") else f"{value:+.0f} %"
    return f" ({text.replace('-', '−')})"


def human_latency(record: TrialRecord) -> str:
    """Return a trial's latency with what bounds it, `12.1 us (12.0–12.4)`, or a dash."""
    cells = row(record)
    value, low, high = cells["latency_ms"], cells["latency_low_ms"], cells["latency_high_ms"]
    if not isinstance(value, float):
        return "–"
    if not isinstance(low, float) or not isinstance(high, float):
        return human_ms(value)
    amount, _ = time_unit(value)
    return f"{human_ms(value)} ({three_digits(low / amount)}–{three_digits(high / amount)})"


def provenances(records: Iterable[TrialRecord], key: str = "provenance") -> str:
    """Return how the latencies of these trials came about, each word once: `measured`."""
    words = {str(word) for record in records if (word := row(record)[key])}
    return ", ".join(sorted(words)) or "not measured"


def front_table(records: Iterable[TrialRecord], study: StudyRecord) -> "Table":
    """Return the front as a table for a terminal, in the order given.

    Of a study of a network that was brought, differences to that network stand in brackets.

    The latency's provenance stands in the heading, and in each cell too where it differs. Memory, energy and
    objectives of the user's own have a column where they are goals.
    """
    from rich.table import Table
    from rich.text import Text

    shown = tuple(records)
    words = provenances(shown)
    more = [metric for goal in study.goals if (metric := goal.metric) not in SHOWN]
    twice = looked_at_twice(shown, study)
    table = Table(title=Text(f"Pareto front of {study.name} on {study.profile.name}"), title_justify="left")
    told = (study.plan.metric, f"latency ({words})", "size", "deflated", *map(_head, more), *twice)
    for heading in ("trial", *told):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for heading in ("compression", "architecture"):
        table.add_column(heading, overflow="fold")
    for i, record in enumerate(shown):
        cells, base = row(record), study.as_it_is
        word = f" {cells['provenance']}" if "," in words and cells["provenance"] else ""
        table.add_row(
            str(record.number),
            _fraction(cells["accuracy"]) + _change(record, base, "accuracy_change_points"),
            human_latency(record) + word + _change(record, base, "latency_ms_change_percent"),
            _size_text(cells["model_bytes"]) + _change(record, base, "model_bytes_change_percent"),
            _size_text(cells["compressed_bytes"]) + _change(record, base, "compressed_bytes_change_percent"),
            *(_figure(metric, cells.get(metric)) for metric in more),
            *(column[i] for column in twice.values()),
            str(cells["compression"] or "–"),
            str(cells.get("architecture", "–")),
        )
    return table


SHOWN = ("accuracy", "latency_ms", "model_bytes", "compressed_bytes")
"""What every front's table has a column for."""


def _head(metric: str) -> str:
    return {"arena_bytes": "arena", "energy_mj": "energy"}.get(metric, metric)


def _figure(metric: str, value: Cell) -> str:
    return human_figure(metric, value) if isinstance(value, int | float) else "–"


def trials_table(records: Iterable[TrialRecord], study: StudyRecord) -> "Table":
    """Return trials as a table for a terminal, in the order given, with why those without a result ended."""
    from rich.table import Table
    from rich.text import Text

    shown = tuple(records)
    table = Table(title=Text(f"Trials of {study.name} on {study.profile.name}"), title_justify="left")
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in (study.plan.metric, f"latency ({provenances(shown)})", "size"):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    table.add_column("what was tried, or why it ended", overflow="fold")
    for record in shown:
        cells = row(record)
        table.add_row(
            str(record.number),
            record.state,
            _fraction(cells["accuracy"]),
            human_latency(record),
            _size_text(cells["model_bytes"]),
            Text(str(cells["reason"] or _tried(cells))),
        )
    return table


def _tried(cells: dict[str, Cell]) -> str:
    tried = " · ".join(str(cells[key]) for key in ("architecture", "compression") if cells.get(key)) or "–"
    return tried if cells["parent"] is None else f"{tried} (a form of trial {cells['parent']})"


def _fraction(value: Cell) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "–"


def _size_text(value: Cell) -> str:
    return human_bytes(value) if isinstance(value, int | float) else "–"
