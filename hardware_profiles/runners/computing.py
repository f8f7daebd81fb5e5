"""Outputs for many samples, asked in pieces: no request is large for a board, and none takes long."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hardware_profiles.errors import MeasuringFailed
from hardware_profiles.runners.answers import Computed
from hardware_profiles.runners.base import Array, same_samples

PIECE_BYTES = 4 << 20
Ask = Callable[[Sequence[Array]], Computed]


def outputs_of(model: Path, inputs: Sequence[Array], ask: Ask) -> tuple[Array, ...]:
    """Return all outputs, (samples, *shape) each; `ask` gives those of the first of some samples.

    Raises ValueError unless every input has as many samples, MeasuringFailed for outputs that do not fit.
    """
    samples, size = same_samples(inputs), sum(array[:1].nbytes for array in inputs)
    piece, done, parts = max(1, PIECE_BYTES // max(1, size)), 0, []
    while done < samples:
        asked = [array[done : done + piece] for array in inputs]
        outputs = _checked(model, ask(asked), len(asked[0]))
        parts.append(outputs)
        done += len(outputs[0])
    if len({tuple((part.dtype, part.shape[1:]) for part in outputs) for outputs in parts}) != 1:
        raise MeasuringFailed(f"'{model}' gave outputs of different shapes for different samples")
    return tuple(np.concatenate(output) for output in zip(*parts, strict=True))


def _checked(model: Path, computed: Computed, asked: int) -> tuple[Array, ...]:
    """Return the arrays of an answer. Raises MeasuringFailed unless each is of 1 to `asked` samples."""
    try:
        outputs = tuple(tensor.array for tensor in computed.outputs)
    except ValueError as error:
        raise MeasuringFailed(f"'{model}' gave an output that cannot be used: {error}") from error
    counts = {output.shape[0] if output.ndim else 0 for output in outputs}
    if len(counts) != 1 or not 1 <= min(counts) <= asked:
        raise MeasuringFailed(f"'{model}' gave outputs of {sorted(counts)} samples for {asked}")
    return outputs
