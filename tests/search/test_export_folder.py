"""The exported folder: what it holds, and that its script, run alone, gives what the model gives."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from hardware_profiles.measurement import Source
from objectives.flatbuffer import pack, schema
from objectives.frontend import with_normaliser
from objectives.normalise import Normaliser
from search.card import _ranked, model_card
from search.errors import StudyError
from search.export import FILES, check_target, contents, export
from search.plan import StudyPlan
from search.shipment import HeldOut, Shipment, TensorSpec, manifest, tensor_specs
from search.trial import StudyRecord, TrialRecord
from spaces.value import digest

Array = npt.NDArray[Any]
MakeTrial = Callable[..., TrialRecord]
MakeStudy = Callable[..., StudyRecord]
MakeShipment = Callable[..., Shipment]
Tensor = tuple[str, list[int], str, Array | None, tuple[float, int] | None]


def floats(values: list[Any]) -> Array:
    """Return float32 numbers as a sensor's driver would."""
    return np.array(values, np.float32)


GENERATOR = np.random.default_rng(7)
WEIGHTS = GENERATOR.uniform(-1, 1, (3, 4)).astype(np.float32)
BIAS = floats([0.1, -0.2, 0.3])
NORMALISER = Normaliser(offset=(10, 0, -1, 500), scale=(0.5, 1, 4, 0.01), clip=6)
INPUT_STEP, OUTPUT_STEP, WEIGHT_STEP, INPUT_ZERO, OUTPUT_ZERO = 12 / 255, 0.25, 1 / 127, -3, 5
COLUMNS = (
    {"name": "mass"}, {"name": "kind", "categories": ("ash", "oak", "elm")},
    {"name": "wet", "categories": ("False", "True")}, {"name": "height"},
)  # fmt: skip
CLASSES = ("small", "*tall* | <b>", "odd")
SAMPLE = floats([11.0, 2.0, 1.0, 450.0])


def _model(tensors: Sequence[Tensor]) -> bytes:
    """Write a `.tflite` of one fully connected layer: input, weights, bias, output."""
    fb = schema()
    model, graph = fb.ModelT(), fb.SubGraphT()
    model.version, model.buffers, graph.tensors = 3, [fb.BufferT()], []
    for name, shape, kind, data, quantized in tensors:
        tensor = fb.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, getattr(fb.TensorType, kind), 0
        if data is not None:
            buffer = fb.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        if quantized:
            tensor.quantization = fb.QuantizationParametersT()
            tensor.quantization.scale = [quantized[0]]
            tensor.quantization.zeroPoint = [quantized[1]]
        graph.tensors.append(tensor)
    operator, code = fb.OperatorT(), fb.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = fb.BuiltinOperator.FULLY_CONNECTED
    code.version = 4 if tensors[0][2] == "INT8" else 1
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1, 2], [3]
    operator.builtinOptionsType = fb.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = fb.FullyConnectedOptionsT()
    graph.operators, graph.inputs, graph.outputs = [operator], [0], [3]
    model.operatorCodes, model.subgraphs = [code], [graph]
    return pack(model)


def float_model() -> bytes:
    tensors: list[Tensor] = [
        ("input", [1, 4], "FLOAT32", None, None), ("w", [3, 4], "FLOAT32", WEIGHTS, None),
        ("b", [3], "FLOAT32", BIAS, None), ("logits", [1, 3], "FLOAT32", None, None),
    ]  # fmt: skip
    return with_normaliser(_model(tensors), NORMALISER)


def int8_model() -> bytes:
    weights = np.round(WEIGHTS / WEIGHT_STEP).astype(np.int8)
    bias = np.round(BIAS / (INPUT_STEP * WEIGHT_STEP)).astype(np.int32)
    return _model(
        [
            ("input", [1, 4], "INT8", None, (INPUT_STEP, INPUT_ZERO)),
            ("w", [3, 4], "INT8", weights, (WEIGHT_STEP, 0)),
            ("b", [3], "INT32", bias, (INPUT_STEP * WEIGHT_STEP, 0)),
            ("logits", [1, 3], "INT8", None, (OUTPUT_STEP, OUTPUT_ZERO)),
        ]
    )


def expected_logits(x: Array) -> Array:
    """Compute the layer in plain numpy."""
    result: Array = NORMALISER.apply(x) @ WEIGHTS.T + BIAS
    return result


