"""Scores of a `.tflite`, as the device would give them: one sample at a time through its runtime."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from objectives.normalise import Normaliser

Array = np.ndarray[Any, np.dtype[Any]]


def scores(data: bytes, samples: Array) -> Array:
    """Return what a file gives for samples as it takes them, one at a time.

    `samples` is (samples, *input_shape); the result (samples, *output_shape), float32.
    """
    interpreter = loaded(data)
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = np.empty((len(samples), *sink["shape"][1:]), np.float32)
    for number, sample in enumerate(samples):
        interpreter.set_tensor(source["index"], np.asarray(sample, source["dtype"])[None])
        interpreter.invoke()
        found[number] = interpreter.get_tensor(sink["index"])[0]
    return found


def loaded(data: bytes) -> Any:
    """Return an interpreter with a file, on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


class Scores(Protocol):
    """Gives the scores of a `.tflite` for raw samples, with the kernels of some runtime."""

    def __call__(self, data: bytes, normaliser: Normaliser, x: Array) -> Array:
        """Return logits, (samples, classes), float32, for raw samples, (samples, *input_shape)."""
        ...


def by_litert(data: bytes, normaliser: Normaliser, x: Array) -> Array:
    """Return logits with LiteRT's kernels, which is what runs on everything but a microcontroller."""
    return Scorer(data, normaliser).scores(x)


def by_micro(data: bytes, normaliser: Normaliser, x: Array) -> Array:
    """Return logits with the kernels of TensorFlow Lite Micro. Raises MeasuringFailed where it cannot run."""
    from hardware_profiles.micro import MicroRunner

    scorer = Scorer(data, normaliser)
    samples = np.stack(list(scorer.prepared(x)))
    with TemporaryDirectory(prefix="edgesearch-") as folder:
        path = Path(folder, "model.tflite")
        path.write_bytes(data)
        (found,) = MicroRunner().compute(path, [samples])
    return scorer.real(found)


class Scorer:
    """A loaded `.tflite`. Quantizes and dequantizes at the edges where the file asks for it."""

    def __init__(self, data: bytes, normaliser: Normaliser) -> None:
        self._interpreter = loaded(data)
        self._normaliser = normaliser
        self.input = self._interpreter.get_input_details()[0]
        self.output = self._interpreter.get_output_details()[0]

    def scores(self, x: Array) -> Array:
        """Return logits, (samples, classes), float32, for raw samples, (samples, *input_shape)."""
        return np.stack([self._run(sample) for sample in self.prepared(x)])

    def _run(self, sample: Array) -> Array:
        self._interpreter.set_tensor(self.input["index"], sample[None])
        self._interpreter.invoke()
        return self.real(self._interpreter.get_tensor(self.output["index"])[0])

    def real(self, stored: Array) -> Array:
        """Return what the file gives as real numbers."""
        scale, zero = self.output["quantization"]
        return stored if not scale else (stored.astype(np.float32) - zero) * np.float32(scale)

    def prepared(self, x: Array) -> Iterator[Array]:
        """Yield what the file takes for each raw sample, without the batch axis."""
        scale, zero = self.input["quantization"]
        shape = tuple(self.input["shape"][1:])  # a network that was brought may leave out axes of length 1
        for sample in x:
            if not scale:
                yield np.asarray(sample, self.input["dtype"]).reshape(shape)
                continue
            coded = np.round(self._normaliser.apply(sample[None])[0] / scale) + zero
            yield np.clip(coded, -128, 127).astype(np.int8).reshape(shape)
