"""What was found of a model, for people: a sheet for each, and all of them side by side."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hardware_profiles.measurement import Latency, Measurement
from search.agreement import Agreement, OutputAgreement
from search.measured import Content, Measured
from search.shipment import TensorSpec
from search.units import human_bytes, human_ms

if TYPE_CHECKING:
    from rich.table import Table

Line = tuple[str, str]
VERDICTS = {
    "noisy": "other work kept it busy, so the interval is wide: close what else runs, and measure again",
    "drifting": "it grew slower or quicker during the run: let the device come to rest, and measure again",
    "throttled": "the device held its clock down, so it is slower than it can be: see to cooling and power",
}
"""What a verdict other than stable means for whoever reads it."""


def sheet(found: Measured) -> "Table":
    """Return all that is known of a model as a table without heads."""
    from rich.table import Table
    from rich.text import Text

    title = Text(str(found.path), style="bold")
    table = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, text in lines(found):
        table.add_row(name, Text(text))
    return table


def beside(found: Sequence[Measured]) -> "Table":
    """Return the figures of several models, one row each."""
    from rich.table import Table
    from rich.text import Text

    from search.quicker import names_of

    table, names = Table(box=None, pad_edge=False), names_of(found)
    table.add_column("model", overflow="fold")
    for heading in ("precision", "latency", "size", "deflated", "arena"):
        table.add_column(heading, justify="right")
    for one in found:
        assert one.content is not None
        content, arena = one.content, one.figures.get("arena_bytes")
        table.add_row(
            Text(names[id(one)]),
            content.precision or "–",
            _latency(one.timed) if one.timed else "–",
            human_bytes(content.model_bytes),
            human_bytes(content.compressed_bytes),
            _bytes(arena) if arena else "–",
        )
    return table


def lines(found: Measured) -> Iterator[Line]:
    """Yield the lines of a sheet: what it is about, and what is said."""
    content = found.content
    assert content is not None
    yield from _latency_lines(found)
    deflated = human_bytes(content.compressed_bytes)
    yield "size", f"{human_bytes(content.model_bytes)}, {deflated} deflated"
    yield "arena", _arena(found)
    yield from _energy_lines(found)
    yield from _npu_lines(found)
    yield "work", _work(content)
    yield from _ops_lines(found)
    yield "agreement", _agreement(found.agreement, found.reasons.get("agreement"))
    yield "input", _specs(content.inputs)
    yield "output", _specs(content.outputs)
    yield from _device_lines(found)
    for remark in found.remarks:
        yield "note", remark


def _latency_lines(found: Measured) -> Iterator[Line]:
    timed, seen = found.timed, found.latency
    if timed is None:
        yield "latency", f"not known: {found.reasons['latency_ms']}"
        return
    if seen is None:
        yield "latency", _latency(timed)
        return
    yield "latency", f"{_latency(timed)}, {timed.source.provenance}, {seen.verdict}"
    if seen.verdict in VERDICTS:
        yield "", f"{seen.verdict}: {VERDICTS[seen.verdict]}{_throttling(seen)}"
    yield "", f"seen over {seen.runs} runs: {_quantiles(seen)}"


def _latency(timed: Measurement) -> str:
    """Return `12.1 us (12.0–12.4 us)`, or `estimated 18.2–34.1 ms` for what was not measured."""
    if timed.low is None or timed.high is None:
        bounds = None
    else:
        bounds = _range(human_ms(timed.low), human_ms(timed.high))
    if timed.source.provenance != "measured":
        return f"{timed.source.provenance} {bounds or human_ms(timed.value)}"
    return human_ms(timed.value) + (f" ({bounds})" if bounds else "")


def _range(low: str, high: str) -> str:
    """Return two amounts with one unit between them where it is the same."""
    (number, unit), other = low.split(), high.split()[1]
    return high if low == high else f"{number if unit == other else low}–{high}"


def _throttling(seen: Latency) -> str:
    named = seen.conditions.throttling if seen.conditions else ()
    return f" ({', '.join(named)})" if named else ""


def _quantiles(seen: Latency) -> str:
    shown = {"least": seen.min_ms, "median": seen.median_ms, "p90": seen.p90_ms, "p99": seen.p99_ms}
    return ", ".join(f"{name} {human_ms(value)}" for name, value in shown.items())


def _bytes(told: Measurement) -> str:
    word = "" if told.source.provenance == "measured" else f"{told.source.provenance} "
    return word + human_bytes(told.value)


def _arena(found: Measured) -> str:
    told = found.figures.get("arena_bytes")
    if told is None:
        return f"not known: {found.reasons['arena_bytes']}"
    return f"{_bytes(told)}: {_arena_source(told, found)}"


def _arena_source(told: Measurement, found: Measured) -> str:
    if found.latency is not None and told.source == found.latency.source:
        return "told by the device"
    if told.source.runtime == "vela":
        return "as Vela plans it"
    if told.source.provenance == "estimated":
        return "the tensors alone, as a planner lays them; what the runtime keeps besides comes on top"
    return (
        f"what TensorFlow Lite Micro needs, measured on this host ({human_bytes(told.low or 0)} of it for "
        "activations); an upper bound for 32 bits, but CMSIS-NN and ESP-NN may ask for scratch memory on top"
    )


def _energy_lines(found: Measured) -> Iterator[Line]:
    """Yield what a run costs; of a device of which no power is known, nothing."""
    told = found.figures.get("energy_mj")
    if told is None:
        return
    between = "" if told.low is None or told.high is None else f" ({told.low:.3g}–{told.high:.3g})"
    measured = told.source.provenance == "measured"
    how = "measured by the power meter" if measured else "estimated: latency times the power in the profile"
    yield "energy", f"{told.value:.3g} mJ{between}, {how}"


def _npu_lines(found: Measured) -> Iterator[Line]:
    """Yield what an accelerator's own tool told."""
    figures = found.figures
    for metric, name in (("npu_share", "NPU"), ("edgetpu_share", "Edge TPU")):
        if (share := figures.get(metric)) is not None:
            yield name, f"{share.source.provenance} to run {share.value:.0%} of the operators"
    if (cycles := figures.get("npu_cycles")) is not None:
        between = f"{cycles.low or 0:,.0f}–{cycles.high or 0:,.0f}"
        yield "", f"{cycles.source.provenance} {cycles.value:,.0f} cycles ({between})"
    for metric, name in (
        ("flash_bytes", "flash, the file as Vela compiles it"),
        ("edgetpu_cached_bytes", "parameters on the chip"),
        ("edgetpu_streamed_bytes", "parameters sent there in every run"),
    ):
        if (size := figures.get(metric)) is not None:
            yield "", f"{_bytes(size)} {name}"


