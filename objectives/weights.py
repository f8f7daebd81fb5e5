"""Trained weights on disk, by digest, within a budget: what was not used for longest goes first."""

import io
import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from hardware_profiles.artifact import write_atomically
from objectives.outcome import Epoch

STALE_S = 3600.0
Weights = list[np.ndarray[Any, np.dtype[Any]]]


@dataclass(frozen=True)
class Trained:
    """What a stage leaves behind: weights in the network's own order, and the learning curve.

    `value` is the study's metric on validation data at these weights; `low_bit` names the layers that
    were trained for 4-bit weights; `seconds` is what the stage alone took.
    """

    weights: Weights
    curve: tuple[Epoch, ...]
    value: float
    low_bit: tuple[str, ...] = ()
    seconds: float = 0.0


class WeightStore:
    """A folder of trained networks, shared by every worker and study that uses it.

    `budget_bytes` bounds the folder after each write; the files least recently read or written are
    removed first, and the newest is always kept.
    """

    def __init__(self, root: Path, budget_bytes: int) -> None:
        self._root, self._budget_bytes = root, budget_bytes

    def get(self, digest: str) -> Trained | None:
        """Return what is kept under a digest, or None if it is not there (any more)."""
        path = self._path(digest)
        try:
            trained = _unpacked(path.read_bytes())
        except FileNotFoundError:
            return None
        except (BadZipFile, EOFError, KeyError, ValueError):
            # A broken disk or another format: it is made again, and then replaced.
            return None
        with suppress(OSError):  # another worker may have removed it by now
            os.utime(path)
        return trained

    def value(self, digest: str) -> float | None:
        """Return the metric of what is kept under a digest, or None; its weights are not read."""
        return self._figure(digest, "value")

    def seconds(self, digest: str) -> float | None:
        """Return what a stage took, or None where it is not kept or nobody took the time."""
        return self._figure(digest, "seconds")

    def _figure(self, digest: str, name: str) -> float | None:
        try:
            with np.load(self._path(digest), allow_pickle=False) as arrays:
                return float(arrays[name])
        except (OSError, BadZipFile, EOFError, KeyError, ValueError):
            return None

    def put(self, digest: str, trained: Trained) -> None:
        """Keep a stage's result, and make room. Safe against a kill at any instant."""
        write_atomically(self._path(digest), _packed(trained))
        self._make_room(keep=self._path(digest))

    def _path(self, digest: str) -> Path:
        return self._root / f"{digest}.npz"

    def _make_room(self, keep: Path) -> None:
        for part in self._root.glob(".part-*"):
            if _stat(part)[0] < time.time() - STALE_S:  # its writer was killed
                part.unlink(missing_ok=True)
        files = sorted((_stat(path), path) for path in self._root.glob("*.npz"))
        surplus = sum(size for (_, size), _ in files) - self._budget_bytes
        for (_, size), path in files:
            if surplus > 0 and path != keep:
                path.unlink(missing_ok=True)
                surplus -= size


def _packed(trained: Trained) -> bytes:
    buffer = io.BytesIO()
    rows = [(p.epoch, p.loss, p.valid, np.nan if p.averaged is None else p.averaged) for p in trained.curve]
    curve = np.array(rows, np.float64).reshape(-1, 4)
    low_bit = np.array(trained.low_bit, dtype=np.str_)
    value, seconds = np.float64(trained.value), np.float64(trained.seconds)
    np.savez(buffer, *trained.weights, curve=curve, value=value, low_bit=low_bit, seconds=seconds)
    return buffer.getvalue()


def _unpacked(data: bytes) -> Trained:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        count = sum(name.startswith("arr_") for name in arrays.files)
        weights = [arrays[f"arr_{i}"] for i in range(count)]
        rows, value, low_bit = arrays["curve"].tolist(), float(arrays["value"]), arrays["low_bit"].tolist()
        seconds = float(arrays["seconds"]) if "seconds" in arrays.files else 0.0  # as earlier versions
    curve = tuple(_point(*row) for row in rows)
    return Trained(weights, curve, value, tuple(low_bit), seconds)


def _point(epoch: float, loss: float, valid: float, averaged: float = math.nan) -> Epoch:
    """Return a row of a kept curve; those of earlier versions have no average."""
    known = None if math.isnan(averaged) else averaged
    return Epoch(epoch=int(epoch), loss=loss, valid=valid, averaged=known)


def _stat(path: Path) -> tuple[float, int]:
    try:
        found = path.stat()
    except FileNotFoundError:  # another worker made room at the same time
        return (0.0, 0)
    return (found.st_mtime, found.st_size)
