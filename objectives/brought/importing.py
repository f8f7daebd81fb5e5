"""Makes a network that a user brought ready for the search: once, kept by the digest of its bytes.

What is kept: the network as a float32 `.tflite` for one sample, under its own names; what is known of it;
and, where its layers can be had in tf_keras, its twin. Reading, converting and running are done in a child
process.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from objectives.accuracy import scores
from objectives.agreement import disagreement
from objectives.brought.edges import Edges, with_edges
from objectives.brought.value import BroughtModel
from objectives.errors import ObjectiveError
from objectives.flatbuffer import constant, unpack
from objectives.guard import first_line, guarded

if TYPE_CHECKING:
    from objectives.brought.reading import Loaded

Array = np.ndarray[Any, np.dtype[Any]]
ORIGINAL, ABOUT = "original.tflite", "about.json"
SUFFIXES = (".keras", ".h5", ".hdf5")
IMPORT_TIMEOUT_S = 180.0
RANDOM_SAMPLES = 16
CLOSE = 1e-3
STALE_S = 3600.0
_NO_KERNEL = re.compile(r"'?tf\.(\w+)'? op is neither a custom op nor a flex op")


def import_model(path: Path, root: Path, timeout_s: float = IMPORT_TIMEOUT_S) -> BroughtModel:
    """Return what is known of a network, after making it ready in `root/<digest>` if it is not yet.

    `path` is a `.keras` or `.h5` of Keras 2 or 3, or the folder of a SavedModel. Raises ObjectiveError,
    in one line, for what is none or cannot be served, and ChildFailed if importing it crashes or takes
    longer than `timeout_s`.
    """
    _refuse_other(path)
    digest = digest_of(path)
    if known := _known(root / digest):
        return known
    root.mkdir(parents=True, exist_ok=True)
    _remove_stale(root)
    part = root / f".part-{uuid.uuid4().hex}"
    part.mkdir()
    try:
        arguments = {"path": path.absolute(), "folder": part.absolute(), "digest": digest}
        guarded("objectives.brought.importing:work", arguments, timeout_s, what=f"importing {path.name}")
        _move(part, root / digest)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return _read(root / digest)


def original(root: Path, digest: str) -> bytes:
    """Return the float32 `.tflite` of an imported network."""
    return (root / digest / ORIGINAL).read_bytes()


def digest_of(path: Path) -> str:
    """Name the bytes of a file, or those of all files of a folder with their places in it: 16 hex digits."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    found = hashlib.sha256()
    for name in sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()):
        content = (path / name).read_bytes()
        found.update(f"{len(name.encode())} {name} {len(content)} ".encode() + content)
    return found.hexdigest()[:16]


def work(path: Path, folder: Path, digest: str) -> None:
    """Import a network into a folder; for the child process alone, since it may crash."""
    from objectives.brought.levers import levers_of, without_twin
    from objectives.brought.reading import read
    from objectives.brought.twin import keep_twin, read_twin
    from objectives.tensorflow import one_thread

    one_thread()
    loaded = read(path)
    samples = _random_inputs(loaded)
    expected = _outputs(loaded, samples, path)
    data = with_edges(_converted(loaded, path), Edges(loaded.input_name, loaded.output_name))
    _refuse_disagreement(data, samples, expected, path)
    (folder / ORIGINAL).write_bytes(data)
    reason = keep_twin(loaded, samples, expected, folder)
    levers = levers_of(read_twin(folder), samples) if reason is None else without_twin(reason)
    about = BroughtModel(
        digest=digest,
        format=loaded.format,
        input_name=loaded.input_name,
        input_shape=loaded.input_shape,
        input_dtype=loaded.input_dtype,
        output_name=loaded.output_name,
        output_shape=expected.shape[1:],
        parameters=loaded.parameters or _stored_numbers(data),
        probabilities=_are_probabilities(expected),
        trainable=reason,
        levers=levers,
    )
    (folder / ABOUT).write_text(about.model_dump_json(indent=2))


def _refuse_other(path: Path) -> None:
    if not path.exists():
        raise ObjectiveError(f"there is no {path}; a model is a .keras, .h5 or a SavedModel folder")
    if path.is_dir():
        if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
            raise ObjectiveError(
                f"{path} has no saved_model.pb; a model is a .keras, .h5 or a SavedModel folder"
            )
    elif path.suffix.lower() not in SUFFIXES:
        raise ObjectiveError(f"a model is a .keras, .h5 or a SavedModel folder, got {path.name}")


