"""How a running study is shown: a live panel on a terminal, a plain line now and then elsewhere.

Everything goes to standard error, so that standard output holds results alone.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

from search.tables import human_bytes, human_ms

if TYPE_CHECKING:
    from hardware_profiles.measurement import Measurement
    from search.status import Display, Status

PLAIN_EVERY_S = 10.0


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

    def show(self, status: Status) -> None:
        """Write a line if the last one is old enough or the study is done."""
        if time.monotonic() >= self._next or (status.done >= status.wanted and not status.running):
            self._next = time.monotonic() + self._every_s
            self.say(summary(status))

    def say(self, text: str) -> None:
        """Write a line."""
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Do nothing: every line is out."""


class Live:
    """Keeps a bar and the best points up to date on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._console = Console(file=stream)
        self._live = RichLive(console=self._console, refresh_per_second=4, transient=False)
        self._live.start()

    def show(self, status: Status) -> None:
        """Draw the moment."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        bar = ProgressBar(total=status.wanted, completed=status.done, width=40)
        self._live.update(Group(bar, *(Text(line) for line in summary(status).split(" | "))))

    def say(self, text: str) -> None:
        """Print a line above the panel."""
        self._console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the last picture standing."""
        self._live.stop()


def summary(status: Status) -> str:
    """Return the moment as one line of parts joined by ` | `."""
    left = "time left unknown yet" if status.seconds_left is None else f"{human_seconds(status.seconds_left)} left"
    parts = [
        f"{status.done}/{status.wanted} trials, {left}",
        f"hypervolume {status.hypervolume:.4f}",
        f"infeasible {status.infeasible}, stopped {status.stopped}, failed {status.failed}",
    ]
    best = ", ".join(f"{shown(b.measurement)} (trial {b.trial})" for b in status.best)
    return " | ".join([*parts, f"best {best}" if best else "nothing measured yet"])


def shown(measurement: Measurement) -> str:
    """Return a number with its unit and, for what a device showed, how it came about."""
    match measurement.metric:
        case "latency_ms":
            return f"{human_ms(measurement.value)} {measurement.source.provenance}"
        case "model_bytes":
            return human_bytes(measurement.value)
        case metric:
            return f"{metric} {measurement.value:.4f}"


def human_seconds(seconds: float) -> str:
    """Return 42 s, 3:20 min or 2:05 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def display_on(stream: TextIO = sys.stderr) -> Display:
    """Return the display that fits the stream."""
    return Live(stream) if stream.isatty() else Plain(stream)
