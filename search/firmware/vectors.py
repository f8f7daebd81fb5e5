"""Samples with which a firmware checks itself: what the host makes of them, and what the model gives."""

import importlib.util
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hardware_profiles.errors import DeviceError
from hardware_profiles.micro import Arena, ArenaUnknown, MicroRunner, arena
from search.errors import StudyError
from search.shipment import Shipment, manifest

Array = np.ndarray[Any, np.dtype[Any]]
VECTORS = 8
LARGEST_VECTORS_BYTES = 2**15
"""Test vectors lie in flash beside the model: of large samples there are fewer."""


@dataclass(frozen=True)
class Vectors:
    """Raw samples, (samples, *input_shape), the model's input and its output for them, and its arena.

    Inputs and outputs are (samples, *shape) of the tensors' own types; the outputs came about in an arena of
    `arena.least_bytes`.
    """

    raw: Array
    inputs: Array
    outputs: Array
    arena: Arena

    def __post_init__(self) -> None:
        counts = {len(self.raw), len(self.inputs), len(self.outputs)}
        if len(counts) != 1 or 0 in counts:
            raise StudyError(f"a self-test has 1 sample or more, and as many results, got {sorted(counts)}")


def few(samples: Array) -> Array:
    """Return some of the samples, (samples, *input_shape), evenly spread: as many as a firmware can hold."""
    each = max(1, samples[:1].nbytes)
    count = min(len(samples), VECTORS, max(1, LARGEST_VECTORS_BYTES // each))
    return np.asarray(samples[np.linspace(0, max(len(samples) - 1, 0), count).astype(int)])


def vectors(shipment: Shipment, samples: Array) -> Vectors:
    """Run some raw samples, (samples, *input_shape), through TensorFlow Lite Micro in its smallest arena.

    Raises StudyError where it is not installed or does not run the model, and for samples of another shape or
    type.
    """
    data = shipment.study.data
    if samples.shape[1:] != data.input_shape or samples.dtype.name != data.dtype or not len(samples):
        raise StudyError(
            f"a self-test takes 1 sample or more, {data.dtype} {data.input_shape} each, got "
            f"{samples.dtype.name} {samples.shape}"
        )
    inputs = encoded(shipment, samples)
    with TemporaryDirectory(prefix="edgesearch-firmware-") as name:
        model = Path(name) / "model.tflite"
        model.write_bytes(shipment.tflite)
        try:
            found = arena(model)
            (outputs,) = MicroRunner(arena_bytes=found.least_bytes).compute(model, [inputs])
        except (ArenaUnknown, DeviceError) as error:
            told = str(error).replace(str(model), "model.tflite")
            raise StudyError(f"no firmware for trial {shipment.record.number}: {told}") from error
    return Vectors(samples, inputs, outputs, found)


def encoded(shipment: Shipment, samples: Array) -> Array:
    """Return the model's input for raw samples, (samples, *shape), by the very code of `infer.py`."""
    about, script = manifest(shipment), _infer()
    shape = shipment.inputs[0].shape[1:]
    result: Array = script.encode(script.as_batch(samples.reshape(-1, *shape), shape), about)
    return result


@cache
def _infer() -> Any:
    with as_file(files("search").joinpath("templates/infer.py")) as path:
        spec = importlib.util.spec_from_file_location("edgesearch_infer", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module