def expected_probabilities(x: Array) -> Array:
    powers = np.exp(expected_logits(x))
    result: Array = powers / powers.sum(axis=1, keepdims=True)
    return result


@pytest.fixture
def make_shipment(make_trial: MakeTrial, make_study: MakeStudy) -> MakeShipment:
    def make(tflite: bytes | None = None, *, data: dict[str, Any] | None = None, **plan: Any) -> Shipment:
        file = tflite or float_model()
        trial = make_trial(4, 0.93, 0.02, len(file), compressed_bytes=300, sparsity_reached=0.5)
        known = {
            "name": "trees", "kind": "table", "input_shape": (4,), "dtype": "float32", "classes": CLASSES,
            "columns": COLUMNS, "sizes": (300, 100, 100),
        }  # fmt: skip
        inputs, outputs = tensor_specs(file)
        return Shipment(
            study=make_study([trial, make_trial(5, 0.5, 0.03, 400)], data=known | (data or {}), **plan),
            record=trial,
            tflite=file,
            inputs=inputs,
            outputs=outputs,
            normaliser=NORMALISER,
            held_out=HeldOut(value=0.91, low=0.85, high=0.95, samples=100),
            sample=SAMPLE,
            sample_class=CLASSES[1],
        )

    return make


@pytest.fixture
def folder(make_shipment: MakeShipment, tmp_path: Path) -> Path:
    return export(make_shipment(), tmp_path / "out")


