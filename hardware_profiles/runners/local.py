"""The runner for this machine: every measurement in a fresh child process with a time limit."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hardware_profiles.anchor import anchor_path
from hardware_profiles.errors import DeviceError
from hardware_profiles.machine import machine_id
from hardware_profiles.measurement import Latency
from hardware_profiles.runners.answers import (
    Computed,
    Place,
    Terms,
    Timed,
    blame,
    check,
    judged,
    me,
    read,
)
from hardware_profiles.runners.base import Anchor, Array
from hardware_profiles.runners.child import Ended, run, signal_name
from hardware_profiles.runners.computing import outputs_of

# The package is made from its folder, so that nothing else that Python finds can stand in its place.
PACKAGE = (
    "import sys, types; package = types.ModuleType('hardware_profiles'); "
    f"package.__path__ = [{str(Path(__file__).parent.parent)!r}]; sys.modules[package.__name__] = package; "
)
START = PACKAGE + "from hardware_profiles.aboard.bench import run; run()"


class LocalRunner:
    """Measures on this machine.

    `budget_s` is the time that timing takes on an ordinary machine; a quiet one needs less, and on a
    busy one a quick moment is waited for until `patience_s` (both besides start-up, some 0.3 s). A
    child that is not done after `timeout_s` is ended. `wait_s` is how long others who measure on this
    machine just now are waited for; `say` is told whom, and they are told of `who`. `delegate` is a
    shared library that the runtime hands to what it can of a model. `command` is what runs the request
    that it gets on standard input; the default is aboard/bench.py in this interpreter, isolated from
    the user's environment. The child runs on the processors that its parent may use.
    """

    def __init__(
        self,
        device: str,
        threads: int = 1,
        budget_s: float = 0.35,
        patience_s: float = 1.0,
        timeout_s: float = 60.0,
        seed: int = 0,
        command: Sequence[str] = (sys.executable, "-I", "-c", START),
        *,
        delegate: str | None = None,
        wait_s: float = 600.0,
        who: str | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.device, self.threads, self.command, self.say = device, threads, tuple(command), say
        self.terms = Terms(
            device, threads, budget_s, patience_s, timeout_s, wait_s, seed, delegate, who or me()
        )

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Time the models, interleaved with the anchor in one fresh process; one Latency each.

        Without an anchor the constant is what this very run sees. Raises MeasuringFailed with the
        reason where the child crashed, overran or answered nonsense, Unreachable where somebody else
        measures here all the time, DeviceError for an anchor that was calibrated for something else.
        """
        if not models:
            return ()
        if anchor is not None:
            terms = self.terms
            check(
                anchor,
                device=self.device,
                machine=machine_id(),
                threads=terms.threads,
                delegate=terms.delegate,
            )
        sent = [{"path": str(model.absolute())} for model in models]
        constant_ms = None if anchor is None else anchor.constant_ms
        request = self.terms.timing(sent, {"path": str(anchor_path())}, constant_ms)
        timed = read(Timed, self._asked(request, models), models, self._place)
        return judged(timed, anchor, self.terms.source(timed.runtime, machine_id()))

    def compute(self, model: Path, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Return the model's outputs for some samples, one array (samples, *shape) each.

        Raises ValueError unless every input has as many samples, else as `measure` does.
        """
        return outputs_of(model, inputs, lambda piece: self._computed(model, piece))

    def _computed(self, model: Path, inputs: Sequence[Array]) -> Computed:
        request = self.terms.computing({"path": str(model.absolute())}, inputs)
        return read(Computed, self._asked(request, [model]), [model], self._place)

    @property
    def _place(self) -> Place:
        return Place(self.device, f"{sys.executable} -m pip")

    def _asked(self, request: dict[str, Any], models: Sequence[Path]) -> Ended:
        """Run the child on a request. Raises MeasuringFailed where it crashed or took too long."""
        terms = self.terms
        try:
            ended = run(
                self.command,
                json.dumps(request).encode(),
                limit_s=terms.timeout_s,
                wait_s=terms.wait_s + 5,
                say=self.say,
            )
        except OSError as error:
            raise DeviceError(f"cannot start the measuring process {self.command[0]}: {error}") from error
        if ended.overran:
            raise blame(ended, models, f"took more than the limit of {terms.timeout_s:g} s")
        if ended.status < 0 and not ended.flooded:
            raise blame(ended, models, f"ended the measuring process by {signal_name(-ended.status)}")
        return ended
