"""The runner that tries again where that is worth it: a board that reboots, a connection that broke."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hardware_profiles.errors import DeviceError, Unreachable
from hardware_profiles.measurement import Latency
from hardware_profiles.runners.base import Anchor, Array, Computes, Runner

Result = TypeVar("Result")


class RetryingRunner:
    """Holds a runner and is one; it computes if, and only if, the one within does.

    Unreachable alone is tried again, `attempts` times in all, after pauses of `first_pause_s`, twice that,
    and so on; everything else is passed on at once. `say` is told of each pause, `sleep` makes it.
    """

    compute: Callable[[Path, Sequence[Array]], tuple[Array, ...]]

    def __init__(
        self,
        runner: Runner,
        attempts: int = 3,
        first_pause_s: float = 2.0,
        sleep: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if attempts < 1 or first_pause_s < 0:
            raise DeviceError(f"at least 1 attempt and 0 s of pause, got {attempts} and {first_pause_s:g}")
        self.runner, self.attempts, self.first_pause_s = runner, attempts, first_pause_s
        self.sleep, self.say = sleep, say
        if isinstance(runner, Computes):
            self.compute = self._compute

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Measure as the runner within does. Raises what it does; Unreachable after the last attempt."""
        return self._tried(lambda: self.runner.measure(models, anchor))

    def _compute(self, model: Path, inputs: Sequence[Array]) -> tuple[Array, ...]:
        inner = self.runner
        assert isinstance(inner, Computes)
        return self._tried(lambda: inner.compute(model, inputs))

    def _tried(self, attempt: Callable[[], Result]) -> Result:
        for number in range(1, self.attempts):
            try:
                return attempt()
            except Unreachable as error:
                self._pause(self.first_pause_s * 2 ** (number - 1), error)
        return attempt()

    def _pause(self, pause_s: float, error: Unreachable) -> None:
        if self.say is not None:
            self.say(f"{error}; trying again in {pause_s:g} s")
        self.sleep(pause_s)