def infer(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the folder's script in a process that sees neither this checkout nor this folder."""
    command = [sys.executable, "-I", str(folder / "infer.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=120, check=False)


def imported(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("infer", folder / "infer.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- the folder ---------------------------------------------------------------------------------


def test_the_folder_holds_its_files_and_nothing_else_is_left(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    assert (folder / "model.tflite").read_bytes() == float_model()
    assert os.access(folder / "infer.py", os.X_OK)


def test_the_plan_reads_back_equal(make_shipment: MakeShipment) -> None:
    shipment = make_shipment(
        limits={"latency_ms": "800us", "model_bytes": "64K"},
        ranges={"units": {"low": 4, "high": 64, "log": True}, "precision": ["int8"], "dropout": 0.1},
        data={"name": "trees: #1"},
        seed=3,
    )
    text = contents(shipment)["plan.yaml"].decode()
    read = StudyPlan.model_validate(yaml.safe_load(text))
    assert read == shipment.study.plan
    assert digest(read) == digest(shipment.study.plan)


def test_model_json_tells_everything(make_shipment: MakeShipment, folder: Path) -> None:
    about = json.loads((folder / "model.json").read_text())
    assert about == json.loads(json.dumps(manifest(make_shipment())))
    assert about["accuracy"]["test"] == {
        "value": 0.91,
        "low": 0.85,
        "high": 0.95,
        "samples": 100,
        "confidence": 0.95,
    }
    assert about["accuracy"]["validation"]["value"] == 0.93
    assert about["latency"]["latency_ms"] == 0.02 and about["latency"]["p90_ms"] == 0.04
    assert about["latency"]["provenance"] == "measured" and about["machine"] == "m-1"
    assert about["bytes"] == {"model_bytes": len(float_model()), "compressed_bytes": 300}
    assert about["inputs"] == [
        {"name": "input", "shape": [1, 4], "dtype": "float32", "scale": None, "zero_point": None}
    ]
    assert about["normalisation"]["applied_by"] == "model"
    assert about["normalisation"]["offset"] == [10, 0, -1, 500] and about["normalisation"]["clip"] == 6
    assert about["columns"][1] == {"name": "kind", "categories": ["ash", "oak", "elm"]}
    assert about["classes"] == list(CLASSES) and about["data"]["digest"] == "d" * 16
    assert (about["study"], about["trial"], about["task"]) == ("try-1", 4, "classification")
    assert about["seeds"] == {"study": 0, "split": 0} and about["versions"]["edgesearch"] == "0.1.0"
    assert about["parameters"]["candidate"]["compression"]["precision"] == "float32"


def test_the_card_tells_a_colleague(make_shipment: MakeShipment) -> None:
    card = model_card(make_shipment())
    for part in (
        "**0.9100** (95 % interval 0.8500 to 0.9500, 100 samples, looked at once",
        "**20.0 us**, measured (19.0 us to 22.0 us)",
        "machine `m-1`, with litert 2.3.0 and 1 thread",
        "300 B compressed",
        "1,234 parameters, float32",
        r"true class of `sample.npy` is \*tall\* \| &lt;b&gt;.",
        "over that of an anchor model",
        "50 % of them zero",
        "python infer.py",
        "edgesearch study plan.yaml",
    ):
        assert part in card
    assert "$" not in card


def test_the_card_says_what_the_ranked_figure_is() -> None:
    source = Source(provenance="measured", device="rp2040", runtime="tflite-micro")
    assert "an anchor model that ran in turn with it" in _ranked(source)
    alone = source.model_copy(update={"runtime": "tflite-micro (not anchored)"})
    assert "no anchor model ran beside it" in _ranked(alone)
    assert "no measurement" in _ranked(source.model_copy(update={"provenance": "emulated"}))


def test_the_card_shows_names_as_they_are(make_shipment: MakeShipment) -> None:
    card = model_card(make_shipment())
    assert r"\*tall\* \| &lt;b&gt;" in card
    assert "<b>" not in card
    assert "<script" not in model_card(
        make_shipment(data={"name": "x\n\n<script>|`", "classes": ("a", "$b", "c")})
    )


def test_a_class_name_of_two_lines_is_one_label(make_shipment: MakeShipment) -> None:
    shipment = make_shipment(data={"classes": ("a\nb", "c", "d")})
    assert contents(shipment)["labels.txt"].decode() == "a b\nc\nd\n"


def test_an_earlier_export_is_replaced(make_shipment: MakeShipment, folder: Path) -> None:
    (folder / "__pycache__").mkdir()
    export(make_shipment(int8_model()), folder)
    assert (folder / "model.tflite").read_bytes() == int8_model()
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_an_empty_folder_is_taken(make_shipment: MakeShipment, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert (export(make_shipment(), tmp_path / "empty") / "model.tflite").exists()


def test_what_is_not_ours_is_never_replaced(
    make_shipment: MakeShipment, folder: Path, tmp_path: Path
) -> None:
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(StudyError, match=r"it holds 'notes\.txt'"):
        export(make_shipment(), folder)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.json").write_text('{"format": "another"}')
    with pytest.raises(StudyError, match=r"its model\.json is not ours"):
        export(make_shipment(), tmp_path / "other")
    assert (folder / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]


def test_a_file_a_link_and_the_current_folder_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(folder)
    for name in ("out/infer.py", "link"):
        with pytest.raises(StudyError, match="names a folder"):
            check_target(tmp_path / name)
    monkeypatch.chdir(folder)
    for name in (".", ".."):
        with pytest.raises(StudyError, match="folder you are in"):
            check_target(Path(name).resolve())


def test_a_target_that_cannot_be_written_leaves_nothing(make_shipment: MakeShipment, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"cannot write to .*choose another --to"):
        export(make_shipment(), tmp_path / "file" / "out")


def test_a_failing_write_keeps_the_earlier_export(
    make_shipment: MakeShipment, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StudyError, match="No space left on device"):
        export(make_shipment(int8_model()), folder)
    assert (folder / "model.tflite").read_bytes() == float_model()
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


# --- parts that do not belong together ----------------------------------------------------------


def test_only_a_measured_trial_ships(make_shipment: MakeShipment, make_trial: MakeTrial) -> None:
    with pytest.raises(StudyError, match="trial 9 is failed"):
        replace(make_shipment(), record=make_trial(9, state="failed"))


def test_shapes_must_agree(make_shipment: MakeShipment) -> None:
    shipment = make_shipment()
    with pytest.raises(StudyError, match="samples have the shape"):
        replace(shipment, sample=np.zeros(5))
    with pytest.raises(StudyError, match="3 classes need as many scores"):
        replace(shipment, outputs=(TensorSpec(name="o", shape=(1, 2), dtype="float32"),))
    with pytest.raises(StudyError, match="one input and one output"):
        replace(shipment, outputs=())
    with pytest.raises(StudyError, match="a value per column or channel, 4, got 1"):
        replace(shipment, normaliser=Normaliser(offset=(0,), scale=(1,)))


def test_specs_are_read_from_the_file() -> None:
    inputs, outputs = tensor_specs(int8_model())
    assert inputs[0].zero_point == INPUT_ZERO and inputs[0].scale == pytest.approx(INPUT_STEP)
    assert outputs[0].model_dump() == {
        "name": "logits", "shape": (1, 3), "dtype": "int8", "scale": OUTPUT_STEP, "zero_point": OUTPUT_ZERO,
    }  # fmt: skip
    with pytest.raises(StudyError, match="LiteRT can load"):
        tensor_specs(b"no model")


def test_a_spec_and_an_interval_must_be_whole() -> None:
    with pytest.raises(ValueError, match="scale and zero point"):
        TensorSpec(name="x", shape=(1,), dtype="int8")
    with pytest.raises(ValueError, match="an interval holds its value"):
        HeldOut(value=0.5, low=0.6, high=0.7, samples=1)


# --- the script, run alone ----------------------------------------------------------------------


def test_the_script_classifies_the_sample_with_numpy_and_litert_alone(folder: Path) -> None:
    done = infer(folder)
    best = int(expected_logits(SAMPLE[None])[0].argmax())
    percent = 100 * expected_probabilities(SAMPLE[None])[0, best]
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"sample.npy: {CLASSES[best]} {percent:.1f} %, ")
    watch = "import sys, runpy; runpy.run_path(sys.argv[1]); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", watch, str(folder / "infer.py")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"edgesearch", "search", "objectives", "tensorflow", "pandas", "PIL", "pydantic"} & set(loaded)


def test_float_input_gives_what_numpy_gives(folder: Path) -> None:
    x = GENERATOR.uniform(-30, 600, (20, 4)).astype(np.float32)
    model = imported(folder).load()
    np.testing.assert_allclose(model.logits(x), expected_logits(x), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.predict(x), expected_probabilities(x), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(imported(folder).predict(x[0]).sum(), 1)


def test_int8_input_gives_what_numpy_gives_within_its_steps(
    make_shipment: MakeShipment, tmp_path: Path
) -> None:
    folder = export(make_shipment(int8_model()), tmp_path / "int8")
    assert json.loads((folder / "model.json").read_text())["normalisation"]["applied_by"] == "caller"
    x = np.concatenate([SAMPLE[None], GENERATOR.uniform(-30, 600, (20, 4)).astype(np.float32)])
    logits = imported(folder).load().logits(x)
    # half an output step, and per input half an input step (or the clipped end of the range) times its weight
    lost = np.abs(NORMALISER.apply(x) - (_steps(x) - INPUT_ZERO) * INPUT_STEP)
    allowed = OUTPUT_STEP / 2 + lost @ np.abs(WEIGHTS).T + 6 * 4 * WEIGHT_STEP
    assert (np.abs(logits - expected_logits(x)) <= allowed).all()
    assert np.unique(logits).size > 5
    assert infer(folder).returncode == 0


def _steps(x: Array) -> Array:
    result: Array = np.clip(np.round(NORMALISER.apply(x) / np.float32(INPUT_STEP)) + INPUT_ZERO, -128, 127)
    return result


@given(
    x=arrays(np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32)),
    step=st.floats(1e-3, 1.0),
    zero=st.integers(-128, 127),
)
def test_the_quantize_rule(x: Array, step: float, zero: int) -> None:
    about = {
        "normalisation": {"applied_by": "caller", **NORMALISER.model_dump(mode="json")},
        "inputs": [{"dtype": "int8", "scale": step, "zero_point": zero}],
    }
    coded = SCRIPT.encode(x, about)
    z = NORMALISER.apply(x)
    assert coded.dtype == np.int8
    back = (coded.astype(np.float64) - zero) * np.float32(step)
    low, high = (-128 - zero) * np.float32(step), (127 - zero) * np.float32(step)
    np.testing.assert_allclose(back, np.clip(z, low, high), atol=0.5001 * step + 1e-5)


SCRIPT = imported(Path(__file__).parents[2] / "search" / "templates")


@given(arrays(np.float32, (2, 5), elements=st.floats(-1e4, 1e4, width=32)))
def test_softmax_is_a_distribution_with_its_top_where_the_logits_have_theirs(logits: Array) -> None:
    rows = SCRIPT.softmax(logits)
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    assert (rows >= 0).all()
    likeliest = np.take_along_axis(rows, logits.argmax(axis=1)[:, None], axis=1)
    assert (likeliest[:, 0] == rows.max(axis=1)).all()


@pytest.mark.parametrize(
    ("given_shape", "sample", "batch"),
    [
        ((8, 8), (8, 8, 1), 1), ((5, 8, 8), (8, 8, 1), 5), ((1, 8, 8, 1), (8, 8, 1), 1),
        ((5, 50, 3), (50, 1, 3), 5),
        ((4,), (4,), 1), ((4, 4), (4,), 4), ((6,), (1,), 6), ((0, 4), (4,), 0),
    ],
)  # fmt: skip
def test_one_sample_or_many(given_shape: tuple[int, ...], sample: tuple[int, ...], batch: int) -> None:
    assert SCRIPT.as_batch(np.zeros(given_shape, np.uint8), sample).shape == (batch, *sample)


def test_a_table_is_read_by_names_and_categories(folder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("id,height,wet,kind,mass\na,450,TRUE,elm,11\nb,300,False,ash,9.5\n", encoding="utf-8-sig")
    done = infer(folder, str(rows), "--top", "1")
    best = expected_logits(floats([[11, 2, 1, 450], [9.5, 0, 0, 300]])).argmax(axis=1)
    assert [line.split(" ")[:2] for line in done.stdout.splitlines()] == [
        [f"rows.csv[{i}]:", CLASSES[c].split(" ", maxsplit=1)[0]] for i, c in enumerate(best)
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "mass,kind,wet\n1,oak,True\n", "lacks the column 'height' (it has: mass, kind, wet)"),
        (
            "a.csv",
            "mass,kind,wet,height\n1,fir,True,3\n",
            "line 2, column 'kind': unknown category 'fir' (known: ash",
        ),
        (
            "a.csv",
            "mass,kind,wet,height\nx,oak,True,3\n",
            "line 2, column 'mass': a number is needed, got 'x'",
        ),
        ("a.csv", "mass,kind,wet,height\n1,oak,True\n", "column 'height': a number is needed, got ''"),
        ("a.csv", "mass,kind,wet,height\nnan,oak,True,3\n", "a finite number is needed, got 'nan'"),
        ("a.csv", "mass,kind,wet,height\n", "has a header and no rows"),
        ("a.npy", "no array", "'a.npy' is no array file"),
        ("a.txt", "", "input is a .npy, a .csv or a picture"),
        ("a.png", "", "takes a table of shape (4,), no picture; give a .npy"),
    ],
)
def test_input_that_does_not_fit_gets_one_line(
    folder: Path, tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    about = json.loads((folder / "model.json").read_text())
    with pytest.raises(SCRIPT.InputError) as caught:
        SCRIPT.read(tmp_path / name, about)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(5), r"one sample has the shape \(4,\), many have \(samples, ...\), got \(5,\)"),
        (floats([1, 2, np.nan, 4]), "got NaN or infinity"),
        (np.array(["a", "b", "c", "d"]), "array of numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(x: Array, message: str) -> None:
    with pytest.raises(SCRIPT.InputError, match=message):
        SCRIPT.as_batch(x, (4,))


def test_errors_on_the_command_line_are_one_line_and_code_2(folder: Path) -> None:
    done = infer(folder, "/nowhere/x.npy")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "infer.py: there is no file '/nowhere/x.npy'\n"
    assert infer(folder, "--top", "0").returncode == 2


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_turned_upright_coloured_and_sized(tmp_path: Path, channels: int) -> None:
    picture = Image.fromarray(GENERATOR.integers(0, 255, (6, 10, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    picture.save(tmp_path / "p.png", exif=exif)
    about = {"kind": "image", "inputs": [{"shape": [1, 5, 3, channels]}]}
    upright = picture.transpose(Image.Transpose.ROTATE_270).convert("RGB" if channels == 3 else "L")
    expected = np.asarray(upright.resize((3, 5), Image.Resampling.BILINEAR)).reshape(5, 3, channels)
    np.testing.assert_array_equal(SCRIPT.read(tmp_path / "p.png", about), expected)


def test_a_broken_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(SCRIPT.InputError, match=r"'p\.png' is no picture"):
        SCRIPT.read(tmp_path / "p.png", {"kind": "image", "inputs": [{"shape": [1, 5, 3, 1]}]})
