"""The runner for an Android device: LiteRT's `benchmark_model` through `adb`.

`adb shell` joins its arguments into a line for the device's shell, so nothing reaches it but fixed
strings, numbers and hexadecimal digests made here.
"""

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hardware_profiles.anchor import anchor_path, anchor_sha256
from hardware_profiles.android import PLACE, Device, Overran, Said
from hardware_profiles.benchmark_model import (
    DELEGATES,
    NotDelegated,
    Runs,
    Unreadable,
    complaint,
    delegated,
    judge,
    read_runs,
)
from hardware_profiles.connection import Adb
from hardware_profiles.errors import DeviceError, MeasuringFailed, Unreachable
from hardware_profiles.measurement import Latency, Source, undivided
from hardware_profiles.runners.answers import check
from hardware_profiles.runners.base import Anchor
from hardware_profiles.runners.child import last_line, signal_name
from hardware_profiles.runners.replay import sha256_of

ROUNDS = 8
RUNS = "--num_runs=50 --min_secs=0.1 --warmup_runs=3 --warmup_min_secs=0.05 --max_secs=1"
WHERE_TO_GET_IT = (
    "give it with --benchmark-model: LiteRT's prebuilt 'android_aarch64_benchmark_model' "
    "(https://ai.google.dev/edge/litert/models/measurement)"
)
_PROPERTIES = ("ro.serialno", "ro.build.fingerprint", "ro.product.model", "ro.product.cpu.abi")
_WRONG_PROCESSOR = re.compile(r"not executable|Exec format error|cannot execute", re.IGNORECASE)


