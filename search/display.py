"""How a running study is shown: a live panel on a terminal, a plain line now and then elsewhere.

Everything goes to standard error, so that standard output holds results alone.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from search.secrets import RedactingFilter
from search.units import human_bytes, human_figure, human_ms

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from hardware_profiles.measurement import Measurement
    from search.status import Best, Display, Status

PLAIN_EVERY_S = 10.0
PANEL_COLUMNS = 100
NAMES = {
    "latency_ms": "latency",
    "model_bytes": "size",
    "compressed_bytes": "deflated",
    "arena_bytes": "arena",
    "energy_mj": "energy",
}


class Silent:
    """Shows nothing: for programs."""

    def show(self, status: Status) -> None:
        """Ignore a moment."""

    def say(self, text: str) -> None:
        """Ignore a line."""

    def close(self) -> None:
        """Do nothing."""


class Plain:
    """Writes a line now and then, and the last one."""

    def __init__(self, stream: TextIO, every_s: float = PLAIN_EVERY_S) -> None:
        self._stream, self._every_s = stream, every_s
        self._next = 0.0
        self._last = ""

    def show(self, status: Status) -> None:
        """Write a line if the last one is old enough or nothing is under way any more."""
        line, over = summary(status), not status.running
        if (time.monotonic() >= self._next or over) and line != self._last:
            self._next = time.monotonic() + self._every_s
            self._last = line
            self.say(line)

    def say(self, text: str) -> None:
        """Write a line."""
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Do nothing: every line is out."""


class Live:
    """Keeps a panel with a bar, the counts and the best points up to date on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._console = Console(file=stream)
        self._live = RichLive(
            console=self._console, refresh_per_second=4, redirect_stdout=False, redirect_stderr=False
        )
        self._open = False

    def show(self, status: Status) -> None:
        """Draw the moment; the first one opens the panel."""
        self._live.update(_Panel(status, self._console))
        if not self._open:
            self._open = True
            self._live.start()

    def say(self, text: str) -> None:
        """Print a line above the panel."""
        self._console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the last picture standing."""
        self._live.stop()


