"""`edgesearch measure`: any model, measured properly, without a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from search.options import as_json, example, folder, json_option, out, places

if TYPE_CHECKING:
    from rich.table import Table

    from search.measuring import Measured
    from search.shipment import TensorSpec


@click.command(epilog=example("edgesearch measure float.tflite int8.tflite --device this-machine"))
@click.argument("models", nargs=-1, required=True, metavar="MODEL.tflite...")
@click.option("--device", metavar="NAME", default="this-machine", show_default=True, help="See `devices`.")
@click.option("--threads", type=int, metavar="N", default=1, show_default=True, help="That a model may use.")
@json_option
def measure(models: tuple[str, ...], device: str, threads: int, to_json: bool) -> None:
    """Measure a .tflite on a device: latency with its spread, bytes, arena. Several are held side by side."""
    from search.measuring import as_row, compared
    from search.measuring import measure as measured

    found = measured([folder(model) for model in models], device, threads, places())
    if to_json:
        rows = [as_row(one) for one in found]
        return as_json(rows[0] if len(rows) == 1 else rows)
    for one in found:
        out().print(_sheet(one))
    for other in found[1:]:
        print(compared(found[0], other))
    return None


def _sheet(found: Measured) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(str(found.path)), title_justify="left", box=None, show_header=False)
    for name, text in _lines(found):
        table.add_row(name, Text(text))
    return table


def _lines(found: Measured) -> list[tuple[str, str]]:
    from search.tables import human_bytes, human_ms

    latency, source = found.latency, found.latency.source
    spread = f"{human_ms(latency.low_ms)} to {human_ms(latency.high_ms)}"
    felt = {"median": latency.median_ms, "p90": latency.p90_ms, "p99": latency.p99_ms}
    seen = ", ".join(f"{name} {human_ms(value)}" for name, value in felt.items())
    runtime = " ".join(word for word in (source.runtime, source.runtime_version) if word)
    return [
        ("latency", f"{human_ms(latency.latency_ms)} ({spread}), {source.provenance}, {latency.verdict}"),
        ("", f"seen over {latency.runs} runs: {seen}"),
        ("size", f"{human_bytes(found.model_bytes)}, {human_bytes(found.compressed_bytes)} deflated"),
        ("arena", _arena(found)),
        ("input", _specs(found.inputs)),
        ("output", _specs(found.outputs)),
        ("device", f"{source.device} ({source.machine}), {runtime}, {source.threads} thread(s)"),
    ]


def _arena(found: Measured) -> str:
    from search.tables import human_bytes

    if isinstance(found.arena, str):
        return f"not known: {found.arena}"
    head = human_bytes(found.arena.head_bytes)
    return (
        f"{human_bytes(found.arena.total_bytes)} in TensorFlow Lite Micro, measured here ({head} of it for "
        "activations); an upper bound for 32-bit devices"
    )


def _specs(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{s.name}: {s.dtype} {'x'.join(map(str, s.shape))}" for s in specs)
