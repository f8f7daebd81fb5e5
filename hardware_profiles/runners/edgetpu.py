"""What can be told of a model on an Edge TPU without one: which operators run there. Never a latency.

Where Google's `edgetpu_compiler` is on the path, it is asked. Elsewhere the published table of operations
(edgetpu_ops.py) answers how far the model is likely to be compatible.
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from hardware_profiles.edgetpu_ops import SOURCE, obstacle
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.graph import Graph, Op, read_graph
from hardware_profiles.measurement import Measurement, Source
from hardware_profiles.profile import HardwareProfile
from hardware_profiles.runners.base import Estimate
from hardware_profiles.runners.tool import Finished, find_tool, read_model, run_tool
from hardware_profiles.value import Value

TIMEOUT_S = 240.0  # the compiler's own limit is 180 s
COMPILED_OP = "edgetpu-custom-op"
_MAPPED = "Mapped to Edge TPU"
_AFTER_A_STOP = "More than one subgraph is not supported"
_VERSION = re.compile(r"Edge TPU Compiler version (\S+)")
_TOTAL = re.compile(r"^Total number of operations: (\d+)\s*$", re.MULTILINE)
_ROW = re.compile(r"^([A-Z][A-Z0-9_]*)[ \t]+(\d+)[ \t]+(\S.*?)\s*$", re.MULTILINE)
_SIZE = re.compile(r"^O(n|ff)-chip memory used for .*?: ([\d.]+) ?([KMG]i)?B\s*$", re.MULTILINE)
_UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_ROUNDING = 0.005  # sizes are printed with two decimals


class Row(Value):
    """A row of the compiler's table: so many operators of a kind, and what became of them."""

    kind: str
    count: int = Field(gt=0)
    status: str


class Size(Value):
    """Bytes as the compiler prints them, with the range that its rounding leaves."""

    bytes: float = Field(ge=0)
    low: float = Field(ge=0)
    high: float = Field(ge=0)


class CompilerReport(Value):
    """What the compiler told of a model: its table, and the bytes kept on the chip and streamed to it."""

    version: str
    rows: tuple[Row, ...] = Field(min_length=1)
    cached: Size | None = None
    streamed: Size | None = None

    @property
    def mapped(self) -> int:
        """How many operators run on the Edge TPU."""
        return sum(row.count for row in self.rows if row.status == _MAPPED)

    @property
    def total(self) -> int:
        """How many operators there are."""
        return sum(row.count for row in self.rows)


class EdgeTpuEstimator:
    """Tells how much of a model runs on the Edge TPU of a profile.

    `edgetpu_share`            the share of the file's operators that are mapped to the Edge TPU, 0 to 1
    `edgetpu_cached_bytes`     parameters that are kept on the chip
    `edgetpu_streamed_bytes`   parameters that are sent there in every run

    The last two come from the compiler alone. `compiler` is looked for beside this interpreter and on the
    path; without it the published table answers. Raises DeviceError for a profile without an Edge TPU.
    """

    def __init__(
        self, profile: HardwareProfile, compiler: str = "edgetpu_compiler", timeout_s: float = TIMEOUT_S
    ) -> None:
        if profile.accelerator is None or profile.accelerator.kind != "edge-tpu":
            raise DeviceError(f"device '{profile.name}' has no Edge TPU, so nothing can be told of one")
        self.device, self.timeout_s = profile.name, timeout_s
        self.compiler = find_tool(compiler)

    def estimate(self, model: Path) -> Estimate:
        """Return how much of a `.tflite` runs on the Edge TPU, and what stops the rest.

        Raises MeasuringFailed for a file that is no model or is compiled already, and where the compiler
        refuses it, crashes or gives an answer that is none.
        """
        data = read_model(model)
        graph = read_graph(data)
        if COMPILED_OP in graph.kinds:
            raise MeasuringFailed(
                "the model was compiled for the Edge TPU already: give the file that it was made from"
            )
        if not graph.ops:
            raise MeasuringFailed("the model has no operators, so there is no share of them to tell")
        if self.compiler is None:
            return self._by_table(graph)
        return self._by_compiler(data, self.compiler)

    def _by_table(self, graph: Graph) -> Estimate:
        source = Source(provenance="estimated", device=self.device, runtime=SOURCE)
        mapped, stopped = mapped_by_table(graph)
        share = mapped / len(graph.ops)
        return Estimate(
            measurements=(
                Measurement(metric="edgetpu_share", value=share, low=share, high=share, source=source),
            ),
            remarks=(
                stopped or "likely compatible: all operators are in the table of supported operations",
                f"by {SOURCE}; edgetpu_compiler, on the path, tells it for sure",
            ),
        )

    def _by_compiler(self, data: bytes, compiler: str) -> Estimate:
        with tempfile.TemporaryDirectory(prefix="edgetpu-") as folder:
            # A name of our own: whatever the user's file is called, it is no option.
            Path(folder, "model.tflite").write_bytes(data)
            done = run_tool((compiler, "-s", "model.tflite"), Path(folder), self.timeout_s)
        report = read_report(done)
        source = Source(
            provenance="estimated",
            device=self.device,
            runtime="edgetpu_compiler",
            runtime_version=report.version,
        )
        share = report.mapped / report.total
        found = [Measurement(metric="edgetpu_share", value=share, low=share, high=share, source=source)]
        for metric, size in (
            ("edgetpu_cached_bytes", report.cached),
            ("edgetpu_streamed_bytes", report.streamed),
        ):
            if size is not None:
                found.append(
                    Measurement(metric=metric, value=size.bytes, low=size.low, high=size.high, source=source)
                )
        return Estimate(measurements=tuple(found), remarks=_left_over(report.rows))


