"""What Arm's Vela compiler says of a model on an Ethos-U NPU, by its own model of the hardware.

Vela is run as a child on a copy of the model. What it writes is taken as figures only where it compiled
something for the NPU: for a float model it reports zeros and NaN and ends well all the same.
"""

import csv
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from pydantic import Field, ValidationError

from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.graph import Graph, read_graph
from hardware_profiles.measurement import Measurement, Source
from hardware_profiles.profile import Accelerator, HardwareProfile
from hardware_profiles.runners.base import Estimate
from hardware_profiles.runners.tool import Finished, find_tool, read_model, run_tool
from hardware_profiles.value import Value

TIMEOUT_S = 120.0
NPU_OP = "ethos-u"
CONFIG_FILE = "Arm/vela.ini"  # comes with Vela; the system configurations and memory modes are in it
_INTEGER_DATA = ("INT8", "UINT8", "INT16")
_KIB = 1024


class Summary(Value):
    """The columns of Vela's summary that are used; it has one row."""

    inference_time: float = Field(gt=0)  # in seconds
    cycles_total: float = Field(gt=0)
    cycles_npu: float = Field(ge=0)
    cycles_sram_access: float = Field(ge=0)
    cycles_dram_access: float = Field(ge=0)
    cycles_on_chip_flash_access: float = Field(ge=0)
    cycles_off_chip_flash_access: float = Field(ge=0)
    feature_map_storage_area: str
    weights_storage_area: str
    sram_memory_used: float = Field(ge=0)  # in KiB, and so the next three
    dram_memory_used: float = Field(ge=0)
    on_chip_flash_memory_used: float = Field(ge=0)
    off_chip_flash_memory_used: float = Field(ge=0)

    @property
    def busy(self) -> tuple[float, ...]:
        """The cycles in which the NPU, and each memory, has work."""
        return (
            self.cycles_npu,
            self.cycles_sram_access,
            self.cycles_dram_access,
            self.cycles_on_chip_flash_access,
            self.cycles_off_chip_flash_access,
        )

    @property
    def arena_bytes(self) -> float | None:
        """Bytes for tensors, or None where weights lie in the same memory and are counted with them."""
        area = self.feature_map_storage_area
        if area == self.weights_storage_area or area not in ("SRAM", "DRAM"):
            return None
        return (self.sram_memory_used if area == "SRAM" else self.dram_memory_used) * _KIB


class VelaEstimator:
    """Estimates what a model takes on the Ethos-U of a profile.

    `latency_ms`    only where every operator is on the NPU, since Vela knows no time of the others
    `npu_cycles`    of what is on the NPU
    `npu_share`     the share of the file's operators that are on the NPU, 0 to 1
    `arena_bytes`   memory for tensors as Vela plans it, without what the runtime keeps besides
    `flash_bytes`   the size of the file that Vela writes, which is what is stored on the device

    Time and cycles run from `low`, where computing and memory traffic overlap all along, to `high`, where
    they never do. `command` is the program and its first arguments; it is looked for beside this interpreter
    and on the path. A child that is not done after `timeout_s` is ended. Raises DeviceError for a profile
    that does not say which Ethos-U, and where there is no Vela.
    """

    def __init__(
        self, profile: HardwareProfile, command: Sequence[str] = ("vela",), timeout_s: float = TIMEOUT_S
    ) -> None:
        self.device, self.timeout_s = profile.name, timeout_s
        self.options = _options(profile)
        if (program := find_tool(command[0])) is None:
            raise DeviceError(
                f"'{command[0]}' is not installed, and without it nothing is known of '{profile.name}': "
                "pip install 'edgesearch[vela]'"
            )
        self.command = (program, *command[1:])

    def estimate(self, model: Path) -> Estimate:
        """Return what Vela tells of a `.tflite`.

        Raises MeasuringFailed for a model that the NPU does not run or that Vela crashes on, and for figures
        that are none; DeviceError where Vela refuses the configuration or is another program of that name.
        """
        data = read_model(model)
        graph = read_graph(data)
        _check(graph)
        with tempfile.TemporaryDirectory(prefix="vela-") as folder:
            # A name of our own: whatever the user's file is called, it is no option.
            Path(folder, "model.tflite").write_bytes(data)
            done = run_tool((*self.command, "model.tflite", *self.options), Path(folder), self.timeout_s)
            self._check(done)
            summary = _summary(Path(folder, "out"), done)
            written = read_model(Path(folder, "out", "model_vela.tflite"))
        left = Counter(op.kind for op in read_graph(written).ops if op.kind != NPU_OP)
        return self._estimate(graph, left, summary, len(written))

    def _estimate(self, graph: Graph, left: Counter[str], summary: Summary, stored: int) -> Estimate:
        share = 1 - min(left.total() / len(graph.ops), 1.0)
        if share == 0 or not summary.cycles_npu:
            raise MeasuringFailed(
                f"Vela puts nothing of the model on the NPU ({_listed(left)} stay on the CPU), "
                "so it has no figures for it"
            )
        low, high = _between(summary)
        cycles = summary.cycles_total
        found = [
            self._measurement("npu_cycles", cycles, low * cycles, high * cycles),
            self._measurement("npu_share", share),
            self._measurement("flash_bytes", stored),
        ]
        if (arena := summary.arena_bytes) is not None:
            found.append(self._measurement("arena_bytes", arena))
        if not left:
            ms = summary.inference_time * 1e3
            found.insert(0, self._measurement("latency_ms", ms, low * ms, high * ms))
        return Estimate(measurements=tuple(found), remarks=_remarks(left, summary))

    def _measurement(
        self, metric: str, value: float, low: float | None = None, high: float | None = None
    ) -> Measurement:
        return Measurement(
            metric=metric,
            value=value,
            low=value if low is None else low,
            high=value if high is None else high,
            source=self._source,
        )

    @cached_property
    def _source(self) -> Source:
        return Source(
            provenance="estimated", device=self.device, runtime="vela", runtime_version=self._version
        )

    @cached_property
    def _version(self) -> str:
        done = run_tool((*self.command, "--version"), Path.cwd(), self.timeout_s)
        found = re.fullmatch(r"(\d+\.\d+[\w.+-]*)", done.output.strip())
        if found is None:
            raise DeviceError(
                f"{self.command[0]} is not Arm's Vela (it answers --version with: {done.last_line}): "
                "pip install 'edgesearch[vela]'"
            )
        return found[1]

    def _check(self, done: Finished) -> None:
        """Raise unless Vela ended well, for what it says of its arguments in the device's name."""
        if done.status == 0:
            return
        if re.search(r"CLI option|error: argument|unrecognized arguments", done.noise):
            raise DeviceError(
                f"Vela refuses the accelerator of '{self.device}' as its profile has it: {done.last_line}"
            )
        raise MeasuringFailed(f"Vela {self._version} cannot compile the model: {done.last_line}")


