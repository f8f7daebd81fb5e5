"""Studies of a network of the user's own, by the commands: searched, held against it, exported, refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import search
from search import cli

ROOT = Path(search.__file__).parents[1]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # MLflow's, SQLAlchemy's and TensorFlow's own affairs
]
MAKE = """
import os
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tf_keras as keras
from sklearn.datasets import load_wine

x, y = load_wine(return_X_y=True)
x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
x[:, 12] = 1  # a column that tells nothing, and that the network takes all the same
np.savez("mine.npz", x=x, y=y)
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.layers.Input((13,), name="sensors")])
model.add(keras.layers.Dense(48, activation="relu"))
model.add(keras.layers.Dense(3, activation="softmax", name="kinds"))
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, epochs=15, verbose=0)
model.save("mine.keras")
model.export("saved")
"""
STUDY = ("study", "--model", "mine.keras", "--data", "mine.npz")


def edgesearch(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with a trained network, its data, and a home with a study of it, in a process of its own."""
    folder = tmp_path_factory.mktemp("desk")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "EDGESEARCH_HOME": str(folder / "home")}
    subprocess.run([sys.executable, "-c", MAKE], cwd=folder, check=True, capture_output=True)
    options = ("--max-accuracy-drop", "6", "--epochs", "3", "--trials", "5", "--name", "mine")
    program = "from search.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *STUDY, *options, "--executor", "in-process", "--json"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def here(desk, monkeypatch) -> Path:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("EDGESEARCH_HOME", str(desk / "home"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return desk


def listed(capsys, *arguments: str) -> list[dict]:
    assert edgesearch(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_trial_0_is_the_network_as_it_is_and_every_row_says_the_difference(here, capsys):
    trials = listed(capsys, "trials", "mine")
    first, *rest = trials
    assert (first["trial"], first["compression"], first["accuracy_change_points"]) == (0, "float32", 0.0)
    assert first["accuracy"] == first["float_accuracy"] > 0.9
    for row in rest:
        if row["state"] == "measured":
            change = 100 * (row["model_bytes"] / first["model_bytes"] - 1)
            assert row["model_bytes_change_percent"] == pytest.approx(change)
            assert row["accuracy"] >= first["accuracy"] - 0.06 - 1e-9


def test_the_front_shows_the_differences(here, capsys):
    assert edgesearch("front", "mine") == 0
    assert "%)" in capsys.readouterr().out


def test_the_exported_network_keeps_its_names_and_takes_all_its_columns(here, capsys):
    assert edgesearch("export", "mine", "--to", "small", "--prefer", "size", "--max-accuracy-drop", "6") == 0
    about = json.loads((here / "small" / "model.json").read_text())
    assert [spec["name"] for spec in about["inputs"]] == ["sensors"]
    assert about["inputs"][0]["shape"] == [1, 13]
    assert about["outputs"][0]["name"].startswith("kinds")
    assert about["scores"] == "probabilities"
    np.save(here / "some.npy", np.load(here / "mine.npz")["x"][:4])
    code = (
        "import infer, numpy as np; print(infer.load().predict(np.load('../some.npy')).sum(axis=1).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=here / "small", capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx([1.0] * 4, abs=0.05)


def test_nothing_is_put_in_front_of_a_network_that_normalises_for_itself(here):
    """Neither in a file that was only converted nor in one that was fine-tuned."""
    from objectives.flatbuffer import op_name, unpack

    files = list((here / "home" / "artifacts").rglob("*.tflite"))
    for file in files:
        model = unpack(file.read_bytes())
        assert op_name(model, model.subgraphs[0].operators[0]) != "SUB"
    assert len(files) > 1


@pytest.mark.parametrize(
    ("model", "unusable"),
    [("mine.keras", {"slimming"}), ("saved", {"slimming", "sparsity", "clustering", "aware training"})],
)
def test_a_dry_run_tells_which_levers_work_and_why_the_others_do_not(here, capsys, model, unusable):
    rows = listed(capsys, "study", "--model", model, "--data", "mine.npz", "--dry-run")
    assert {row["lever"] for row in rows if not row["usable"]} == unusable
    assert all(row["reason"] for row in rows if not row["usable"])


def test_without_training_only_conversions_are_left(here, capsys):
    rows = listed(capsys, *STUDY, "--no-training", "--dry-run")
    assert [row["lever"] for row in rows if row["usable"]] == [
        f"{p}, post-training" for p in ("float32", "float16", "dynamic-int8", "int8", "int16x8", "int4")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("study", "--model", "none.keras", "--data", "mine.npz"), "none.keras"),
        (("study", "--model", "mine.keras", "--data", "digits"), "takes samples of shape (13,)"),
        (("study", "--model", "mine.keras", "--data", "breast-cancer"), "takes samples of shape (13,)"),
        ((*STUDY, "--space", "mlp"), "no space to search"),
        (("study", "--data", "digits", "--no-training"), "give --model"),
        (("study", "--data", "digits", "--max-accuracy-drop", "1"), "give --model"),
        ((*STUDY, "--max-accuracy-drop", "-1"), "accuracy_drop"),
        ((*STUDY, "--range", "keep=0.5"), "keep"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_in_one_line(here, capsys, arguments, said):
    assert edgesearch(*arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1]
    assert "Traceback" not in "".join(lines)
