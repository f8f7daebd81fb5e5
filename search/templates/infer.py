#!/usr/bin/env python3
"""Run the model in this folder on samples: the classes that it tells apart, or the values that it gives.

    python infer.py                        the sample that lies beside this script
    python infer.py new.npy                one sample, or many along the first axis
    python infer.py rows.csv               a table with a header; columns are found by their names
    python infer.py photo.png --top 5      a picture (needs pillow)

From Python:

    import infer
    model = infer.load()                   # or infer.load("path/to/this/folder")
    answers = model.predict(x)             # probabilities, (samples, classes), in the order of model.labels;
                                           # values, (samples, ...), of a model that tells no classes apart

Needs numpy and ai-edge-litert (`pip install numpy ai-edge-litert`), and `model.tflite` and
`model.json` beside it. Give values as they come from the sensor: this script and the model do the rest.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
HERE = Path(__file__).resolve().parent
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
MODES = {1: "L", 3: "RGB"}
DEEP_MODES = ("I", "F")
MOST_SHOWN = 10


class InputError(ValueError):
    """Input that the model cannot take; the message names the rule, the value and the way out."""


class Model:
    """A loaded model: `predict` for probabilities or values, `logits` for what the file itself gives.

    `labels` names the classes; of a model for another task it is empty.
    """

    def __init__(self, folder: str | Path = HERE) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.about = facts(folder)
        self.labels: list[str] = self.about["classes"]
        self.sample_shape = tuple(self.about["inputs"][0]["shape"][1:])
        self._interpreter = Interpreter(
            model_path=str(Path(folder) / "model.tflite"), num_threads=self.about["latency"]["threads"]
        )
        self._interpreter.allocate_tensors()

    def predict(self, x: Any) -> Array:
        """Return the probability of each class, (samples, classes), for one raw sample or many.

        A model that tells no classes apart gives its values, (samples, ...).
        """
        scores = self.logits(x)
        return softmax(scores) if self.about["scores"] == "logits" else scores

    def logits(self, x: Any) -> Array:
        """Return what the file gives, (samples, classes) or (samples, ...), float32, for raw samples."""
        batch = encode(as_batch(x, self.sample_shape), self.about)
        source, sink = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        scores = np.empty((len(batch), *sink["shape"][1:]), np.float32)
        for row, sample in zip(scores, batch):  # noqa: B905 (devices with Python 3.9 know no strict)
            self._interpreter.set_tensor(source["index"], sample[None])
            self._interpreter.invoke()
            row[:] = decode(self._interpreter.get_tensor(sink["index"])[0], self.about["outputs"][0])
        return scores


def facts(folder: str | Path = HERE) -> dict[str, Any]:
    """Return what the folder's `model.json` says."""
    about: dict[str, Any] = json.loads((Path(folder) / "model.json").read_text(encoding="utf-8"))
    return about


def load(folder: str | Path = HERE) -> Model:
    """Load the model of an exported folder."""
    return Model(folder)


def predict(x: Any) -> Array:
    """Return what `Model.predict` does, by the model beside this script."""
    return load().predict(x)


def as_batch(x: Any, shape: tuple[int, ...]) -> Array:
    """Return the samples as (samples, *shape), float32. Axes of length 1 may be missing.

    Raises InputError for another shape, for what is no number and for NaN and infinities.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "buif":
        raise InputError(f"a sample is an array of numbers, got {array.dtype}")
    if _plain(array.shape) == _plain(shape):
        array = array.reshape(1, *shape)
    elif array.ndim and _plain(array.shape[1:]) == _plain(shape):
        array = array.reshape(len(array), *shape)
    else:
        raise InputError(f"one sample has the shape {shape}, many have (samples, ...), got {array.shape}")
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError("a sample holds finite numbers, got NaN or infinity; fill or drop those values")
    return array


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def encode(batch: Array, about: dict[str, Any]) -> Array:
    """Return what the file takes for raw samples.

    A file with float input takes them as they are, for it normalises by itself. One with int8 input
    takes z = (x - offset) * scale, clipped to +-clip, as round(z / step) + zero point in [-128, 127].
    """
    rule, spec = about["normalisation"], about["inputs"][0]
    if rule["applied_by"] == "caller":
        batch = (batch - np.array(rule["offset"], np.float32)) * np.array(rule["scale"], np.float32)
        if rule["clip"] is not None:
            batch = np.clip(batch, -rule["clip"], rule["clip"])
    if spec["scale"] is None:
        return batch.astype(spec["dtype"])
    ends = np.iinfo(spec["dtype"])
    steps = np.round(batch / np.float32(spec["scale"])) + spec["zero_point"]
    stored: Array = np.clip(steps, ends.min, ends.max).astype(spec["dtype"])
    return stored


def decode(scores: Array, spec: dict[str, Any]) -> Array:
    """Return the file's output as real numbers."""
    if spec["dtype"] == "float32":
        return scores
    real: Array = (scores.astype(np.float32) - spec["zero_point"]) * np.float32(spec["scale"])
    return real


