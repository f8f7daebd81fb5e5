"""The firmware folder: it compiles, does to a sample what `infer.py` does, and checks the model on a device.

TensorFlow Lite Micro's own headers are not here: `main.cc` is compiled against stubs of them, which play
back what the model is to have given.
"""

import ctypes
import hashlib
import importlib.util
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert.schema_py_generated import BuiltinOperator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hardware_profiles import micro
from hardware_profiles.anchor import anchor_path
from hardware_profiles.graph import read_graph
from hardware_profiles.micro import Arena, MicroRunner
from hardware_profiles.micro_ops import OPS
from objectives.flatbuffer import pack, schema, unpack
from objectives.frontend import with_normaliser
from objectives.normalise import Normaliser
from search.errors import StudyError
from search.export import FILES as EXPORTED
from search.export import check_target, export
from search.firmware.c_source import c_float, c_string, c_type
from search.firmware.folder import FILES, firmware_files, rendered, wants_firmware
from search.firmware.operators import ADD_METHODS, add_methods
from search.firmware.vectors import LARGEST_VECTORS_BYTES, VECTORS, Vectors, encoded, few, vectors
from search.shipment import HeldOut, Shipment, manifest, tensor_specs

Array = npt.NDArray[Any]
MakeShipment = Callable[..., Shipment]

needs_micro = pytest.mark.skipif(
    importlib.util.find_spec("tflite_micro") is None,
    reason="this machine has no tflite-micro: it exists for x86-64 alone",
)
needs_gcc = pytest.mark.needs_system_package("gcc", "gcc")
needs_gxx = pytest.mark.needs_system_package("g++", "g++")
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-O2")
MEASURED = Arena(total_bytes=1000, head_bytes=200, tail_bytes=800, least_bytes=1008)
GENERATOR = np.random.default_rng(5)

STUBS = {
    "c/common.h": """
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
""",
    "micro/micro_mutable_op_resolver.h": """
#include <cstdio>
#include "tensorflow/lite/c/common.h"
namespace tflite {
class MicroOpResolver {};
template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
METHODS
  unsigned int room() const { return tOpCount - used_; }

 private:
  TfLiteStatus Add(const char* name) {
    if (used_ == tOpCount) return kTfLiteError;
    ++used_;
    std::printf("%s\\n", name);
    return kTfLiteOk;
  }
  unsigned int used_ = 0;
};
}
""".replace(
        "METHODS", "\n".join(f'  TfLiteStatus {n}() {{ return Add("{n}"); }}' for n in ADD_METHODS.values())
    ),
    "schema/schema_generated.h": """
#include <cstdlib>
namespace tflite {
struct Model {
  unsigned int version() const { return std::getenv("STUB_SCHEMA") ? 9 : 3; }
};
inline const Model* GetModel(const void* data) { return static_cast<const Model*>(data); }
}
""",
    "micro/micro_interpreter.h": """
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
namespace tflite {
class MicroInterpreter {
 public:
  MicroInterpreter(const Model*, const MicroOpResolver&, std::uint8_t* arena, std::size_t bytes)
      : arena_(arena), bytes_(bytes), file_(std::fopen(std::getenv("STUB_OUTPUTS"), "rb")) {}
  TfLiteStatus AllocateTensors() { return std::getenv("STUB_NO_ROOM") ? kTfLiteError : kTfLiteOk; }
  TfLiteStatus Invoke() {
    const std::size_t read = std::fread(output_, 1, sizeof output_, file_);
    return read == sizeof output_ ? kTfLiteOk : kTfLiteError;
  }
  template <class T>
  T* typed_input_tensor(int) { return reinterpret_cast<T*>(arena_); }
  template <class T>
  T* typed_output_tensor(int) { return reinterpret_cast<T*>(output_); }
  std::size_t arena_used_bytes() const { return bytes_ - 8; }

 private:
  std::uint8_t* arena_;
  std::size_t bytes_;
  std::FILE* file_;
  alignas(16) std::uint8_t output_[STUB_OUTPUT_BYTES] = {};
};
}
""",
    "micro/micro_log.h": """
#include <cstdarg>
#include <cstdio>
__attribute__((format(printf, 1, 2))) inline void MicroPrintf(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::puts("");
}
""",
    "micro/system_setup.h": """
namespace tflite {
inline void InitializeTarget() {}
}
""",
}


