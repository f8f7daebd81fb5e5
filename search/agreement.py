"""How far a model's outputs on a device agree with this host's, by a handful of random inputs.

What a model gives is only as good on the device as its kernels there: a wrong delegate or a firmware that
reads its input askew shows here at once, and the rounding of another kernel as a step or two.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hardware_profiles.command_answer import one_sample
from hardware_profiles.connection import Connection, Local
from hardware_profiles.device import Device
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.graph import Graph
from hardware_profiles.micro import MicroRunner
from hardware_profiles.runners.base import Array, Computes
from hardware_profiles.runners.local import LocalRunner
from hardware_profiles.value import Value
from search.shipment import TensorSpec

SAMPLES = 8
MICRO_HERE = "TensorFlow Lite Micro on this host"


class OutputAgreement(Value):
    """One output, there and here: the largest difference of a number, in the output's unit.

    `max_steps` is the same in quantization steps, None for an output without; `largest` is the largest
    magnitude among this host's numbers; `equal_argmax` the share of samples in which the same place of a
    vector is the largest, None for what is no vector.
    """

    name: str
    max_difference: float
    max_steps: int | None = None
    largest: float
    equal_argmax: float | None = None


class Agreement(Value):
    """The outputs of `by` (the device, or what stands for it here) beside those of LiteRT on this host."""

    by: str
    samples: int
    outputs: tuple[OutputAgreement, ...]

    @property
    def identical(self) -> bool:
        """Whether all numbers are the same."""
        return all(output.max_difference == 0 for output in self.outputs)


def computer_of(device: Device, connection: Connection | None) -> tuple[Computes, str] | str:
    """Return what gives the device's outputs, and its name; else why nothing does."""
    if _is_this_host(device, connection):
        return "the device is this host itself: there is nothing to hold its outputs against"
    if isinstance(device.runner, Computes):
        return device.runner, f"'{device.profile.name}' over {connection}"
    if device.is_micro:
        return MicroRunner(), MICRO_HERE
    return f"--on {connection} gives no outputs of the device"


def _is_this_host(device: Device, connection: Connection | None) -> bool:
    here = connection is None or (isinstance(connection, Local) and connection.delegate is None)
    return here and device.runner is not None


def agreement(
    model: Path, graph: Graph, specs: Sequence[TensorSpec], computer: tuple[Computes, str]
) -> Agreement:
    """Run random inputs there and here, and return how far the outputs agree.

    `specs` are the model's outputs. Raises MeasuringFailed where either cannot run the model or they give
    other shapes, DeviceError where the device cannot be asked.
    """
    there, name = computer
    inputs = random_inputs(graph)
    here = _on_host(model, inputs)
    pairs = zip(specs, here, there.compute(model, inputs), strict=True)
    return Agreement(by=name, samples=SAMPLES, outputs=tuple(compared(*pair) for pair in pairs))


def random_inputs(graph: Graph) -> list[Array]:
    """Return SAMPLES seeded samples for every input: unit normal, or all over an integer's range.

    Raises MeasuringFailed for inputs that have no fixed shape or another batch than 1.
    """
    count = len(graph.inputs)
    return [
        np.concatenate([one_sample(tensor, count * number + index) for number in range(SAMPLES)])
        for index, tensor in enumerate(graph.inputs)
    ]


def _on_host(model: Path, inputs: Sequence[Array]) -> tuple[Array, ...]:
    try:
        return LocalRunner("this host").compute(model, inputs)
    except DeviceError as error:
        raise MeasuringFailed(f"this host has no outputs to hold against the device's: {error}") from error


def compared(spec: TensorSpec, here: Array, there: Array) -> OutputAgreement:
    """Hold one output's arrays, (samples, *shape) each, beside each other.

    Raises MeasuringFailed where they are of another shape or type.
    """
    if here.shape != there.shape or here.dtype != there.dtype:
        raise MeasuringFailed(
            f"the device's output '{spec.name}' is {there.dtype} {there.shape}, but this host's {here.dtype} "
            f"{here.shape}"
        )
    unit, zero = (spec.scale, spec.zero_point or 0) if spec.scale is not None else (1.0, 0)
    ours, theirs = here.astype(np.float64), there.astype(np.float64)
    apart = float(np.abs(ours - theirs).max(initial=0))
    return OutputAgreement(
        name=spec.name,
        max_difference=apart * unit,
        max_steps=None if spec.scale is None else round(apart),
        largest=float(np.abs(ours - zero).max(initial=0)) * unit,
        equal_argmax=_equal_argmax(ours, theirs),
    )


def _equal_argmax(ours: Array, theirs: Array) -> float | None:
    """Return in which share of the samples both have the same largest place, None for what is no vector."""
    if sum(length > 1 for length in ours.shape[1:]) != 1:
        return None
    first, second = (array.reshape(len(array), -1).argmax(axis=1) for array in (ours, theirs))
    return float((first == second).mean())
