"""Latency of a microcontroller by published figures: multiply-accumulates times what one of them costs there.

The cost comes from runs of whole networks (MLPerf Tiny's four, mostly), so activations, pooling and calls are
in it as far as those networks have them. That is why it is a range, and why the estimate is one too.
"""

import math
from pathlib import Path

from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.graph import Graph, read_graph
from hardware_profiles.measurement import Measurement, Source
from hardware_profiles.profile import CyclesPerMac, HardwareProfile
from hardware_profiles.runners.base import Estimate
from hardware_profiles.runners.tool import read_model

# The smallest network that coefficients were taken from: MLPerf Tiny's anomaly detection, ten dense layers.
SMALLEST_PUBLISHED_MACS = 264_192
_INT8 = {("INT8", "INT8"), ("UINT8", "UINT8")}


class CyclesEstimator:
    """Estimates `latency_ms` by a profile's `cycles_per_mac` and clock.

    `kernels` names the coefficients to take; the default is what the profile's runtime uses. Published
    coefficients are of 8-bit kernels. Raises DeviceError for a profile without the coefficients or a clock.
    """

    def __init__(self, profile: HardwareProfile, kernels: str | None = None) -> None:
        name = kernels or profile.runtime.kernels
        if not profile.cycles_per_mac:
            raise DeviceError(
                f"device '{profile.name}' has no published cycles per MAC, so no latency can be estimated: "
                "measure with --on, or give cycles_per_mac in a profile of your own"
            )
        if name not in profile.cycles_per_mac:
            known = ", ".join(sorted(profile.cycles_per_mac))
            wanted = f"for the kernels '{name}'" if name else "for kernels that its runtime does not name"
            raise DeviceError(f"device '{profile.name}' has no cycles per MAC {wanted}; it has: {known}")
        if profile.processor.clock_mhz is None:
            raise DeviceError(
                f"device '{profile.name}' has no clock, so cycles are no time: "
                "give processor.clock_mhz in a profile of your own"
            )
        self.cost: CyclesPerMac = profile.cycles_per_mac[name]
        self.clock_mhz: float = profile.processor.clock_mhz
        self.source = Source(provenance="estimated", device=profile.name, runtime=name)

    def estimate(self, model: Path) -> Estimate:
        """Return `latency_ms` as a range; its value is the range's geometric mean.

        ms = MACs × cycles per MAC ÷ (MHz × 1000). Raises MeasuringFailed for a model whose MACs are not all
        known, or are not those of 8-bit kernels.
        """
        graph = read_graph(read_model(model))
        _check(graph)
        ms_per_cycle = 1 / (self.clock_mhz * 1e3)
        low, high = (graph.macs * cost * ms_per_cycle for cost in (self.cost.low, self.cost.high))
        latency = Measurement(
            metric="latency_ms",
            value=min(max(math.sqrt(low * high), low), high),
            low=low,
            high=high,
            source=self.source,
        )
        return Estimate(measurements=(latency,), remarks=tuple(self._remarks(graph)))

    def _remarks(self, graph: Graph) -> list[str]:
        cost = f"{self.cost.low:g}–{self.cost.high:g} cycles each ({self.source.runtime})"
        said = [f"{graph.macs:,} multiply-accumulates at {cost} and {self.clock_mhz:g} MHz"]
        if graph.macs < SMALLEST_PUBLISHED_MACS:
            said.append(
                f"the published figures are of networks with {SMALLEST_PUBLISHED_MACS:,} of them or more; "
                "in a smaller one, what every operator costs besides weighs more: it may take longer"
            )
        if floats := _float_kinds(graph):
            said.append(f"{', '.join(floats)} in floating point come on top")
        return said


def _check(graph: Graph) -> None:
    """Raise MeasuringFailed unless the published coefficients speak of such a model."""
    if graph.uncounted:
        raise MeasuringFailed(
            f"the multiply-accumulates of {', '.join(graph.uncounted)} cannot be counted from the file, "
            "so its latency cannot be estimated: measure with --on"
        )
    if not graph.macs:
        raise MeasuringFailed(
            f"the model multiplies and accumulates nothing ({', '.join(graph.kinds) or 'no operators'}), "
            "so its latency cannot be estimated: measure with --on"
        )
    if others := [types for types in graph.compute_types if types not in _INT8]:
        seen = ", ".join(f"{data} with {weights} weights" for data, weights in others)
        raise MeasuringFailed(
            f"published cycles per MAC are of int8 kernels, but the model computes in {seen.lower()}: "
            "convert it to full int8"
        )


def _float_kinds(graph: Graph) -> tuple[str, ...]:
    found = {op.kind for op in graph.ops if any(tensor.type == "FLOAT32" for tensor in op.activations)}
    return tuple(sorted(found))
