"""The runner for a program of the user's own: it gets a model and inputs, and prints one JSON object.

The protocol is in docs/command-runner.md. The program is started without a shell, in a fresh folder.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from hardware_profiles.anchor import UNIT_MS, NoAnchor, anchor_path, anchor_sha256
from hardware_profiles.command_answer import (
    Answer,
    BadAnswer,
    check_inputs,
    graph_of,
    judge,
    one_sample,
    read_answer,
    read_outputs,
)
from hardware_profiles.connection import Command
from hardware_profiles.errors import DeviceError, MeasuringFailed, Unreachable
from hardware_profiles.graph import Graph
from hardware_profiles.limited import LARGEST_OUTPUT_BYTES, run_limited
from hardware_profiles.machine import machine_id
from hardware_profiles.measurement import Latency, Source
from hardware_profiles.runners.answers import check
from hardware_profiles.runners.base import Anchor, Array, same_samples
from hardware_profiles.runners.child import last_line, printable, signal_name
from hardware_profiles.runners.replay import sha256_of

TRY_LATER = 75
"""The exit status that says so (EX_TEMPFAIL of sysexits.h): the device is not there now."""
NOT_ANCHORED = " (not anchored)"


class CommandRunner:
    """Measures with a user's program, which is asked for the anchor before and after each model.

    One that answers the anchor with an error measures without it: a figure is a ratio to 1 ms then, and
    its source's runtime says so. `threads` stands in the program's environment as EDGESEARCH_THREADS.
    A run of the program may take `timeout_s` and is ended with all that it started.
    """

    def __init__(
        self, connection: Command, device: str, threads: int = 1, timeout_s: float = 600.0, seed: int = 0
    ) -> None:
        if threads < 1:
            raise DeviceError(f"a runner needs 1 thread or more, got {threads}")
        if not timeout_s > 0:
            raise DeviceError(f"a runner's time limit is more than 0 s, got {timeout_s:g}")
        self.argv = resolved(connection.argv)
        self.device, self.threads, self.timeout_s, self.seed = device, threads, timeout_s, seed
        self._arenas: dict[str, int] = {}
        self._refusal: Answer | None = None

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Time the models one after the other, each between two runs of the anchor; one Latency each.

        Raises MeasuringFailed where a model cannot be run or the answer breaks the protocol, Unreachable
        where the program says that its device is not there, NoAnchor where the anchor itself is asked for
        and not run, DeviceError where the program cannot measure at all.
        """
        graphs = [graph_of(model) for model in models]
        if not models:
            return ()
        before = self._anchor(anchor)
        seen = []
        for model, graph in zip(models, graphs, strict=True):
            if self._refusal is not None and sha256_of(model) == anchor_sha256():
                raise self._no_anchor(self._refusal)
            answer = self._timed(model, graph)
            after = None if before is None else self._anchor(anchor)
            seen.append(self._latency(answer, before, after, anchor))
            before = after
        return tuple(seen)

    def compute(self, model: Path, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Return the program's outputs for the samples, one array (samples, *shape) for every output.

        Raises as `measure` does; DeviceError also for inputs that are not the model's.
        """
        graph = graph_of(model)
        same_samples(inputs)
        check_inputs(model, graph, inputs)
        answer, outputs = self._ask(model, graph, inputs)
        self._refuse_error(model, answer)
        if outputs is None:
            self._wrong(model, "gave no 'outputs'")
        return outputs

    def arena(self, model: Path) -> int | None:
        """Return the bytes of working memory that the program told for a model, None if it has not."""
        return self._arenas.get(sha256_of(model))

    def _anchor(self, anchor: Anchor | None) -> Answer | None:
        """Time the anchor; None from a device that does not run it."""
        calibrated = None if anchor is None else not (anchor.source.runtime or "").endswith(NOT_ANCHORED)
        if self._refusal is not None or calibrated is False:
            return None
        answer, _ = self._ask(anchor_path(), graph_of(anchor_path()), None)
        if answer.error is None and answer.latency_ms is None:
            self._wrong(anchor_path(), "gave no 'latency_ms'")
        if answer.error is None:
            return answer
        if calibrated:
            raise DeviceError(
                f"{self.device} ran the anchor when it was calibrated, but not now: {answer.error}"
            )
        self._refusal = answer
        return None

    def _no_anchor(self, refusal: Answer) -> NoAnchor:
        return NoAnchor(
            f"{self.device} does not run the anchor ({refusal.error}), so its figures are no ratios to it",
            self._source(refusal, anchored=False),
        )

    def _timed(self, model: Path, graph: Graph) -> Answer:
        answer, _ = self._ask(model, graph, None)
        self._refuse_error(model, answer)
        if answer.latency_ms is None:
            self._wrong(model, "gave no 'latency_ms'")
        return answer

    def _latency(
        self, answer: Answer, before: Answer | None, after: Answer | None, anchor: Anchor | None
    ) -> Latency:
        source = self._source(answer, anchored=before is not None)
        if anchor is not None:
            same = ("device", "machine", "threads", "runtime", "runtime_version")
            check(anchor, **{field: getattr(source, field) for field in same})
        assert answer.latency_ms is not None
        if before is None:
            return judge((UNIT_MS,), answer.latency_ms, (UNIT_MS,), UNIT_MS, source)
        if after is None or before.latency_ms is None or after.latency_ms is None:
            raise DeviceError(f"{self.argv[0]} ran the anchor before a model, but not after it: try again")
        constant_ms = None if anchor is None else anchor.constant_ms
        return judge(before.latency_ms, answer.latency_ms, after.latency_ms, constant_ms, source)

    def _source(self, answer: Answer, *, anchored: bool) -> Source:
        if answer.threads not in (None, self.threads):
            raise DeviceError(
                f"{self.argv[0]} ran with {answer.threads} threads, but {self.threads} were asked for: it "
                f"finds the number in EDGESEARCH_THREADS, or give --threads {answer.threads}"
            )
        told = "\n".join(("edgesearch", "command", machine_id(), *self.argv))
        return Source(
            provenance="measured",
            device=self.device,
            machine=answer.machine or hashlib.sha256(told.encode()).hexdigest()[:12],
            runtime=answer.runtime + ("" if anchored else NOT_ANCHORED),
            runtime_version=answer.runtime_version,
            threads=self.threads,
        )

    def _ask(
        self, model: Path, graph: Graph, inputs: Sequence[Array] | None
    ) -> tuple[Answer, tuple[Array, ...] | None]:
        """Run the program on a model; inputs of None are one sample to time it with."""
        samples = [one_sample(tensor, self.seed) for tensor in graph.inputs] if inputs is None else inputs
        named: dict[str, Any] = {f"input_{n}": data for n, data in enumerate(samples)}
        with tempfile.TemporaryDirectory(prefix="edgesearch-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            shutil.copyfile(model, folder / "model.tflite")
            np.savez(folder / "inputs.npz", **named)
            output = self._run(model, folder)
            try:
                answer = read_answer(output)
                if answer.arena_bytes is not None:
                    self._arenas[sha256_of(model)] = answer.arena_bytes
                if inputs is None or answer.outputs is None:
                    return answer, None
                return answer, read_outputs(answer.outputs, graph, len(samples[0]), folder)
            except BadAnswer as error:
                self._wrong(model, str(error))

    def _run(self, model: Path, folder: Path) -> bytes:
        """Run the program; return what it printed."""
        argv = [*self.argv, "--model", str(folder / "model.tflite"), "--inputs", str(folder / "inputs.npz")]
        environment = os.environ | {"EDGESEARCH_THREADS": str(self.threads)}
        try:
            done = run_limited(argv, folder, environment, self.timeout_s)
        except OSError as error:
            raise DeviceError(f"cannot start {self.argv[0]}: {error.strerror}") from error
        if done.overran:
            self._wrong(model, f"took more than the limit of {self.timeout_s:g} s")
        if done.flooded:
            limit = f"{LARGEST_OUTPUT_BYTES >> 20} MiB"
            self._wrong(model, f"printed more than {limit}: many outputs go into a .npz file")
        told = printable(last_line(done.noise) or "") or "nothing on standard error"
        if done.status == TRY_LATER:
            raise Unreachable(f"{self.argv[0]} says that {self.device} is not there now: {told}")
        if done.status < 0:
            self._wrong(model, f"was ended by {signal_name(-done.status)}: {told}")
        if done.status:
            self._wrong(model, f"ended with status {done.status}: {told}")
        return done.output

    def _refuse_error(self, model: Path, answer: Answer) -> None:
        if answer.error is not None:
            raise MeasuringFailed(f"'{model}' cannot be run on {self.device}: {answer.error}")

    def _wrong(self, model: Path, what: str) -> NoReturn:
        """Raise what a misdeed means: at a model it is the model's fault, at the anchor the device's."""
        if model == anchor_path():
            raise DeviceError(
                f"{self.argv[0]}, asked for the anchor, {what}; a device that cannot run the anchor answers "
                'it with {"error": "why"}'
            )
        raise MeasuringFailed(f"'{model}': {self.argv[0]} {what}")


def resolved(argv: Sequence[str]) -> tuple[str, ...]:
    """Make absolute what names a file here, or a folder and has a '/', for a command that starts elsewhere.

    Raises DeviceError where there is no such program.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise DeviceError(
            f"there is no program '{argv[0]}' that can be started: give its path (command:./time_it.py), "
            "and chmod +x it"
        )
    return (str(Path(program).absolute()), *map(_absolute, argv[1:]))


def _absolute(word: str) -> str:
    path = Path(word)
    try:
        named = path.is_file() or ("/" in word and path.is_dir())
    except (OSError, ValueError):  # too long, or with a NUL: no path
        named = False
    return str(path.absolute()) if named else word
