"""Give what a model computes on the machine that this file runs on, for samples that are sent along."""

from __future__ import annotations

import base64
import time
from typing import Any

import numpy as np

from hardware_profiles.aboard.litert import find_runtime, say


def compute(request: dict[str, Any]) -> dict[str, Any]:
    """Run samples through a model, one after the other; return the outputs of as many as time allowed.

    `inputs` are arrays (samples, *shape), encoded as by `encoded`, and so are the `outputs`.
    """
    runtime = find_runtime()
    say("loading model 0")
    interpreter = runtime.load(request["models"][0], int(request["threads"]), request["delegate"])
    details = interpreter.get_input_details()
    inputs = [decoded(array) for array in request["inputs"]]
    if len(inputs) != len(details):
        raise ValueError(f"it has {len(details)} inputs, got data for {len(inputs)}")
    for detail, array in zip(details, inputs):
        check_input(detail, array)
    say("computing")
    until, seen = time.monotonic() + request["patience_s"], []
    for samples in zip(*inputs):
        for detail, sample in zip(details, samples):
            interpreter.set_tensor(detail["index"], sample.reshape(detail["shape"]))
        interpreter.invoke()
        seen.append([interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()])
        if time.monotonic() >= until:
            break
    outputs = [encoded(np.stack([without_batch(array) for array in output])) for output in zip(*seen)]
    return {"runtime": {"name": runtime.name, "version": runtime.version}, "outputs": outputs}


def check_input(detail: dict[str, Any], array: Any) -> None:
    """Raise ValueError unless the samples have the input's type and size."""
    kind, size = np.dtype(detail["dtype"]), int(np.prod(detail["shape"]))
    if array.dtype != kind or array[0].size != size:
        raise ValueError(
            f"input '{detail['name']}' takes {size} values of {kind} a sample, "
            f"got {array[0].size} of {array.dtype}"
        )


def without_batch(array: Any) -> Any:
    """Return an output without the leading batch of 1, where it has that."""
    return array[0] if array.ndim and array.shape[0] == 1 else array


def encoded(array: Any) -> dict[str, Any]:
    """Return an array as JSON: its type, shape, and bytes (C order, little-endian) in base64."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = base64.b64encode(little.tobytes()).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def decoded(document: dict[str, Any]) -> Any:
    """Return the array that was encoded."""
    data, kind = base64.b64decode(document["data"]), np.dtype(document["dtype"])
    return np.frombuffer(data, kind.newbyteorder("<")).astype(kind).reshape(document["shape"])