class _Panel:
    """One moment as rich draws it; its clock goes on until the next one."""

    def __init__(self, status: Status, console: Console) -> None:
        self._status, self._console = status, console
        self._drawn = time.monotonic()

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        told = (Text(line) for line in (counts(self._status), *limits(self._status)))
        body = Group(self._progress(), *told, "", _best_table(self._status.best))
        width = min(PANEL_COLUMNS, self._console.width)
        return Panel(body, title=Text(self._status.study), title_align="left", width=width)

    def _progress(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        status, since = self._status, time.monotonic() - self._drawn
        if not status.running:
            since = 0.0
        took = human_seconds(status.seconds + since)
        line = Table.grid(padding=(0, 2), expand=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        line.add_row(
            ProgressBar(total=status.wanted, completed=min(status.done, status.wanted)),
            f"{status.done}/{status.wanted} trials, {took}, {left(status, since)}",
        )
        return line


def _best_table(best: Iterable[Best]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for point in best:
        metric = point.measurement.metric
        name = NAMES.get(metric, metric)
        table.add_row(f"best {name}", Text(figure(point.measurement), style="bold"), f"trial {point.trial}")
    return table if table.row_count else Text("nothing measured yet")


def summary(status: Status) -> str:
    """Return the moment as one line of parts joined by ` | `."""
    best = ", ".join(
        f"{NAMES.get(b.measurement.metric, b.measurement.metric)} {figure(b.measurement)} (trial {b.trial})"
        for b in status.best
    )
    parts = [
        f"{status.done}/{status.wanted} trials, {left(status)}",
        *counts(status).split(" | "),
        *limits(status),
        f"best {best}" if best else "nothing measured yet",
    ]
    return " | ".join(parts)


def counts(status: Status) -> str:
    """Return the hypervolume and how the trials ended."""
    ended = ", ".join(
        f"{state} {getattr(status, state)}" for state in ("measured", "infeasible", "stopped", "failed")
    )
    if status.checked:
        ended += f" (stopping wrong in {status.wrong} of {status.checked} checked)"
    return f"hypervolume {status.hypervolume:.4f} | {ended}"


def limits(status: Status) -> tuple[str, ...]:
    """Return what limits the study, nothing where that is not known."""
    if (limiting := status.limited_by) is None:
        return ()
    return (f"limited by {limiting.cause} {100 * limiting.share:.0f} %",)


def left(status: Status, since_s: float = 0.0) -> str:
    """Return how long it will go on yet, `since_s` after the moment."""
    if status.done >= status.wanted and not status.running:
        return "done"
    if status.seconds_left is None:
        return "time left not known yet"
    return f"{human_seconds(max(0.0, status.seconds_left - since_s))} left"


def figure(measurement: Measurement) -> str:
    """Return a number with its unit and, for what a device showed, how it came about."""
    match measurement.metric:
        case "latency_ms":
            return f"{human_ms(measurement.value)} {measurement.source.provenance}"
        case "model_bytes" | "compressed_bytes":
            return human_bytes(measurement.value)
        case "arena_bytes" | "energy_mj":
            shown = human_figure(measurement.metric, measurement.value)
            return f"{shown} {measurement.source.provenance}"
        case _:
            return f"{measurement.value:.4f}"


def human_seconds(seconds: float) -> str:
    """Return 42 s, 3:20 min or 2:05 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def display_on(stream: TextIO) -> Display:
    """Return the display that fits the stream."""
    return Live(stream) if stream.isatty() else Plain(stream)


class _Saying(logging.Handler):
    def __init__(self, display: Display) -> None:
        super().__init__(logging.WARNING)
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        """Show the record's message as a line of its own."""
        self._display.say(f"{record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def logging_to(display: Display, addresses: Iterable[str]) -> Iterator[None]:
    """Show our warnings on the display while the block runs, without the secrets of the addresses in use.

    Those of libraries are dropped: they speak of retries and ports, and may do so every second.
    """
    handler = _Saying(display)
    handler.addFilter(RedactingFilter(addresses))
    handler.addFilter(
        lambda record: record.name.split(".")[0] in {"search", "objectives", "hardware_profiles"}
    )
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


@contextmanager
def undisturbed(stream: TextIO) -> Iterator[TextIO]:
    """Yield a stream to the same terminal, and let nobody else write there until the block ends.

    TensorFlow and Ray have native code that writes to standard error as it likes and would tear a live
    panel apart. What is no terminal stays as it is, for there it may help to find a fault.
    """
    if not stream.isatty():
        yield stream
        return
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(os.fdopen(os.dup(stream.fileno()), "w", buffering=1, encoding="utf-8"))
        nowhere = stack.enter_context(open(os.devnull, "wb"))  # noqa: PTH123 - a device, no path
        stream.flush()
        before = os.dup(stream.fileno())
        os.dup2(nowhere.fileno(), stream.fileno())
        try:
            yield own
        finally:
            stream.flush()
            os.dup2(before, stream.fileno())
            os.close(before)


class _Lines(io.TextIOBase):
    """Says what is printed, line by line, but for Ray's paragraphs on dead workers: the driver tells it."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._begun = ""

    def write(self, text: str) -> int:
        """Say the lines that are complete."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if "(raylet)" not in line[:32]:
                self._display.say(line)
        return len(text)

    def end(self) -> None:
        """Say what has no end of line."""
        if self._begun:
            self.write("\n")


@contextmanager
def printed_on(display: Display) -> Iterator[None]:
    """Show on the display what anybody prints while the block runs: standard output is for results."""
    sys.stdout.flush()
    before = os.dup(1)
    os.dup2(2, 1)
    lines = _Lines(display)
    try:
        with contextlib.redirect_stdout(lines):
            yield
    finally:
        lines.end()
        os.dup2(before, 1)
        os.close(before)