def _known(folder: Path) -> BroughtModel | None:
    try:
        return _read(folder)
    except (FileNotFoundError, ValidationError):  # of an older version: it is made again
        return None


def _read(folder: Path) -> BroughtModel:
    return BroughtModel.model_validate_json((folder / ABOUT).read_bytes())


def _move(part: Path, folder: Path) -> None:
    """Put a finished import in its place, all at once; what another process has put there is as good."""
    if folder.exists() and _known(folder) is None:
        with suppress(OSError):  # another process does the same
            folder.replace(part.with_name(f"{part.name}-old"))
        shutil.rmtree(part.with_name(f"{part.name}-old"), ignore_errors=True)
    try:
        part.replace(folder)
    except OSError:
        if _known(folder) is None:
            raise


def _remove_stale(root: Path) -> None:
    for part in root.glob(".part-*"):
        with suppress(OSError):
            if part.stat().st_mtime < time.time() - STALE_S:  # its writer was killed
                shutil.rmtree(part, ignore_errors=True)


def _random_inputs(loaded: Loaded) -> Array:
    """Return samples, (samples, *input_shape): whole numbers are 0 or 1, which any vocabulary has."""
    generator, shape = np.random.default_rng(0), (RANDOM_SAMPLES, *loaded.input_shape)
    if loaded.input_dtype == "float32":
        return generator.uniform(-1, 1, shape).astype(np.float32)
    return generator.integers(0, 2, shape).astype(loaded.input_dtype)


def _outputs(loaded: Loaded, samples: Array, path: Path) -> Array:
    from objectives.tensorflow import tensorflow

    tensors = (tensorflow().constant(sample[None]) for sample in samples)
    found = np.concatenate([np.asarray(loaded.call(tensor)) for tensor in tensors])
    if len(found) != len(samples):
        raise ObjectiveError(
            f"{path.name} gives {found.shape[1:]} without a batch axis, which cannot be scored"
        )
    if not np.isfinite(found).all():
        raise ObjectiveError(f"{path.name} gives NaN or infinity for random inputs between -1 and 1")
    return found


def _converted(loaded: Loaded, path: Path) -> bytes:
    """Return the `.tflite` for a batch of one, as the converter names things."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from objectives.tensorflow import tensorflow

    tf = tensorflow()
    spec = tf.TensorSpec((1, *loaded.input_shape), loaded.input_dtype)
    try:
        traced = tf.function(loaded.call).get_concrete_function(spec)
        frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False, aggressive_inlining=True)
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen], tf.Module()).convert())
    except Exception as error:  # noqa: BLE001 - the converter raises all kinds of them
        raise ObjectiveError(f"{path.name} cannot be converted to .tflite: {_why_not(error)}") from None


def _why_not(error: Exception) -> str:
    text = str(error)
    if "TensorListReserve" in text:
        return (
            "it has recurrent layers of an open batch size; bring the .keras, or export it with a batch of 1"
        )
    lacking = sorted(set(_NO_KERNEL.findall(text)))
    return f"LiteRT has no {', '.join(lacking)}" if lacking else first_line(error)


def _refuse_disagreement(data: bytes, samples: Array, expected: Array, path: Path) -> None:
    found = scores(data, samples)
    if found.shape != expected.shape or not (apart := disagreement(found, expected)) <= CLOSE:
        detail = f"by {apart:.2g} of their spread" if found.shape == expected.shape else "in shape"
        raise ObjectiveError(f"{path.name} as a .tflite gives other outputs than the network ({detail})")


def _are_probabilities(outputs: Array) -> bool:
    if outputs.ndim != 2 or outputs.shape[1] < 2:  # one class alone is always certain
        return False
    return bool((outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) <= 1e-3).all())


def _stored_numbers(data: bytes) -> int:
    """Count the float numbers that a file stores: the parameters of a graph without variables."""
    model = unpack(data)
    tensors = (tensor for tensor in model.subgraphs[0].tensors if tensor.type == 0)  # float32
    return sum(0 if (values := constant(model, tensor)) is None else values.size for tensor in tensors)