class AdbRunner:
    """Measures on an Android device, each run of a model in a process of its own there.

    A round is a process with the anchor, one with the model and one with the anchor; a latency takes
    `rounds` of them. `timeout_s` is for one process. The threads are those of the accelerator
    'cpu:THREADS' where it says so. Leaves nothing on the device.
    Raises DeviceError where there is no `benchmark_model`, or an accelerator is not known.
    """

    def __init__(
        self,
        connection: Adb,
        device: str,
        threads: int = 1,
        rounds: int = ROUNDS,
        timeout_s: float = 60.0,
        adb: str = "adb",
    ) -> None:
        self.accelerator, self.threads = accelerator_and_threads(connection.accelerator, threads)
        if rounds < 1 or not timeout_s > 0:
            raise DeviceError(f"a runner needs rounds >= 1 and timeout_s > 0, got {rounds} and {timeout_s:g}")
        self.name, self.rounds, self.timeout_s = device, rounds, timeout_s
        self.program = _program(connection.benchmark_model)
        self.device = Device(connection.serial, adb)

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Time the models, each process between two of the anchor; one Latency each.

        Where an accelerator runs only part of a model, its source's runtime says so: 'benchmark_model
        gpu (12 of 14 nodes)'. Raises MeasuringFailed where a model cannot be run, or not on the
        accelerator; Unreachable where the device does not answer; DeviceError where it cannot measure
        at all, or the anchor was calibrated for something else.
        """
        if not models:
            return ()
        digests = [sha256_of(model) for model in models]
        self.device.expect_it("before anything was measured")
        source, abi = self._source()
        if anchor is not None:
            same = ("device", "machine", "threads", "runtime", "runtime_version")
            # An accelerator may have left part of the anchor to the CPU, as it may of any model.
            whole = anchor.model_copy(update={"source": undivided(anchor.source)})
            check(whole, **{field: getattr(source, field) for field in same})
        files = dict(zip(digests, models, strict=True))
        with self._folder(files) as folder:
            session = Session(self, folder, files, abi)
            seen = session.interleave(self.rounds)
        constant_ms = None if anchor is None else anchor.constant_ms
        return tuple(
            judge(seen[digest], constant_ms, _partly(source, session.parts[digest])) for digest in digests
        )

    @property
    def flags(self) -> str:
        """The program's flags besides the model's."""
        use = "" if self.accelerator == "cpu" else f" --use_{self.accelerator}=true"
        return f"{RUNS} --num_threads={self.threads}{use}"

    def _source(self) -> tuple[Source, str]:
        """Return what a figure's source is, and the device's instruction set."""
        line = "; ".join(f'echo "{name}=$(getprop {name})"' for name in _PROPERTIES)
        said = self.device.ask(line, "when asked for its name")
        told = dict(re.findall(r"^(ro[.a-z]+)=(.*?)\s*$", said.text, re.MULTILINE))
        serial, fingerprint, model, abi = (told.get(name, "") for name in _PROPERTIES)
        parts = ("edgesearch", serial or self.device.serial, fingerprint, model)
        source = Source(
            provenance="measured",
            device=self.name,
            machine=hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12],
            runtime=f"benchmark_model {self.accelerator}",
            runtime_version=f"sha256:{sha256_of(self.program)[:12]}",  # it does not tell its version
            threads=self.threads,
        )
        return source, abi or "unknown"

    @contextmanager
    def _folder(self, files: Mapping[str, Path]) -> Iterator[str]:
        """Make a folder there with the program, the anchor and the models; remove it, come what may."""
        folder = f"{PLACE}/edgesearch-{uuid.uuid4().hex}"
        try:
            # what a device left when it vanished: nothing is measured for an hour
            self.device.ask(
                f"find {PLACE} -maxdepth 1 -name 'edgesearch-*' -mmin +60 -exec rm -rf {{}} +; "
                f"mkdir -p {folder}",
                "when the run began",
            )
            self.device.push(self.program, f"{folder}/benchmark_model")
            self.device.ask(f"chmod 755 {folder}/benchmark_model", "when the run began")
            for digest, path in {anchor_sha256(): anchor_path(), **files}.items():
                self.device.push(path, f"{folder}/{digest}.tflite")
            yield folder
        finally:
            with suppress(Overran, DeviceError):
                self.device.shell(f"test -f {folder}/pid && kill -9 $(cat {folder}/pid); rm -rf {folder}")


class Session:
    """The processes of one measurement, and how much of each model the accelerator took."""

    def __init__(self, runner: AdbRunner, folder: str, files: Mapping[str, Path], abi: str) -> None:
        self.runner, self.folder, self.files, self.abi = runner, folder, files, abi
        self.parts: dict[str, str] = {}

    def interleave(self, rounds: int) -> dict[str, list[tuple[Runs, Runs, Runs]]]:
        """Run anchor, model, anchor, model, …; return each model's rounds. Raises as `measure` does."""
        seen: dict[str, list[tuple[Runs, Runs, Runs]]] = {digest: [] for digest in self.files}
        before = self._process(anchor_sha256())
        for _ in range(rounds):
            for digest in self.files:
                model, after = self._process(digest), self._process(anchor_sha256())
                seen[digest].append((before, model, after))
                before = after
        return seen

    def _process(self, digest: str) -> Runs:
        """Run one process there and read what it printed."""
        said = self._run(digest)
        if said.status is None:
            self.runner.device.expect_it("while a model was timed")
            raise Unreachable(f"the connection to {self.runner.device.serial} broke while a model was timed")
        if said.status != 0:
            raise self._failure(digest, said)
        try:
            if self.runner.accelerator in DELEGATES:
                self.parts[digest] = delegated(said.text, self.runner.accelerator)
            else:
                self.parts[digest] = ""
            return read_runs(said.text)
        except NotDelegated as error:
            raise self._fault(digest, f"is no figure of {self.runner.name}: {error}") from error
        except Unreadable as error:
            raise self._fault(digest, f"gave no answer that can be read: {error}") from error

    def _run(self, digest: str) -> Said:
        """Run the program; its process id lies in a file meanwhile, so that it can be ended."""
        line = (
            f"cd {self.folder} && {{ ./benchmark_model --graph={digest}.tflite {self.runner.flags} "
            "</dev/null & echo $! >pid; wait $!; ended=$?; rm -f pid; (exit $ended); }"
        )
        try:
            return self.runner.device.shell(line, self.runner.timeout_s)
        except Overran:
            self.runner.device.ask("true", "while a model was timed")
            limit = f"took more than the limit of {self.runner.timeout_s:g} s"
            raise self._fault(digest, limit) from None

    def _failure(self, digest: str, said: Said) -> DeviceError:
        """Return the error for a process that ended badly."""
        assert said.status is not None
        if said.status in (126, 127) or _WRONG_PROCESSOR.search(said.text):
            return DeviceError(
                f"{self.runner.program} does not run on {self.runner.device.serial}, whose processor is "
                f"{self.abi} ({last_line(said.text) or 'no reason'}): {WHERE_TO_GET_IT}"
            )
        if said.status > 128:
            return self._fault(digest, f"ended benchmark_model by {signal_name(said.status - 128)}")
        reason = complaint(said.text) or last_line(said.text) or f"status {said.status}"
        return self._fault(digest, f"cannot be run by benchmark_model: {reason}")

    def _fault(self, digest: str, what: str) -> DeviceError:
        """Return the error for a model, or for a device that does not run the anchor."""
        if digest in self.files:
            return MeasuringFailed(f"'{self.files[digest]}' {what}")
        way = (
            "try --accelerator cpu" if self.runner.accelerator != "cpu" else "is the program for this device?"
        )
        return DeviceError(f"the anchor, which every figure is a ratio to, {what}; {way}")


def accelerator_and_threads(text: str, threads: int) -> tuple[str, int]:
    """Read 'cpu', 'cpu:4', 'gpu', 'nnapi' or 'hexagon'. Raises DeviceError for anything else."""
    found = re.fullmatch(r"cpu:([1-9][0-9]{0,2})", text)
    if found is None and text not in ("cpu", *DELEGATES):
        raise DeviceError(f"--accelerator is cpu, cpu:THREADS, {', '.join(DELEGATES)}, got '{text}'")
    if threads < 1:
        raise DeviceError(f"a runner needs 1 thread or more, got {threads}")
    if found is None:
        return text, threads
    if threads not in (1, int(found[1])):
        raise DeviceError(f"--accelerator {text} and {threads} threads contradict each other: leave one out")
    return "cpu", int(found[1])


def _program(path: Path | None) -> Path:
    if path is None:
        raise DeviceError(
            f"an Android device is measured with the program benchmark_model: {WHERE_TO_GET_IT}"
        )
    if not path.is_file():
        raise DeviceError(f"there is no benchmark_model at {path}: {WHERE_TO_GET_IT}")
    return path.absolute()


def _partly(source: Source, part: str) -> Source:
    return source.model_copy(update={"runtime": f"{source.runtime} ({part})"}) if part else source
