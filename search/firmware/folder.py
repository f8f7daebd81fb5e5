"""The firmware folder of an export: sources that put the model into a microcontroller and check it there."""

import hashlib
import math
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from hardware_profiles.graph import read_graph
from hardware_profiles.micro import RUNTIME, micro_source
from hardware_profiles.profile import HardwareProfile
from search.card import plain
from search.firmware.c_source import Array, c_float, c_rows, c_texts, c_type, c_values
from search.firmware.columns import column_values, columns_of
from search.firmware.operators import add_calls, add_methods
from search.firmware.vectors import Vectors, few, vectors
from search.shipment import Shipment, TensorSpec, manifest

FOLDER = "firmware"
FILES = (
    "README.md", "arena_bytes.h", "labels.h", "main.cc", "model_data.cc", "model_data.h", "op_resolver.h",
    "postprocess.c", "postprocess.h", "preprocess.c", "preprocess.h", "test_vectors.h",
)  # fmt: skip
FLOAT_TOLERANCE = 1e-4
"""Of the largest output: other kernels add up in another order, other libraries have other exponentials."""


def wants_firmware(profile: HardwareProfile) -> bool:
    """Tell whether a device is programmed with firmware that TensorFlow Lite Micro is a part of."""
    return profile.runtime.name == RUNTIME


def firmware_files(shipment: Shipment, samples: Array) -> dict[str, bytes]:
    """Return the files of the firmware folder by their path in the export, such as 'firmware/main.cc'.

    `samples` are raw ones of the test set, (samples, *input_shape) of the data's own type; a few of them are
    run through TensorFlow Lite Micro here and become the firmware's self-test.

    Raises StudyError where TensorFlow Lite Micro is not installed, does not run the model or cannot register
    one of its operators, and for types or texts that C has no place for.
    """
    return rendered(shipment, vectors(shipment, few(samples)))


def rendered(shipment: Shipment, found: Vectors) -> dict[str, bytes]:
    """Return the files for a self-test that was run already."""
    values = _model(shipment) | _arena(found) | _input(shipment) | _output(shipment) | _test(shipment, found)
    values |= {key: _fill(name, values) if columns_of(shipment) else "" for key, name in _COLUMNS.items()}
    return {f"{FOLDER}/{name}": _fill(name, values).encode() for name in FILES}


_COLUMNS = {"column_declarations": "columns.h", "column_definitions": "columns.c"}


def _fill(name: str, values: dict[str, object]) -> str:
    text = files("search").joinpath(f"templates/firmware/{name}").read_text(encoding="utf-8")
    return Template(text).substitute(values)


def _model(shipment: Shipment) -> dict[str, object]:
    methods, data = add_methods(read_graph(shipment.tflite)), shipment.study.data
    labels = f"static const char *const model_labels[MODEL_LABELS] = {{\n{c_texts(data.classes)}\n}};\n"
    return {
        "title": f"{plain(data.name)} on {plain(shipment.study.profile.name)}",
        "model_bytes": len(shipment.tflite),
        "model_data": c_values(np.frombuffer(shipment.tflite, np.uint8)),
        "sha256": hashlib.sha256(shipment.tflite).hexdigest(),
        "op_count": len(methods),
        "add_ops": add_calls(methods),
        "label_count": len(data.classes),
        "labels": labels if data.classes else "",
    }


def _arena(found: Vectors) -> dict[str, object]:
    version = micro_source("").runtime_version
    return {
        "runtime": f"{RUNTIME} {version}" if version else RUNTIME,
        "arena_bytes": found.arena.least_bytes,
        "head_bytes": found.arena.head_bytes,
        "tail_bytes": found.arena.tail_bytes,
    }


def _input(shipment: Shipment) -> dict[str, object]:
    data, spec = shipment.study.data, shipment.inputs[0]
    return {
        "raw_type": c_type(data.dtype, "a raw sample"),
        "input_type": c_type(spec.dtype, "the model's input"),
        "shape": data.input_shape,
        "input_length": math.prod(data.input_shape),
        "columns": data.input_shape[-1],
        "raw_is_float": int(np.dtype(data.dtype).kind == "f"),
        **_normalising(shipment),
        **_quantizing(spec),
        **column_values(columns_of(shipment), shipment.record.evidence.inputs_used),
    }


def _normalising(shipment: Shipment) -> dict[str, object]:
    """Fill in the rule that `infer.py` follows, by the same facts."""
    rule = manifest(shipment)["normalisation"]
    if rule["applied_by"] == "model":
        told = "The model takes raw values as they are: what has to be done with them, it does by itself."
        return {"preprocessing": told, "normalises": 0, "clips": 0, "offset": "", "scale": "", "clip": "0.0f"}
    clip = rule["clip"]
    return {
        "preprocessing": "Normalises and quantizes, bit for bit as infer.py does.",
        "normalises": 1,
        "clips": int(clip is not None),
        "offset": c_values(np.array(rule["offset"], np.float32)),
        "scale": c_values(np.array(rule["scale"], np.float32)),
        "clip": c_float(0 if clip is None else clip),
    }


def _quantizing(spec: TensorSpec) -> dict[str, object]:
    if spec.scale is None:
        return {"quantizes": 0, "step": "1.0f", "zero_point": 0, "lowest": 0, "highest": 0}
    ends = np.iinfo(spec.dtype)
    return {
        "quantizes": 1,
        "step": c_float(spec.scale),
        "zero_point": spec.zero_point,
        "lowest": ends.min,
        "highest": ends.max,
    }


def _output(shipment: Shipment) -> dict[str, object]:
    spec = shipment.outputs[0]
    real = "(float)output[i]"
    if spec.scale is not None:
        real = f"({real} - {c_float(spec.zero_point)}) * {c_float(spec.scale)}"
    return {
        "output_type": c_type(spec.dtype, "the model's output"),
        "output_length": math.prod(spec.shape),
        "dequantized": real,
        "scores": manifest(shipment)["scores"],
    }


def _test(shipment: Shipment, found: Vectors) -> dict[str, object]:
    outputs: Any = found.outputs
    largest = float(np.abs(outputs).max()) if outputs.dtype.kind == "f" else 0.0
    quantized = shipment.inputs[0].scale is not None
    return {
        "vector_count": len(found.raw),
        "tolerance": c_float(max(largest, 1.0) * FLOAT_TOLERANCE if outputs.dtype.kind == "f" else 1),
        "test_raw": c_rows(found.raw),
        "has_inputs": int(quantized),
        "test_inputs": c_rows(found.inputs) if quantized else "",
        "test_outputs": c_rows(outputs),
    }
