"""A network of the user's own for a task that is none of ours: compressed, judged by its metric, exported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import search
from search.home import Home
from search.places import Places
from search.storage import read_facts, write_facts

ROOT = Path(search.__file__).parents[1]
pytestmark = pytest.mark.slow
MAKE = """
import os
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tf_keras as keras

generator = np.random.default_rng(0)
x = generator.uniform(-1, 1, (900, 6)).astype(np.float32)
y = np.stack([x[:, 0] * 20 + 50, x[:, 1] - x[:, 2]], axis=1).astype(np.float32)
np.savez("plant.npz", x=x, y=y)
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(2)])
model.compile(keras.optimizers.Adam(0.02), "mse")
model.fit(x, y, epochs=40, verbose=0)
model.save("plant.keras")
"""
METRIC = """
import numpy as np

def mae(y_true, outputs):
    assert y_true.shape == outputs.shape, (y_true.shape, outputs.shape)
    return np.mean(np.abs(y_true - outputs))
"""
PROGRAM = "from search.cli import main; main()"


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plant")
    (folder / "judge.py").write_text(METRIC)
    subprocess.run(
        [sys.executable, "-c", MAKE], cwd=folder, env=about(folder), check=True, capture_output=True
    )
    return folder


def about(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "EDGESEARCH_HOME": str(folder / "home")}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=about(folder), capture_output=True, text=True,
        check=False, timeout=500,
    )  # fmt: skip


STUDY = ("study", "--model", "plant.keras", "--data", "plant.npz", "--executor", "in-process")
OWN = ("--no-training", "--metric", "judge:mae", "--metric-direction", "minimize")


def test_a_regression_is_searched_and_exported(desk):
    done = run(desk, "-c", PROGRAM, *STUDY, *OWN, "--trials", "3", "--name", "plant", "--json")
    assert done.returncode == 0, done.stderr
    assert "targets are of shape (2,)" in done.stderr
    shown = run(desk, "-c", PROGRAM, "trials", "plant", "--json")
    first = json.loads(shown.stdout)[0]
    assert 0 < first["accuracy"] < 3
    exported = run(desk, "-c", PROGRAM, "export", "plant", "--to", "small")
    assert exported.returncode == 0, exported.stderr
    facts = json.loads((desk / "small" / "model.json").read_text())
    assert (facts["task"], facts["scores"], facts["classes"]) == ("any", "values", [])
    assert (
        facts["accuracy"]["test"]["low"]
        < facts["accuracy"]["test"]["value"]
        < facts["accuracy"]["test"]["high"]
    )
    assert "classifier" not in (desk / "small" / "model_card.md").read_text()


def test_a_metric_that_was_edited_is_told(desk):
    again = (*STUDY, *OWN, "--trials", "3", "--name", "plant", "--json")
    edited = "the file of 'judge' was edited since this study began"
    assert edited not in run(desk, "-c", PROGRAM, *again).stderr
    (desk / "judge.py").write_text(METRIC.replace("np.mean", "2 * np.mean"))
    done = run(desk, "-c", PROGRAM, *again)
    assert done.returncode == 0, done.stderr
    assert edited in done.stderr
    study = Places(Home(desk / "home")).study("plant")
    facts = read_facts(study)
    assert facts.versions.keys() >= {"judge", "numpy"}
    unknown = {name: found for name, found in facts.versions.items() if name != "judge"}
    write_facts(study, facts.model_copy(update={"versions": unknown}))  # as earlier versions made it
    assert edited not in run(desk, "-c", PROGRAM, *again).stderr
    write_facts(study, facts)
    (desk / "judge.py").write_text(METRIC)


def test_the_exported_script_gives_values(desk):
    inferred = run(desk / "small", "infer.py")
    assert inferred.returncode == 0, inferred.stderr
    name, values = inferred.stdout.strip().split(": ")
    sample = np.load(desk / "small" / "sample.npy")
    told = [float(value) for value in values.split(", ")]
    assert name == "sample.npy"
    assert told[0] == pytest.approx(sample[0] * 20 + 50, abs=4)


def test_without_a_metric_of_ones_own_a_continuous_target_is_refused(desk):
    done = run(desk, "-c", PROGRAM, *STUDY, "--no-training")
    assert done.returncode != 0
    assert "one label per sample" in done.stderr
    assert "--metric" in done.stderr
    assert "Traceback" not in done.stderr
