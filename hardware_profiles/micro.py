"""Models in TensorFlow Lite Micro, always in a child process, for some files abort it.

It runs on this host with its reference kernels. What a model gives is thus what a microcontroller gives,
whose kernels are bound to agree with those. The memory is its own allocator's, and true for these kernels:
activations ("head") take as much on a 32-bit device, what lasts ("tail") at most as much, for pointers
are half as long there. Kernels made for a processor (CMSIS-NN, ESP-NN) may ask for scratch on top.
"""

import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.graph import Graph, TensorInfo, read_graph
from hardware_profiles.limited import Finished, run_limited
from hardware_profiles.machine import machine_id
from hardware_profiles.measurement import Measurement, Source
from hardware_profiles.runners.base import Array, same_samples
from hardware_profiles.value import Value

RUNTIME = "tflite-micro"
LARGEST_ARENA = 2**26
TIMEOUT_S = 60.0
MISSING = "tflite-micro is not installed: pip install 'edgesearch[micro]' (x86-64 Linux)"
# What both children begin with: an end of their own if we are not there to end them, and no core file.
_PREAMBLE = """
import os, resource, signal, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.alarm(int(float(sys.argv[1])) + 2)
import numpy as np
from tflite_micro import runtime

with open(sys.argv[2], "rb") as file:
    data = file.read()
"""
# Too small an arena is refused or, now and then, written past: each size is tried by a process of its own.
# Sizes count in units of 16 bytes, to which everything is aligned.
_SCRIPT = f"""{_PREAMBLE}
def fits(units):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            runtime.Interpreter.from_bytes(data, arena_size=16 * units)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0

interpreter = runtime.Interpreter.from_bytes(data, arena_size={LARGEST_ARENA})
about = interpreter.get_input_details(0)
interpreter.set_input(np.zeros(about["shape"], about["dtype"]), 0)
interpreter.invoke()
interpreter.print_allocations()
low, high = 0, {LARGEST_ARENA // 16}
while high - low > 1:
    middle = (low + high) // 2
    low, high = (low, middle) if fits(middle) else (middle, high)
print("Arena allocation least", 16 * high, "bytes", file=sys.stderr)
"""
_COMPUTE = f"""{_PREAMBLE}
folder, arena, inputs, outputs = sys.argv[3], *map(int, sys.argv[4:])
interpreter = runtime.Interpreter.from_bytes(data, arena_size=arena)
given = [np.load(f"{{folder}}/input{{i}}.npy", mmap_mode="r") for i in range(inputs)]
results = [[] for _ in range(outputs)]
for number in range(len(given[0])):
    for index, samples in enumerate(given):
        interpreter.set_input(samples[number:number + 1], index)
    interpreter.invoke()
    for index, result in enumerate(results):
        result.append(interpreter.get_output(index)[0])
for index, result in enumerate(results):
    np.save(f"{{folder}}/output{{index}}.npy", np.stack(result))
"""
_FOUND = re.compile(r"Arena allocation (total|head|tail|least) (\d+) bytes")
_TOLD = (
    r"^Node .* failed.*$", r"^Didn't find op .*$", r"^Failed to get registration .*$", r"^.*not supported.*$",
    r"^Failed to resize buffer.*$",
)  # fmt: skip


class ArenaUnknown(ValueError):
    """Why the arena of a file cannot be told, in one line."""


class Arena(Value):
    """Bytes that a model needs while it runs: `head` for activations, `tail` for what lasts, `total` both.

    `least_bytes` is the smallest arena that it starts in: planning the memory takes some for a while,
    which for a small model is more than what is in use afterwards.
    """

    total_bytes: int
    head_bytes: int
    tail_bytes: int
    least_bytes: int

    def measurement(self, device: str) -> Measurement:
        """Return what a microcontroller has to set aside: measured on this host, the most for 32 bits."""
        return Measurement(
            metric="arena_bytes",
            value=self.least_bytes,
            low=self.head_bytes,
            high=self.least_bytes,
            source=micro_source(device),
        )


def micro_source(device: str) -> Source:
    """Return where figures come from that TensorFlow Lite Micro gives on this host in a device's name."""
    version = metadata.version(RUNTIME) if find_spec("tflite_micro") else None
    return Source(
        provenance="measured",
        device=device,
        machine=machine_id(),
        runtime=RUNTIME,
        runtime_version=version,
        threads=1,
    )


def arena(model: Path, timeout_s: float = TIMEOUT_S) -> Arena:
    """Return the arena of a `.tflite`.

    Raises ArenaUnknown where TensorFlow Lite Micro is not there, does not run the file or takes too long.
    """
    done = _run(_SCRIPT, [str(timeout_s), str(model.absolute())], timeout_s)
    if done.overran:
        raise ArenaUnknown(f"TensorFlow Lite Micro took more than {timeout_s:g} s for it")
    seen = {f"{name}_bytes": int(count) for name, count in _FOUND.findall(done.noise)}
    if set(seen) != set(Arena.model_fields) or seen["least_bytes"] < seen["total_bytes"]:
        raise ArenaUnknown(_reason(done.status, done.noise))
    return Arena(**seen)


