"""Ctrl-C and SIGTERM: the same, and never in the middle of writing to a study."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def terminable() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C while the block runs: it raises KeyboardInterrupt. In the main thread only."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = _install({signal.SIGTERM: interrupt})
    try:
        yield
    finally:
        _install(before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C and SIGTERM off until the block ends; a second one gets through at once."""
    caught: list[int] = []

    def put_off(number: int, _frame: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = _install(dict.fromkeys(ENDING, put_off))
    try:
        yield
    finally:
        _install(before)
    if caught:
        signal.raise_signal(caught[0])


def _install(handlers: dict[signal.Signals, Any]) -> dict[signal.Signals, Any]:
    """Install handlers and return those that were there; elsewhere than in the main thread do nothing."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {}
    for number, handler in handlers.items():
        # None stands for a handler that C installed, which Python cannot put back.
        if signal.getsignal(number) is not None:
            before[number] = signal.signal(number, handler)
    return before
