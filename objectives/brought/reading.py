"""Reads a network that a user brought, whatever it was saved by: Keras 2, Keras 3, or as a SavedModel.

Runs TensorFlow, and native code on files of unknown origin: call it in a child process (see `guard`).
Code that a file holds is not run: what asks for it is refused.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from objectives.brought.value import INPUT_TYPES, Format, InputType
from objectives.errors import ObjectiveError
from objectives.guard import first_line
from objectives.tensorflow import keras, tensorflow

SIGNATURE = "serving_default"
_UNKNOWN = re.compile(r"(?:Could not (?:locate|deserialize)|Unknown) [\w ]+:? '([^']+)'")


@dataclass(frozen=True)
class Loaded:
    """A network in memory.

    `network` is the Keras model, None for a SavedModel. `call` takes a tensor (batch, *input_shape) to
    (batch, *output_shape). Shapes are without the batch axis.
    """

    format: Format
    network: Any | None
    call: Callable[[Any], Any]
    input_name: str
    input_shape: tuple[int, ...]
    input_dtype: InputType
    output_name: str
    parameters: int


def read(path: Path) -> Loaded:
    """Load a network.

    Raises ObjectiveError for what is no network, for code in it, and for anything but one input and one
    output of fixed shapes.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # a user's own configuration may name another
    if path.is_dir():
        return _saved_model(path)
    kind = _format(path)
    network = _load(path, kind)
    source = _one("input", _inputs(network), path)
    sink = _one("output", _outputs(network), path)
    _check_output(sink, path)
    return Loaded(
        kind,
        network,
        lambda x: tensorflow().nest.flatten(network(x, training=False))[0],
        source.name,
        _input_shape(source, path),
        _input_type(source, path),
        sink.name,
        network.count_params(),
    )


@dataclass(frozen=True)
class _Port:
    """An input or output: `shape` has the batch axis, None if the rank is not known."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


def _format(path: Path) -> Format:
    import h5py

    if zipfile.is_zipfile(path):
        version = _zip_version(path)
    elif h5py.is_hdf5(path):
        version = _h5_version(path)
    else:
        raise ObjectiveError(f"{path.name} is neither a zip archive nor an HDF5 file, as Keras models are")
    return "keras-3" if int(version.split(".")[0]) > 2 else "keras-2"


def _zip_version(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError) as error:
        raise ObjectiveError(
            f"{path.name} is an archive, but not one that Keras wrote: {first_line(error)}"
        ) from None


def _h5_version(path: Path) -> str:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            version, whole = file.attrs.get("keras_version", "2"), "model_config" in file.attrs
    except OSError as error:
        raise ObjectiveError(f"{path.name} cannot be read: {first_line(error)}") from None
    if not whole:
        raise ObjectiveError(
            f"{path.name} holds weights at most and no layers; save the whole network by model.save(...)"
        )
    return version.decode() if isinstance(version, bytes) else str(version)


def _load(path: Path, kind: Format) -> Any:
    try:
        return _load_2(path) if kind == "keras-2" else _load_3(path)
    except Exception as error:  # noqa: BLE001 - Keras raises all kinds of them
        raise _refusal(path, error) from None


def _load_2(path: Path) -> Any:
    tf_keras = keras()
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    # The reader of HDF5 files takes no such option, and would run a Lambda's code.
    with SafeModeScope(safe_mode=True):
        return tf_keras.models.load_model(path, compile=False)


def _load_3(path: Path) -> Any:
    tensorflow()
    import keras as keras_3

    return keras_3.models.load_model(path, compile=False, safe_mode=True)


def _refusal(path: Path, error: Exception) -> ObjectiveError:
    text = str(error)
    if "arbitrary code execution" in text:
        return ObjectiveError(
            f"{path.name} has a Lambda layer, and code from a file is not run; say the same with "
            "other layers, or save the network as a SavedModel (model.export)"
        )
    unknown = [found[1]] if (found := _UNKNOWN.search(text)) else _foreign(path)
    if unknown:
        return ObjectiveError(
            f"{path.name} uses {', '.join(unknown)}, which is no part of Keras; save the network as a "
            "SavedModel (model.export), which holds the graph and needs no classes"
        )
    return ObjectiveError(f"{path.name} cannot be read as a Keras model: {first_line(error)}")


def _foreign(path: Path) -> list[str]:
    """Name what an archive's configuration has from other modules than Keras: its errors seldom do."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        found = _foreign_in(json.loads(archive.read("config.json")))
    return list(dict.fromkeys(found))


