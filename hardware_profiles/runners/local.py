"""The runner for this machine: every measurement in a fresh child process with a time limit."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hardware_profiles.anchor import anchor_path, anchor_sha256
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.machine import machine_id
from hardware_profiles.measurement import Latency, Source
from hardware_profiles.runners.base import Anchor
from hardware_profiles.statistics import AGREE, QUICK, Summary, Timing, latency
from hardware_profiles.value import Value

COPIES = 3
FEW, MANY = 12, 60
BENCH = Path(__file__).parent.parent / "bench.py"


class FoundRuntime(Value):
    """The runtime that the child found."""

    name: str
    version: str | None


class Answer(Value):
    """The child's answer (see bench.py)."""

    runtime: FoundRuntime
    peak_rss_bytes: int | None
    anchor: Summary
    models: tuple[Timing, ...]


class LocalRunner:
    """Measures on this machine.

    `budget_s` is the time that timing takes on an ordinary machine; a quiet one needs less, and on a
    busy one a quick moment is waited for until `patience_s` (both besides start-up, some 0.3 s). A
    child that is not done after `timeout_s` is ended. `command` is what runs the request that it
    gets on standard input; the default is bench.py in this interpreter, isolated from the
    user's environment. The child runs on the processors that its parent may use.
    """

    def __init__(
        self,
        device: str,
        threads: int = 1,
        budget_s: float = 0.35,
        patience_s: float = 1.0,
        timeout_s: float = 60.0,
        seed: int = 0,
        command: Sequence[str] = (sys.executable, "-I", str(BENCH)),
    ) -> None:
        if threads < 1:
            raise DeviceError(f"a runner needs 1 thread or more, got {threads}")
        if not 0 < budget_s <= patience_s < timeout_s:
            raise DeviceError(
                "a runner's times must be 0 < budget_s <= patience_s < timeout_s, "
                f"got {budget_s}, {patience_s}, {timeout_s}"
            )
        self.device, self.threads, self.seed, self.command = device, threads, seed, tuple(command)
        self.budget_s, self.patience_s, self.timeout_s = budget_s, patience_s, timeout_s

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Time the models, interleaved with the anchor in one fresh process; one Latency each.

        Without an anchor the constant is what this very run sees. Raises MeasuringFailed with the
        reason where the child crashed, overran or answered nonsense, DeviceError for an anchor
        that was calibrated for something else.
        """
        if not models:
            return ()
        if anchor is not None:
            check(anchor, device=self.device, machine=machine_id(), threads=self.threads)
        answer = self._ask(models, anchor)
        constant_ms = answer.anchor.min_ns / 1e6 if anchor is None else anchor.constant_ms
        source = self._source(answer.runtime)
        if anchor is not None:
            check(anchor, runtime=source.runtime, runtime_version=source.runtime_version)
        return tuple(latency(model, answer.anchor.min_ns, constant_ms, source) for model in answer.models)

    def _source(self, runtime: FoundRuntime) -> Source:
        return Source(
            provenance="measured",
            device=self.device,
            machine=machine_id(),
            runtime=runtime.name,
            runtime_version=runtime.version,
            threads=self.threads,
        )

    def _request(self, models: Sequence[Path], anchor: Anchor | None) -> dict[str, Any]:
        return {
            "anchor": str(anchor_path()),
            "models": [str(model.absolute()) for model in models],
            "threads": self.threads,
            "copies": COPIES,
            "seed": self.seed,
            "budget_s": self.budget_s,
            "patience_s": self.patience_s,
            "time_limit_s": self.timeout_s,
            "reference_ms": None if anchor is None else anchor.constant_ms,
            "quick": QUICK,
            "agree": AGREE,
            "few": FEW,
            "many": MANY,
        }

    def _ask(self, models: Sequence[Path], anchor: Anchor | None) -> Answer:
        """Run the child on the request. Raises MeasuringFailed unless it answers for every model."""
        status, output, noise = self._run(json.dumps(self._request(models, anchor)), models)
        if status < 0:
            raise blame(noise, models, f"ended the measuring process by {signal_name(-status)}")
        try:
            document = json.loads(output)
            if isinstance(document, dict) and set(document) == {"error"}:
                raise blame(noise, models, f"cannot be measured on {self.device}: {document['error']}")
            answer = Answer.model_validate(document)
        except (json.JSONDecodeError, ValidationError) as error:
            told = last_line(noise) or f"{len(output)} characters on standard output"
            raise blame(
                noise, models, f"gave no answer that can be read (status {status}): {told}"
            ) from error
        if len(answer.models) != len(models):
            raise blame(noise, models, f"gave {len(answer.models)} answers for {len(models)} models")
        return answer

    def _run(self, request: str, models: Sequence[Path]) -> tuple[int, str, str]:
        """Run the child in its own process group, so that ending it leaves nothing behind."""
        try:
            child = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError(f"cannot start the measuring process {self.command[0]}: {error}") from error
        try:
            output, noise = child.communicate(request, timeout=self.timeout_s)
        except subprocess.TimeoutExpired as error:
            _, noise = end(child)
            raise blame(noise, models, f"took more than the limit of {self.timeout_s:g} s") from error
        except BaseException:
            end(child)
            raise
        return child.returncode, output, noise


def end(child: subprocess.Popen[str]) -> tuple[str, str]:
    """End a child and whatever it started, and collect what it left."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return child.communicate()


def check(anchor: Anchor, **here: object) -> None:
    """Raise DeviceError if the anchor was calibrated with another file or in other circumstances."""
    then = {field: getattr(anchor.source, field) for field in here} | {"file": anchor.sha256}
    for field, value in {"file": anchor_sha256(), **here}.items():
        if then[field] != value:
            raise DeviceError(
                f"the anchor was calibrated with {field} '{then[field]}', but here it is '{value}': "
                "calibrate this device anew"
            )


def signal_name(number: int) -> str:
    """Return a signal's name, such as SIGSEGV, or its number where it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def blame(noise: str, models: Sequence[Path], what: str) -> DeviceError:
    """Return the error for what went wrong, by what the child last said that it was at.

    While a model was loaded, or the models were timed, it is theirs: MeasuringFailed. Before that,
    or at the anchor, the device is not able to measure at all: DeviceError.
    """
    stages = [line.removeprefix("bench: ") for line in noise.splitlines() if line.startswith("bench: ")]
    stage = stages[-1] if stages else ""
    if stage == "timing":
        return MeasuringFailed(f"{', '.join(map(str, models))} {what}")
    if stage.startswith("loading ") and stage != f"loading {anchor_path()}":
        return MeasuringFailed(f"'{stage.removeprefix('loading ')}' {what}")
    return DeviceError(f"the measuring process, before it came to any model, {what}")


def last_line(noise: str) -> str | None:
    """Return the last line that says something, at most 200 characters of it."""
    lines = [line.strip() for line in noise.splitlines() if line.strip()]
    return lines[-1][:200] if lines else None