def _options(profile: HardwareProfile) -> tuple[str, ...]:
    npu = profile.accelerator
    if npu is None or npu.kind != "ethos-u":
        raise DeviceError(f"device '{profile.name}' has no Ethos-U, which is all that Vela knows of")
    for key in ("vela_config", "vela_system", "vela_memory"):
        if getattr(npu, key) is None:
            raise DeviceError(
                f"the profile '{profile.name}' lacks accelerator.{key}, and Vela would take a default of its "
                f"own: write it (`vela --list-configs {CONFIG_FILE}` lists systems and memory modes)"
            )
    _check_family(profile.name, npu)
    return (
        f"--accelerator-config={npu.vela_config}",
        f"--system-config={npu.vela_system}",
        f"--memory-mode={npu.vela_memory}",
        f"--config={CONFIG_FILE}",
        "--output-dir=out",
    )


def _check_family(name: str, npu: Accelerator) -> None:
    """Raise DeviceError where NPU and system differ: Vela silently takes another NPU's clock then."""
    family = "_".join(part.capitalize() for part in str(npu.vela_config).split("-")[:2])
    if not str(npu.vela_system).startswith(f"{family}_"):
        raise DeviceError(
            f"the profile '{name}' has the NPU '{npu.vela_config}' in '{npu.vela_system}', the system of "
            f"another: its vela_system begins with '{family}_'"
        )


def _check(graph: Graph) -> None:
    """Raise MeasuringFailed for a model of types that Vela crashes on, or passes by."""
    if any(op.kind == NPU_OP for op in graph.ops):
        raise MeasuringFailed("the model was compiled by Vela already: give the file that it was made from")
    if int4 := sorted({op.kind for op in graph.ops for tensor in op.tensors if tensor.type == "INT4"}):
        raise MeasuringFailed(f"Vela does not read int4 ({', '.join(int4)}): convert the model to full int8")
    for data, weights in graph.compute_types:
        if data not in _INTEGER_DATA:
            raise MeasuringFailed(
                f"an Ethos-U computes in int8 or int16, but the model has {data.lower()} values with "
                f"{weights.lower()} weights: convert it to full int8"
            )


def _summary(folder: Path, done: Finished) -> Summary:
    """Read the one row of the summary. Raises MeasuringFailed where a figure is missing, 0 or NaN."""
    paths = sorted(folder.glob("model_summary_*.csv"))
    if len(paths) != 1:
        raise MeasuringFailed(f"Vela wrote no summary for the model; it said: {done.last_line}")
    with paths[0].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        (row,) = rows
        return Summary.model_validate({name: row[name] for name in Summary.model_fields})
    except (ValueError, KeyError, TypeError) as error:
        raise MeasuringFailed(f"Vela has no figures for the model: {_explain(error)}") from error


def _explain(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"'{first['loc'][0]}' is {first['input']}"
    return (
        f"its summary has no column {error}" if isinstance(error, KeyError) else "its summary is not one row"
    )


def _between(summary: Summary) -> tuple[float, float]:
    """Return the least and the most time, as multiples of what Vela expects.

    The least is that of the busiest part (NPU or a memory), the most that of all parts after one another.
    """
    least, most = max(summary.busy) / summary.cycles_total, sum(summary.busy) / summary.cycles_total
    return min(least, 1.0), max(most, 1.0)


def _remarks(left: Counter[str], summary: Summary) -> tuple[str, ...]:
    said = []
    if left:
        said.append(
            f"{_listed(left)} fall back to the CPU, whose time Vela does not know: there is no latency, "
            "and the cycles are those of the NPU alone"
        )
    if summary.arena_bytes is None:
        said.append(
            f"tensors and weights share one memory ({summary.feature_map_storage_area}), "
            "so the arena is not told apart"
        )
    else:
        said.append("the arena is what Vela plans for tensors; what the runtime keeps besides comes on top")
    return tuple(said)


def _listed(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" if count > 1 else kind for kind, count in sorted(kinds.items()))