def _work(content: Content) -> str:
    graph = content.graph
    besides = f", without {', '.join(graph.uncounted)}" if graph.uncounted else ""
    return f"{content.precision or 'no weights'}, {graph.macs:,} multiply-accumulates{besides}"


def _ops_lines(found: Measured) -> Iterator[Line]:
    assert found.content is not None
    kinds, missing = found.content.graph.kinds, found.unsupported_ops
    if missing is None:
        yield "operators", f"{', '.join(kinds)} ({found.reasons['unsupported_ops']})"
    elif missing:
        yield "operators", f"not there on {found.device}: {', '.join(missing)}"
    else:
        yield "operators", f"all are there: {', '.join(kinds)}"


def _agreement(told: Agreement | None, reason: str | None) -> str:
    if told is None:
        return f"not known: {reason}"
    asked = f"{told.samples} random inputs, {told.by} beside LiteRT on this host"
    if told.identical:
        return f"identical to the last bit ({asked})"
    several = len(told.outputs) > 1
    said = [
        (f"{output.name}: " if several else "") + _difference(output, told.samples) for output in told.outputs
    ]
    return f"{'; '.join(said)} ({asked})"


def _difference(output: OutputAgreement, samples: int) -> str:
    steps = output.max_steps
    size = f"at most {output.max_difference:.3g} apart, of up to {output.largest:.3g}"
    if steps is not None:
        word = "step" if steps == 1 else "steps"
        size = f"at most {steps} quantization {word} apart ({output.max_difference:.3g})"
    if output.equal_argmax is None:
        return size
    return f"{size}, the same class in {round(output.equal_argmax * samples)} of {samples}"


def _specs(specs: tuple[TensorSpec, ...] | str) -> str:
    if isinstance(specs, str):
        return f"not known: {specs}"
    return ", ".join(f"{s.name}: {s.dtype} {'x'.join(map(str, s.shape))}" for s in specs) or "none"


def _device_lines(found: Measured) -> Iterator[Line]:
    if found.timed is None:
        yield "device", found.device
        return
    source = found.timed.source
    runtime = " ".join(word for word in (source.runtime, source.runtime_version) if word)
    threads = f"{source.threads} thread{'' if source.threads == 1 else 's'}" if source.threads else ""
    machine = f"{source.device} (machine {source.machine})" if source.machine else source.device
    delegate = f"delegate {source.delegate}" if source.delegate else ""
    yield "device", ", ".join(word for word in (machine, runtime, threads, delegate) if word)
    conditions = found.latency.conditions if found.latency else None
    if conditions is not None:
        clock = f"{conditions.clock_mhz:.0f} MHz" if conditions.clock_mhz else ""
        governor = f"governor {conditions.governor}" if conditions.governor else ""
        told = [word for word in (conditions.processor, clock, governor, *conditions.throttling) if word]
        yield "", ", ".join(told)