class MicroRunner:
    """Runs models in TensorFlow Lite Micro on this host for what they give. It times nothing: no Runner.

    All samples of a call go through one child, which is ended after `timeout_s`. `arena_bytes` is what a
    model gets to work in: ample, unless a certain size is to be tried.
    """

    def __init__(self, arena_bytes: int = LARGEST_ARENA, timeout_s: float = 10 * TIMEOUT_S) -> None:
        if arena_bytes < 1 or timeout_s <= 0:
            raise DeviceError(
                f"an arena and a time limit are more than 0, got {arena_bytes} bytes and {timeout_s:g} s"
            )
        self.arena_bytes, self.timeout_s = arena_bytes, timeout_s

    def compute(self, model: Path, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Return the outputs for some samples, one array (samples, *shape) for every output of the model.

        `inputs` has an array (samples, *shape) of the tensor's own type for every input, in the file's
        order; results are of the outputs' own types. Raises MeasuringFailed where the file or the samples do
        not fit, the model cannot be run (with the op where it is told), or a result is NaN; DeviceError
        where tflite-micro is not installed.
        """
        graph = _graph(model)
        samples = same_samples(inputs)
        _check(graph.inputs, inputs, model)
        with TemporaryDirectory(prefix="edgesearch-micro-") as name:
            folder = Path(name)
            for index, array in enumerate(inputs):
                np.save(folder / f"input{index}.npy", array, allow_pickle=False)
            self._child(model, folder, graph)
            return tuple(
                _result(folder / f"output{index}.npy", (samples, *tensor.shape[1:]), tensor, model)
                for index, tensor in enumerate(graph.outputs)
            )

    def _child(self, model: Path, folder: Path, graph: Graph) -> None:
        counts = (self.arena_bytes, len(graph.inputs), len(graph.outputs))
        arguments = [str(self.timeout_s), str(model.absolute()), str(folder), *map(str, counts)]
        done = _run(_COMPUTE, arguments, self.timeout_s)
        if done.overran:
            raise MeasuringFailed(
                f"'{model}' took more than the limit of {self.timeout_s:g} s in TensorFlow Lite Micro; give "
                "fewer samples or more time"
            )
        if done.status != 0:
            reason = _reason(done.status, done.noise)
            raise DeviceError(reason) if reason == MISSING else MeasuringFailed(f"'{model}': {reason}")


def _graph(model: Path) -> Graph:
    try:
        return read_graph(model.read_bytes())
    except OSError as error:
        raise MeasuringFailed(f"cannot read the model '{model}': {error.strerror}") from error
    except MeasuringFailed as error:
        raise MeasuringFailed(f"'{model}': {error}") from error


def _check(wanted: Sequence[TensorInfo], inputs: Sequence[Array], model: Path) -> None:
    """Raise MeasuringFailed unless samples are what the inputs take: these are not converted silently."""
    if len(wanted) != len(inputs):
        raise MeasuringFailed(f"'{model}' has {len(wanted)} inputs, got samples for {len(inputs)}")
    for tensor, array in zip(wanted, inputs, strict=True):
        takes, got = (tensor.type.lower(), tensor.shape), (array.dtype.name, (1, *array.shape[1:]))
        if takes != got:
            raise MeasuringFailed(
                f"the input '{tensor.name}' of '{model}' takes {takes[0]} {takes[1]}, got {got[0]} {got[1]}"
            )


def _result(path: Path, shape: tuple[int, ...], tensor: TensorInfo, model: Path) -> Array:
    """Load one output. Raises MeasuringFailed for another shape or type than the file tells, and for NaN."""
    result: Array = np.load(path, allow_pickle=False)
    if result.shape != shape or result.dtype.name != tensor.type.lower():
        raise MeasuringFailed(
            f"'{model}' gives {tensor.type.lower()} {shape} by its file, but {result.dtype.name} "
            f"{result.shape} in TensorFlow Lite Micro"
        )
    if result.dtype.kind == "f" and np.isnan(result).any():
        raise MeasuringFailed(f"'{model}' gives NaN in TensorFlow Lite Micro for some samples")
    return result


def _run(script: str, arguments: Sequence[str], timeout_s: float) -> Finished:
    """Run a child to its end, or to the time limit."""
    return run_limited((sys.executable, "-I", "-c", script, *arguments), Path(), dict(os.environ), timeout_s)


def _reason(status: int, noise: str) -> str:
    if "No module named 'tflite_micro'" in noise:
        return MISSING
    told = next((found[0].strip() for rule in _TOLD if (found := re.search(rule, noise, re.MULTILINE))), "")
    if not told and status < 0:
        told = f"it was ended by {signal.Signals(-status).name}"
    return f"TensorFlow Lite Micro does not run it{f': {told}' if told else ''}"