def softmax(logits: Array) -> Array:
    """Return probabilities, rows adding up to 1, for raw scores."""
    powers: Array = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def read(path: Path, about: dict[str, Any]) -> Array:
    """Read samples from a .npy, .csv or picture file. Raises InputError for what does not fit the model."""
    if not path.is_file():
        raise InputError(f"there is no file '{path}'")
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    if path.suffix.lower() == ".csv":
        return read_csv(path, about)
    if path.suffix.lower() in PICTURES:
        return read_picture(path, about)
    raise InputError(f"input is a .npy, a .csv or a picture ({', '.join(PICTURES)}), got '{path.name}'")


def read_npy(path: Path) -> Array:
    """Read an array of numbers."""
    try:
        array: Array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"'{path.name}' is no array file: {error}") from None
    return array


def read_csv(path: Path, about: dict[str, Any]) -> Array:
    """Read a table by the names of its columns; further columns are left out.

    Columns that the model does not look at may be missing or empty.
    """
    columns = about["columns"]
    unused = set((about.get("reduction") or {}).get("not_needed", ()))
    if not columns:
        raise InputError("a .csv needs a model of a table with named columns; give a .npy of the right shape")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            names = table.fieldnames or []
            missing = [c["name"] for c in columns if c["name"] not in names and c["name"] not in unused]
            if missing:
                raise InputError(
                    f"'{path.name}' lacks the column '{missing[0]}' (it has: {', '.join(names)})"
                )
            rows = [
                [0.0 if c["name"] in unused else _cell(row[c["name"]], c, table.line_num) for c in columns]
                for row in table
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path.name}' is no table in UTF-8: {error}") from None
    if not rows:
        raise InputError(f"'{path.name}' has a header and no rows")
    return np.array(rows)


def _cell(text: str | None, column: dict[str, Any], line: int) -> float:
    where = f"line {line}, column '{column['name']}'"
    categories = column["categories"]
    if categories is not None:
        if set(categories) == {"False", "True"}:
            text = (text or "").capitalize()  # tables write booleans as true, TRUE or True
        if text not in categories:
            raise InputError(f"{where}: unknown category '{text}' (known: {', '.join(categories)})")
        return float(categories.index(text))
    try:
        number = float(text or "")
    except ValueError:
        raise InputError(f"{where}: a number is needed, got '{text or ''}'") from None
    if not math.isfinite(number):
        raise InputError(f"{where}: a finite number is needed, got '{text}'")
    return number


def read_picture(path: Path, about: dict[str, Any]) -> Array:
    """Read a picture in the colours and the size that the model takes."""
    shape = tuple(about["inputs"][0]["shape"][1:])
    if about["kind"] != "image" or shape[-1] not in MODES:
        raise InputError(f"this model takes a {about['kind']} of shape {shape}, no picture; give a .npy")
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise InputError("reading pictures needs pillow: pip install pillow (or give a .npy)") from None
    try:
        with Image.open(path) as picture:
            if picture.mode in DEEP_MODES or picture.mode.startswith("I;"):
                raise InputError(
                    f"a picture has 8 bits per channel, and '{path.name}' has mode {picture.mode}"
                )
            # as the training pictures were read: upright, then these colours, then this size
            sized = ImageOps.exif_transpose(picture).convert(MODES[shape[-1]])
            if sized.size != (shape[1], shape[0]):
                sized = sized.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"'{path.name}' is no picture that can be read: {error}") from None
    return np.asarray(sized, np.uint8).reshape(shape)


def lines(name: str, answers: Array, labels: list[str], top: int) -> list[str]:
    """Return one line per sample: its name and the likeliest classes, the likeliest first, or its values."""
    many = len(answers) > 1
    return [
        f"{name}{f'[{number}]' if many else ''}: {likeliest(row, labels, top) if labels else values(row)}"
        for number, row in enumerate(answers)
    ]


def likeliest(row: Array, labels: list[str], top: int) -> str:
    """Return the names of the likeliest classes with their probabilities."""
    return ", ".join(f"{labels[c]} {100 * row[c]:.1f} %" for c in np.argsort(-row, kind="stable")[:top])


def values(row: Array) -> str:
    """Return the values of one sample; of many the first, and how many they are."""
    flat = row.reshape(-1)
    more = f", ... ({flat.size} values)" if flat.size > MOST_SHOWN else ""
    return ", ".join(f"{value:.6g}" for value in flat[:MOST_SHOWN]) + more


def main() -> int:
    """Run the model on the files on the command line."""
    parser = argparse.ArgumentParser(description="Run the model in this folder on samples.")
    parser.add_argument("input", nargs="*", type=Path, help=".npy, .csv or picture; without any: sample.npy")
    parser.add_argument("--top", type=int, default=3, metavar="K", help="how many classes to print (3)")
    given = parser.parse_args()
    if given.top < 1:
        parser.error(f"--top is 1 or more, got {given.top}")
    try:
        about, paths = facts(), given.input or [HERE / "sample.npy"]
        shape = tuple(about["inputs"][0]["shape"][1:])
        batches = [as_batch(read(path, about), shape) for path in paths]  # before the runtime is loaded
        model = load()
        for path, batch in zip(paths, batches):  # noqa: B905
            print("\n".join(lines(path.name, model.predict(batch), model.labels, given.top)))
    except (InputError, OSError) as error:
        print(f"infer.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