def mapped_by_table(graph: Graph) -> tuple[int, str | None]:
    """Return how many operators are likely on the Edge TPU, and what stops the others, if anything does.

    The compiler makes one piece for the Edge TPU: from the first unsupported operator on, all run on the
    CPU. It leaves the conversions of float inputs and outputs there, which stop nothing.
    """
    mapped = 0
    for number, op in enumerate(graph.ops, start=1):
        if _converts_ends(op, graph):
            continue
        if (why := obstacle(op)) is not None:
            rest = len(graph.ops) - number
            after = f"; the {rest} after it run on the CPU too" if rest else ""
            return mapped, f"{op.kind} (operator {number} of {len(graph.ops)}) stops it: {why}{after}"
        mapped += 1
    return mapped, None


def read_report(done: Finished) -> CompilerReport:
    """Read what `edgetpu_compiler -s` printed. Raises MeasuringFailed where that is not all there."""
    text = done.output
    version, total = _VERSION.search(text), _TOTAL.search(text)
    rows = tuple(
        Row(kind=kind, count=int(count), status=status) for kind, count, status in _ROW.findall(text)
    )
    if done.status or version is None or total is None or not rows:
        raise MeasuringFailed(f"edgetpu_compiler cannot compile the model: {_reason(done)}")
    report = CompilerReport(version=version[1], rows=rows, **_sizes(text))
    if report.total != int(total[1]):
        raise MeasuringFailed(
            f"edgetpu_compiler's table has {report.total} operators of {total[1]}: its output was cut off"
        )
    return report


def _reason(done: Finished) -> str:
    """Return the line that tells why, which is not always the last one."""
    lines = [line.strip() for line in f"{done.output}\n{done.noise}".splitlines()]
    telling = ("ERROR", "Invalid model", "Model not", "Internal compiler error", "Compilation failed")
    found = [line for line in lines if line.startswith(telling)]
    return "; ".join(found)[:200] if found else done.last_line


def _sizes(text: str) -> dict[str, Size]:
    names = {"n": "cached", "ff": "streamed"}
    return {
        names[where]: Size(
            bytes=float(number) * _UNITS[unit],
            low=max(float(number) - _ROUNDING, 0.0) * _UNITS[unit] if unit else float(number),
            high=(float(number) + _ROUNDING) * _UNITS[unit] if unit else float(number),
        )
        for where, number, unit in _SIZE.findall(text)
    }


def _left_over(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return a sentence for each kind that stays on the CPU, what comes after a stop last."""
    left = sorted((row for row in rows if row.status != _MAPPED), key=lambda row: row.status == _AFTER_A_STOP)
    return tuple(f"{row.count} {row.kind} on the CPU: {row.status}" for row in left) or (
        "all operators are mapped to the Edge TPU",
    )


def _converts_ends(op: Op, graph: Graph) -> bool:
    """Tell whether it turns a float input of the model into integers, or integers into its float output."""
    if op.kind == "QUANTIZE":
        data = op.inputs[0]
        return data is not None and data.type == "FLOAT32" and any(data is each for each in graph.inputs)
    return op.kind == "DEQUANTIZE" and any(op.outputs[0] is each for each in graph.outputs)