def infer_script() -> Any:
    path = Path(__file__).parents[2] / "search" / "templates" / "infer.py"
    spec = importlib.util.spec_from_file_location("infer_beside_firmware", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


INFER = infer_script()


# --- models and shipments -----------------------------------------------------------------------


def dense(shape: tuple[int, ...], outputs: int, step: float | None = None, zero: int = 0, kind: str = "INT8"):
    """Write a layer from samples of a shape to some outputs: float, or quantized where a step is given."""
    fb, inputs = schema(), int(np.prod(shape))
    weights = np.random.default_rng(2).normal(0, 0.3, (outputs, inputs))
    model, graph = fb.ModelT(), fb.SubGraphT()
    model.version, model.buffers, graph.tensors = 3, [fb.BufferT()], []

    def tensor(
        name: str, its: tuple[int, ...], its_kind: str, scale: float | None, at: int, data: Any = None
    ):
        made = fb.TensorT()
        made.name, made.shape, made.buffer = name, list(its), 0
        made.type = getattr(fb.TensorType, its_kind)
        if scale:
            made.quantization = fb.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [at]
        if data is not None:
            buffer = fb.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)

    if step is None:
        tensor("input", (1, *shape), "FLOAT32", None, 0)
        tensor("w", (outputs, inputs), "FLOAT32", None, 0, weights.astype(np.float32))
        tensor("logits", (1, outputs), "FLOAT32", None, 0)
    else:
        tensor("input", (1, *shape), kind, step, zero)
        tensor(
            "w", (outputs, inputs), "INT8", 0.01, 0, np.clip(np.round(weights * 100), -127, 127).astype("i1")
        )
        tensor("logits", (1, outputs), kind, 0.25, zero and 5)
    operator, code = fb.OperatorT(), fb.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = fb.BuiltinOperator.FULLY_CONNECTED
    code.version = 1 if step is None else 4
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1, -1], [2]
    operator.builtinOptionsType = fb.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = fb.FullyConnectedOptionsT()
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [2]
    model.operatorCodes, model.subgraphs = [code], [graph]
    return pack(model)


@pytest.fixture
def make_shipment(make_trial: Any, make_study: Any) -> MakeShipment:
    """Make a shipment of a file for some data: `x` are samples to fit the normaliser on."""

    def make(
        tflite: bytes,
        x: Array,
        kind: str,
        normaliser: Normaliser | None = None,
        used: tuple[int, ...] | None = None,
        **data: Any,
    ) -> Shipment:
        trial = make_trial(4, 0.9, 0.02, len(tflite))
        if used is not None:
            seen = trial.outcome.evidence.model_copy(update={"inputs_used": used})
            trial = trial.model_copy(update={"outcome": trial.outcome.model_copy(update={"evidence": seen})})
        inputs, outputs = tensor_specs(tflite)
        known = {
            "name": "some data", "kind": kind, "input_shape": x.shape[1:], "dtype": x.dtype.name,
            "classes": tuple(map(str, range(outputs[0].shape[-1]))), "columns": None,
        }  # fmt: skip
        return Shipment(
            study=make_study([trial], data=known | data),
            record=trial,
            tflite=tflite,
            inputs=inputs,
            outputs=outputs,
            normaliser=normaliser or Normaliser.fit(x, kind),
            held_out=HeldOut(value=0.9, low=0.8, high=0.95, samples=100),
            sample=x[0],
        )

    return make


def wine() -> tuple[Array, str]:
    from sklearn.datasets import load_wine

    return load_wine().data.astype(np.float32), "table"


def digits() -> tuple[Array, str]:
    from sklearn.datasets import load_digits

    return (load_digits().images * 15).astype(np.uint8)[..., None], "image"