def _foreign_in(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _foreign_in(item)
    if isinstance(value, dict):
        own = str(value.get("module")).startswith(("keras", "tf_keras", "builtins"))
        if value.get("registered_name") and not own:
            yield str(value["config"] if value["class_name"] == "function" else value["class_name"])
        for item in value.values():
            yield from _foreign_in(item)


def _inputs(network: Any) -> list[_Port]:
    tensors = getattr(network, "inputs", None) or ()  # none where it was never built
    names = getattr(network, "input_names", None) or [tensor.name for tensor in tensors]
    return [_port(*pair) for pair in zip(names, tensors, strict=True)]


def _outputs(network: Any) -> list[_Port]:
    tensors = getattr(network, "outputs", None) or ()
    names = getattr(network, "output_names", None) or [network.layers[-1].name]
    return [_port(*pair) for pair in zip(names, tensors, strict=True)]


def _port(name: str, tensor: Any) -> _Port:
    shape = tensorflow().TensorShape(tensor.shape)
    known = None if shape.rank is None else tuple(shape.as_list())
    return _Port(name, known, tensorflow().as_dtype(tensor.dtype).name)


def _one(kind: str, ports: Sequence[_Port], path: Path) -> _Port:
    if not ports:
        raise ObjectiveError(
            f"{path.name} has no {kind} of known shape; begin it with an Input layer, and save it again"
        )
    if len(ports) > 1:
        names = ", ".join(sorted(port.name for port in ports))
        raise ObjectiveError(f"{path.name} has {len(ports)} {kind}s ({names}), and only one can be served")
    return ports[0]


def _input_shape(source: _Port, path: Path) -> tuple[int, ...]:
    if source.shape is None or not source.shape or None in source.shape[1:]:
        raise ObjectiveError(
            f"{path.name} takes the shape {source.shape or 'unknown'}; every size but the batch's must be "
            "fixed"
        )
    if source.shape[0] not in {None, 1}:
        raise ObjectiveError(
            f"{path.name} takes batches of {source.shape[0]}, and a device gives one sample at a time; "
            "save it with an open batch size"
        )
    return tuple(size for size in source.shape[1:] if size is not None)


def _input_type(source: _Port, path: Path) -> InputType:
    for known in INPUT_TYPES:
        if source.dtype == known:
            return known
    raise ObjectiveError(
        f"{path.name} takes {source.dtype}, and an input is one of {', '.join(get_args(InputType))}"
    )


def _check_output(sink: _Port, path: Path) -> None:
    if sink.dtype != "float32":
        raise ObjectiveError(f"{path.name} gives {sink.dtype}, and scores are float32")
    if sink.shape is not None and None in sink.shape[1:]:
        raise ObjectiveError(
            f"{path.name} gives the shape {sink.shape}; every size but the batch's must be fixed"
        )


def _saved_model(path: Path) -> Loaded:
    signature, alive = _signature(path)
    inputs = [_port(name, spec) for name, spec in signature.structured_input_signature[1].items()]
    outputs = [_port(name, spec) for name, spec in signature.structured_outputs.items()]
    source, sink = _one("input", inputs, path), _one("output", outputs, path)
    _check_output(sink, path)

    def call(x: Any) -> Any:
        assert alive is not None  # the signature's variables live as long as the object does
        return signature(**{source.name: x})[sink.name]

    count = sum(int(variable.shape.num_elements()) for variable in signature.variables)
    shape, dtype = _input_shape(source, path), _input_type(source, path)
    return Loaded("saved-model", None, call, source.name, shape, dtype, sink.name, count)


def _signature(path: Path) -> tuple[Any, Any]:
    try:
        loaded = tensorflow().saved_model.load(str(path))
    except Exception as error:  # noqa: BLE001 - TensorFlow raises all kinds of them
        raise ObjectiveError(f"{path.name} cannot be read as a SavedModel: {first_line(error)}") from None
    signatures = dict(getattr(loaded, "signatures", {}))
    if SIGNATURE not in signatures:
        has = ", ".join(signatures) or "none"
        raise ObjectiveError(f"{path.name} has no signature {SIGNATURE!r} (it has {has}); export it with one")
    return signatures[SIGNATURE], loaded
