"""Normalisation: fitted on train alone, the same numbers in training, in the graph and in `infer.py`.

z = clip((x - offset) * scale, ±clip), per column of a table, per channel of images and series. Raw columns
of small range vanish in a full-int8 file, whose input has one scale for all of them; after this they
have one range, and the clip keeps outliers from taking it.
"""

from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from hardware_profiles.value import Value
from objectives.datasets.spec import Kind

FLOAT_CLIP = 6.0
CHUNK_BYTES = 16 * 2**20
# The smallest standard deviation whose inverse is a float32 number.
SMALLEST_STD = float(np.finfo(np.float32).tiny)


class Normaliser(Value):
    """offset and scale per column or channel, in the data's units and their inverse; clip without unit.

    All are float32 numbers, so that their JSON gives the same results.
    """

    offset: tuple[float, ...]
    scale: tuple[Annotated[float, Field(gt=0)], ...]
    clip: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_scale_per_offset(self) -> Self:
        if len(self.offset) != len(self.scale) or not self.offset:
            raise ValueError(
                f"offset and scale are one per column or channel, got {len(self.offset)} and "
                f"{len(self.scale)}"
            )
        return self

    @classmethod
    def fit(cls, x_train: npt.NDArray[Any], kind: Kind, chunk_bytes: int = CHUNK_BYTES) -> Self:
        """Fit offset (mean) and scale (1 / standard deviation) on train samples, in chunks.

        Tables have a pair per column, images and series one per channel: the last axis each time, so
        `kind` only has to agree with the number of axes. What is constant in train gets its value as
        offset and scale 1. uint8 needs no clip, since its range is bounded. Raises ValueError for an
        empty array or one whose axes do not fit the kind.
        """
        if x_train.ndim != (2 if kind == "table" else 4) or not x_train.size:
            raise ValueError(
                f"a normaliser is fitted on samples of kind {kind}, got an array of shape {x_train.shape}"
            )
        mean, std, low, high = _moments(x_train, chunk_bytes)
        constant = (low == high) | (std < SMALLEST_STD)
        offset = np.where(constant, low, mean).astype(np.float32)
        scale = np.where(constant, 1.0, 1.0 / np.where(constant, 1.0, std)).astype(np.float32)
        clip = None if x_train.dtype == np.uint8 else FLOAT_CLIP
        return cls(offset=tuple(offset.tolist()), scale=tuple(scale.tolist()), clip=clip)

    @property
    def changes_nothing(self) -> bool:
        """Whether samples are left as they are: those of a network that normalises for itself."""
        return self.clip is None and not any(self.offset) and set(self.scale) == {1.0}

    def apply(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return normalised samples as float32 in the shape of `x`; its last axis is columns or channels."""
        z = x.astype(np.float32)
        z -= np.asarray(self.offset, np.float32)
        z *= np.asarray(self.scale, np.float32)
        return z if self.clip is None else np.clip(z, -self.clip, self.clip, out=z)


Moments = tuple[npt.NDArray[np.float64], ...]


def _moments(x: npt.NDArray[Any], chunk_bytes: int) -> Moments:
    """Return mean, standard deviation, minimum and maximum along the last axis, reading x once.

    Chunks are joined as in Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for
    Computing Sample Variances" (1979).
    """
    width = x.shape[-1]
    step = max(1, chunk_bytes // max(1, x[0].size * 8))
    seen, mean, squares = 0, np.zeros(width), np.zeros(width)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    for start in range(0, len(x), step):
        flat = x[start : start + step].reshape(-1, width).astype(np.float64)
        delta = flat.mean(axis=0) - mean
        total = seen + len(flat)
        squares += ((flat - flat.mean(axis=0)) ** 2).sum(axis=0) + delta**2 * seen * len(flat) / total
        mean += delta * len(flat) / total
        low, high = np.minimum(low, flat.min(axis=0)), np.maximum(high, flat.max(axis=0))
        seen = total
    return mean, np.sqrt(squares / seen), low, high