def series() -> tuple[Array, str]:
    steps = GENERATOR.normal(0, [0.01, 1, 300], (300, 40, 1, 3)).cumsum(axis=1)
    return (steps + np.array([5, 0, -1e4])).astype(np.float32), "series"


@pytest.fixture
def table(make_shipment: MakeShipment) -> Shipment:
    """A table with a text, a truth and two numbers, and names that C would stumble over."""
    x = np.array([[1, 0, 1, 2.5], [2, 1, 0, 3.5], [0.5, 2, 1, -4]], np.float32)
    columns = (
        {"name": 'ma"ss\\'},
        {"name": "kind", "categories": ("ash??/", "öl*/", 'say "oak"', "two\nlines")},
        {"name": "wet", "categories": ("False", "True")},
        {"name": "%s%n\t/*"},
    )
    return make_shipment(
        dense((4,), 3, 12 / 255, -3), x, "table", columns=columns, classes=("a", 'b"; //', "ü ??= \\")
    )


def made_up(shipment: Shipment, samples: Array) -> Vectors:
    """Return a self-test without running anything."""
    spec = shipment.outputs[0]
    outputs = GENERATOR.integers(-100, 100, (len(samples), *spec.shape[1:])).astype(spec.dtype)
    return Vectors(samples, encoded(shipment, samples), outputs, MEASURED)


# --- compiling and calling ----------------------------------------------------------------------


def write(files: dict[str, bytes], folder: Path) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / "firmware"


def compiler(*arguments: str | Path) -> None:
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def library(folder: Path, *sources: str) -> ctypes.CDLL:
    """Compile C sources of a folder into a library and load it."""
    target = folder / "lib.so"
    compiler("gcc", "-std=c99", *STRICT, "-shared", "-fPIC", "-o", target, *(folder / s for s in sources))
    return ctypes.CDLL(str(target))


def prepared(lib: ctypes.CDLL, samples: Array, spec: Any) -> Array:
    """Return what the compiled code makes of samples, one call each."""
    results = np.zeros((len(samples), *spec.shape[1:]), spec.dtype)
    for sample, result in zip(np.ascontiguousarray(samples), results, strict=True):
        assert lib.model_preprocess(sample.ctypes, result.ctypes) == 0
    return results


def program(folder: Path, shipment: Shipment) -> Path:
    """Compile the whole folder, with the stubs, into a program."""
    for name, text in STUBS.items():
        path = folder / "stubs" / "tensorflow" / "lite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#pragma once\n{text}")
    spec = shipment.outputs[0]
    size = np.dtype(spec.dtype).itemsize * int(np.prod(spec.shape))
    for source in ("preprocess.c", "postprocess.c"):
        compiler("gcc", "-std=c99", *STRICT, "-c", "-o", folder / f"{source}.o", folder / source)
    compiler(
        "g++", "-std=c++17", *STRICT, f"-DSTUB_OUTPUT_BYTES={size}", "-isystem", folder / "stubs", "-o",
        folder / "program", folder / "main.cc", folder / "model_data.cc",
        folder / "preprocess.c.o", folder / "postprocess.c.o",
    )  # fmt: skip
    return folder / "program"


def run(binary: Path, outputs: Array, **environment: str) -> tuple[int, str]:
    played = binary.with_name("outputs.bin")
    played.write_bytes(outputs.tobytes())
    known = {**os.environ, "STUB_OUTPUTS": str(played), **environment}
    done = subprocess.run([binary], capture_output=True, text=True, check=False, env=known)
    return done.returncode, done.stdout


# --- before the model: the same as infer.py, to the last bit ------------------------------------


@needs_gcc
@pytest.mark.parametrize("data", [wine, digits, series])
@pytest.mark.parametrize("step", [None, 0.1, 12 / 255, 0.0234375, 0.007])
def test_samples_become_what_infer_makes_of_them(
    data: Any, step: float | None, make_shipment: MakeShipment, tmp_path: Path
) -> None:
    x, kind = data()
    tflite = dense(x.shape[1:], 3, step, -3)
    half = len(x) // 2
    shipment = make_shipment(tflite, x[:half], kind)
    if step is None:
        shipment = replace(shipment, tflite=with_normaliser(tflite, shipment.normaliser))
    folder = write(rendered(shipment, made_up(shipment, x[:2])), tmp_path)
    spec, test = shipment.inputs[0], x[half:].copy()
    if test.dtype == np.float32:
        test[::7] *= -50  # outliers, which are clipped
        test[1::7] *= 50
    expected = INFER.encode(INFER.as_batch(test, spec.shape[1:]), manifest(shipment))
    seen = prepared(library(folder, "preprocess.c"), test, spec)
    assert seen.dtype == expected.dtype
    assert len(np.unique(seen)) > 5
    np.testing.assert_array_equal(seen, expected)


WIDE = 6


@pytest.fixture(scope="module", params=["INT8", "INT16"])
def rounding(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Compiled code that quantizes with a step of a half, so that halves are common, and what it goes by."""
    from string import Template

    folder, dtype = tmp_path_factory.mktemp("rounding"), request.param.lower()
    zero = -3 if dtype == "int8" else 0
    values = {
        "raw_type": "float", "input_type": c_type(dtype, "x"), "input_length": WIDE, "columns": WIDE,
        "shape": (WIDE,), "preprocessing": "-", "raw_is_float": 1, "normalises": 0, "clips": 0, "offset": "",
        "scale": "", "clip": "0.0f", "quantizes": 1, "step": "0.5f", "zero_point": zero,
        "lowest": np.iinfo(dtype).min, "highest": np.iinfo(dtype).max, "column_declarations": "",
        "column_definitions": "",
    }  # fmt: skip
    templates = Path(__file__).parents[2] / "search" / "templates" / "firmware"
    for name in ("preprocess.h", "preprocess.c"):
        (folder / name).write_text(Template((templates / name).read_text()).substitute(values))
    about = {
        "normalisation": {"applied_by": "model"},
        "inputs": [{"dtype": dtype, "scale": 0.5, "zero_point": zero}],
    }
    return library(folder, "preprocess.c"), about


@needs_gcc
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    x=arrays(
        np.float32,
        (1, WIDE),
        elements=st.one_of(
            st.floats(width=32, allow_nan=False, allow_infinity=False),
            st.integers(-70_000, 70_000).map(lambda n: n / 4),
        ),
    )
)
def test_halves_and_numbers_out_of_range_are_rounded_as_numpy_does(rounding: Any, x: Array) -> None:
    lib, about = rounding
    result = np.zeros((1, WIDE), about["inputs"][0]["dtype"])
    assert lib.model_preprocess(x.ctypes, result.ctypes) == 0
    with np.errstate(over="ignore"):
        expected = INFER.encode(x, about)
    np.testing.assert_array_equal(result, expected)


@needs_gcc
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_finite_number_is_found(table: Shipment, tmp_path: Path, wrong: float) -> None:
    lib = library(write(rendered(table, made_up(table, table.sample[None])), tmp_path), "preprocess.c")
    sample, result = np.array([1, 0, wrong, 2], np.float32), np.zeros(4, np.int8)
    assert lib.model_preprocess(sample.ctypes, result.ctypes) == 3


@needs_gcc
def test_a_model_brought_with_int8_input_is_quantized_and_not_normalised(
    make_shipment: MakeShipment, tmp_path: Path
) -> None:
    x, kind = wine()
    shipment = replace(make_shipment(dense((13,), 3, 0.5, -3), x, kind), normaliser=None)
    folder = write(rendered(shipment, made_up(shipment, x[:2])), tmp_path)
    seen = prepared(library(folder, "preprocess.c"), x, shipment.inputs[0])
    np.testing.assert_array_equal(seen, np.clip(np.round(x / np.float32(0.5)) - 3, -128, 127))


# --- columns, categories, labels ----------------------------------------------------------------


def texts_of(lib: ctypes.CDLL, name: str, count: int) -> list[str]:
    return [bytes(text).decode() for text in (ctypes.c_char_p * count).in_dll(lib, name)]


@needs_gcc
def test_categories_have_the_numbers_that_infer_gives_them(table: Shipment, tmp_path: Path) -> None:
    lib = library(write(rendered(table, made_up(table, table.sample[None])), tmp_path), "preprocess.c")
    columns = manifest(table)["columns"]
    assert texts_of(lib, "model_column_names", 4) == [column["name"] for column in columns]
    asked = [*columns[1]["categories"], "True", "true", "FALSE", "tRUE", "fals", "Ash??/", "", "no such"]
    for place, column in enumerate(columns[1:3], 1):
        for text in asked:
            try:
                number = INFER._cell(text, column, 1)
            except INFER.InputError:
                number = -1
            assert lib.model_category(place, text.encode()) == number, (column, text)
    assert {lib.model_category(place, b"True") for place in (-1, 0, 3, 4)} == {-1}


@needs_gcc
def test_columns_that_the_model_does_not_look_at_are_told(
    make_shipment: MakeShipment, tmp_path: Path
) -> None:
    x, kind = series()
    shipment = make_shipment(dense(x.shape[1:], 3, 0.05), x, kind, used=(0, 2))
    lib = library(write(rendered(shipment, made_up(shipment, x[:1])), tmp_path), "preprocess.c")
    assert list((ctypes.c_ubyte * 3).in_dll(lib, "model_column_needed")) == [1, 0, 1]
    assert texts_of(lib, "model_column_names", 3) == ["channel 0", "channel 1", "channel 2"]


@needs_gcc
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1, max_size=80))
def test_any_text_survives_as_a_string(tmp_path: Path, texts: list[str]) -> None:
    awkward = ["??/", '"', "\\", "\\n", "*/", "//", "\x071", "%s", "é1", "\r\n", "🦉"]
    everything = texts + awkward
    literals = ",\n".join(map(c_string, everything))
    source = tmp_path / f"t{hashlib.sha256(literals.encode()).hexdigest()[:8]}.c"
    source.write_text(f"const char *const texts[] = {{\n{literals}\n}};\n", encoding="ascii")
    compiler("gcc", "-std=c99", *STRICT, "-Wno-overlength-strings", "-shared", "-o", f"{source}.so", source)
    assert texts_of(ctypes.CDLL(f"{source}.so"), "texts", len(everything)) == everything


def test_a_text_with_a_nul_is_refused() -> None:
    with pytest.raises(StudyError, match=r"cannot hold the character NUL, got 'a\\x00b'"):
        c_string("a\0b")


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_numbers_read_back_the_same(value: float) -> None:
    text = c_float(value)
    assert text.endswith("f")
    assert "." in text
    assert np.float32(text[:-1]) == np.float32(value)


def test_what_c_has_no_place_for_is_refused() -> None:
    with pytest.raises(StudyError, match="finite float32, got inf"):
        c_float(np.inf)
    with pytest.raises(StudyError, match="a raw sample is float64"):
        c_type("float64", "a raw sample")


# --- after the model ----------------------------------------------------------------------------


@needs_gcc
@pytest.mark.parametrize("step", [None, 0.05])
def test_scores_are_what_infer_decodes(
    step: float | None, make_shipment: MakeShipment, tmp_path: Path
) -> None:
    x, kind = wine()
    shipment = make_shipment(dense((13,), 10, step, -3), x, kind)
    lib = library(write(rendered(shipment, made_up(shipment, x[:1])), tmp_path), "postprocess.c")
    spec, scores = manifest(shipment)["outputs"][0], np.zeros(10, np.float32)
    for _ in range(50):
        raw = GENERATOR.integers(-128, 128, 10).astype(spec["dtype"])
        raw[GENERATOR.integers(0, 10, 3)] = raw.max()
        lib.model_scores(raw.ctypes, scores.ctypes)
        np.testing.assert_array_equal(scores, INFER.decode(raw, spec))
        assert lib.model_argmax(scores.ctypes) == scores.argmax()


# --- the whole folder ---------------------------------------------------------------------------


@needs_gcc
@needs_gxx
@pytest.mark.parametrize("step", [None, 0.05])
@pytest.mark.parametrize("data", [wine, digits])
def test_the_self_test_passes_where_the_device_gives_what_the_host_gave(
    data: Any, step: float | None, make_shipment: MakeShipment, tmp_path: Path
) -> None:
    x, kind = data()
    shipment = make_shipment(dense(x.shape[1:], 10, step, -3), x, kind)
    found = made_up(shipment, few(x))
    binary = program(write(rendered(shipment, found), tmp_path), shipment)
    status, told = run(binary, found.outputs)
    assert status == 0, told
    assert "arena: 1000 of 1008 bytes in use" in told
    assert told.count("identical (0 of 10 values differ)") == VECTORS
    assert told.endswith("self-test passed: 8 of 8\n")
    best = INFER.decode(found.outputs[3], manifest(shipment)["outputs"][0]).argmax()
    assert f"vector 3: identical (0 of 10 values differ): {best}\n" in told


@needs_gcc
@needs_gxx
def test_the_self_test_tells_what_is_wrong(make_shipment: MakeShipment, tmp_path: Path) -> None:
    x, kind = digits()
    shipment = make_shipment(dense(x.shape[1:], 10, 0.05, -3), x, kind)
    found = made_up(shipment, few(x))
    folder = write(rendered(shipment, found), tmp_path)
    binary = program(folder, shipment)
    near, far = found.outputs.copy(), found.outputs.copy()
    near[2, 4] += 1
    far[2, 4] += 2
    assert run(binary, near)[0] == 0
    assert "vector 2: fits (1 of 10 values differ)" in run(binary, near)[1]
    status, told = run(binary, far)
    assert status == 1
    assert "vector 2: DIFFERS (1 of 10 values differ)" in told
    assert told.endswith("self-test FAILED: 1 of 8\n")
    assert "vector 7: the model cannot be run" in run(binary, found.outputs[:7])[1]
    assert "arena of 1008 bytes does not do: raise kScratchBytes" in run(binary, far, STUB_NO_ROOM="1")[1]
    assert "has schema 9, but 3 is needed" in run(binary, far, STUB_SCHEMA="1")[1]
    vectors_h = folder / "test_vectors.h"
    head, inputs = vectors_h.read_text().split("kTestInput[TEST_VECTORS][MODEL_INPUT_LENGTH] = {\n  {\n", 1)
    changed = str(-int(inputs.split(",", 1)[0]))
    vectors_h.write_text(
        f"{head}kTestInput[TEST_VECTORS][MODEL_INPUT_LENGTH] = {{\n  {{\n {changed},{inputs.split(',', 1)[1]}"
    )
    told = run(program(folder, shipment), found.outputs)[1]
    assert "vector 0: 1 values of the input DIFFER from the host's" in told


@needs_gcc
@needs_gxx
def test_float_outputs_may_differ_in_their_last_digits_and_nan_is_wrong(
    make_shipment: MakeShipment, tmp_path: Path
) -> None:
    x, kind = wine()
    shipment = make_shipment(dense((13,), 3), x, kind)
    found = made_up(shipment, few(x))
    binary = program(write(rendered(shipment, found), tmp_path), shipment)
    assert "vector 0: fits" in run(binary, found.outputs + np.float32(1e-5))[1]
    assert run(binary, found.outputs + np.float32(0.1))[0] == 1
    assert run(binary, np.full_like(found.outputs, np.nan))[0] == 1


@needs_gcc
@needs_gxx
def test_awkward_names_compile(table: Shipment, tmp_path: Path) -> None:
    found = made_up(table, table.sample[None])
    status, told = run(program(write(rendered(table, found), tmp_path), table), found.outputs)
    best = INFER.decode(found.outputs[0], manifest(table)["outputs"][0]).argmax()
    assert status == 0
    assert f"values differ): {table.study.data.classes[best]}\n" in told


@needs_gcc
@needs_gxx
def test_outputs_that_are_no_classes_have_no_labels(make_shipment: MakeShipment, tmp_path: Path) -> None:
    x, kind = wine()
    shipment = make_shipment(dense((13,), 2), x, kind, classes=(), target_shape=(2,))
    found = made_up(shipment, x[:3])
    folder = write(rendered(shipment, found), tmp_path)
    assert "model_labels" not in (folder / "labels.h").read_text()
    assert run(program(folder, shipment), found.outputs)[1].endswith("self-test passed: 3 of 3\n")


@needs_gcc
@needs_gxx
def test_exactly_the_operators_that_are_used_are_registered(
    make_shipment: MakeShipment, tmp_path: Path
) -> None:
    x = GENERATOR.integers(0, 256, (20, 28, 28, 3)).astype(np.uint8)
    shipment = make_shipment(anchor_path().read_bytes(), x, "image")
    found = made_up(shipment, x[:1])
    folder = write(rendered(shipment, found), tmp_path)
    told = run(program(folder, shipment), found.outputs)[1].splitlines()
    assert told[:4] == ["AddConv2D", "AddDepthwiseConv2D", "AddFullyConnected", "AddMean"]
    check = '#include "op_resolver.h"\nstatic_assert(kOpCount == 4, "");\n'
    room = "int main() { ModelOpResolver r; return AddModelOps(r) != kTfLiteOk || r.room() != 0; }\n"
    (folder / "check.cc").write_text(check + room)
    flags = ("-std=c++17", *STRICT, "-isystem", folder / "stubs", "-o", folder / "check")
    compiler("g++", *flags, folder / "check.cc")
    assert subprocess.run([folder / "check"], check=False, stdout=subprocess.DEVNULL).returncode == 0


@needs_gxx
def test_the_model_is_stored_whole_and_aligned(table: Shipment, tmp_path: Path) -> None:
    folder = write(rendered(table, made_up(table, table.sample[None])), tmp_path)
    compiler(
        "g++", "-std=c++17", *STRICT, "-shared", "-fPIC", "-o", folder / "m.so", folder / "model_data.cc"
    )
    lib = ctypes.CDLL(str(folder / "m.so"))
    stored = (ctypes.c_ubyte * len(table.tflite)).in_dll(lib, "g_model_data")
    assert bytes(stored) == table.tflite
    assert ctypes.addressof(stored) % 16 == 0
    assert ctypes.c_uint.in_dll(lib, "g_model_data_length").value == len(table.tflite)


# --- operators ----------------------------------------------------------------------------------


def test_the_methods_are_those_of_operators_that_exist() -> None:
    assert set(ADD_METHODS) <= set(vars(BuiltinOperator))
    assert set(ADD_METHODS) >= OPS
    assert len(set(ADD_METHODS.values())) == len(ADD_METHODS)
    for name, method in ADD_METHODS.items():
        assert method.lower() == "add" + name.replace("_", "").lower()


def test_an_operator_without_a_method_is_refused_by_name() -> None:
    model = unpack(dense((4,), 3))
    for code, custom, name in (
        (BuiltinOperator.WHERE, None, "WHERE"),
        (BuiltinOperator.CUSTOM, "FlexErf", "FlexErf"),
    ):
        model.operatorCodes[0].builtinCode, model.operatorCodes[0].customCode = code, custom
        model.operatorCodes[0].deprecatedBuiltinCode = min(code, 127)
        with pytest.raises(StudyError, match=f"has no operator {name}, so"):
            add_methods(read_graph(pack(model)))


# --- samples and TensorFlow Lite Micro ----------------------------------------------------------


def test_a_few_samples_from_all_over_and_fewer_of_large_ones() -> None:
    x = np.arange(100, dtype=np.uint8)[:, None]
    assert few(x)[:, 0].tolist() == [0, 14, 28, 42, 56, 70, 84, 99]
    assert few(x[:3])[:, 0].tolist() == [0, 1, 2]
    assert len(few(np.zeros((20, LARGEST_VECTORS_BYTES // 3), np.uint8))) == 3
    assert len(few(np.zeros((20, 2 * LARGEST_VECTORS_BYTES), np.uint8))) == 1
    assert few(x[:0]).shape == (0, 1)


@needs_micro
@pytest.mark.parametrize("step", [None, 0.05])
def test_vectors_are_what_the_model_gives_in_the_smallest_arena(
    step: float | None, make_shipment: MakeShipment, tmp_path: Path
) -> None:
    x, kind = digits()
    shipment = make_shipment(dense(x.shape[1:], 10, step, -3), x, kind)
    if step is None:
        shipment = replace(shipment, tflite=with_normaliser(shipment.tflite, shipment.normaliser))
    found = vectors(shipment, few(x))
    model = tmp_path / "model.tflite"
    model.write_bytes(shipment.tflite)
    (expected,) = MicroRunner().compute(model, [encoded(shipment, few(x))])
    np.testing.assert_array_equal(found.outputs, expected)
    assert found.arena.least_bytes % 16 == 0
    header = rendered(shipment, found)["firmware/arena_bytes.h"].decode()
    assert f"kMeasuredArenaBytes = {found.arena.least_bytes};" in header
    assert "tflite-micro 0.dev" in header


def test_samples_that_do_not_fit_are_refused(table: Shipment) -> None:
    for wrong in (np.zeros((2, 5), np.float32), np.zeros((2, 4)), np.zeros((0, 4), np.float32)):
        with pytest.raises(StudyError, match=r"1 sample or more, float32 \(4,\) each, got"):
            vectors(table, wrong)
    with pytest.raises(StudyError, match="as many results"):
        Vectors(np.zeros(2), np.zeros(1), np.zeros(2), MEASURED)


def test_without_tflite_micro_there_is_no_firmware_and_the_reason_is_told(
    table: Shipment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(micro, "_SCRIPT", "raise ModuleNotFoundError(\"No module named 'tflite_micro'\")")
    with pytest.raises(
        StudyError, match=r"no firmware for trial 4: tflite-micro is not installed: pip install"
    ):
        firmware_files(table, table.sample[None])


@needs_micro
def test_a_model_that_does_not_run_there_makes_no_firmware(table: Shipment) -> None:
    model = unpack(table.tflite)
    model.operatorCodes[0].builtinCode = BuiltinOperator.WHERE
    with pytest.raises(StudyError, match=r"does not run it: .*WHERE"):
        firmware_files(replace(table, tflite=pack(model)), table.sample[None])


# --- in an export -------------------------------------------------------------------------------


@needs_micro
def test_an_export_holds_the_firmware_and_is_replaced_with_it(table: Shipment, tmp_path: Path) -> None:
    files = firmware_files(table, np.stack([table.sample] * 3))
    assert set(files) == {f"firmware/{name}" for name in FILES}
    folder = export(table, tmp_path / "out", files)
    assert {path.name for path in folder.iterdir()} == {*EXPORTED, "firmware"}
    assert {path.name for path in (folder / "firmware").iterdir()} == set(FILES)
    readme = (folder / "firmware" / "README.md").read_text()
    assert "`test_vectors.h` | 3 samples" in readme
    export(table, folder, files)
    export(table, folder)
    assert {path.name for path in folder.iterdir()} == set(EXPORTED)


def test_own_files_beside_the_firmware_are_never_lost(table: Shipment, tmp_path: Path) -> None:
    folder = export(table, tmp_path / "out", {"firmware/main.cc": b"// generated"})
    check_target(folder)
    (folder / "firmware" / "mine.c").write_text("// mine")
    with pytest.raises(StudyError, match=r"it holds 'firmware/mine\.c'"):
        export(table, folder)
    assert (folder / "firmware" / "mine.c").read_text() == "// mine"


def test_microcontrollers_have_firmware_and_others_do_not(profile: Any) -> None:
    assert not wants_firmware(profile)
    runtime = profile.runtime.model_copy(update={"name": "tflite-micro"})
    assert wants_firmware(profile.model_copy(update={"runtime": runtime}))


def test_no_placeholder_is_left_and_every_file_is_ascii_but_the_readme(table: Shipment) -> None:
    files = rendered(table, made_up(table, table.sample[None]))
    for name, data in files.items():
        assert b"$" not in data, name
        if not name.endswith(".md"):
            data.decode("ascii")
