"""One TensorFlow for all tests of this room, and what a study's workers would be given."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # for small.py, beside this file


@pytest.fixture(scope="session")
def warm():
    """TensorFlow, imported once (some 10 s) and kept to one thread as in a worker."""
    from objectives.tensorflow import keras, one_thread, tensorflow, tfmot

    one_thread()
    keras()
    tfmot()
    return tensorflow()


@pytest.fixture(scope="session")
def data_root(tmp_path_factory):
    """Prepared data, shared by all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def quick_runner():
    """The real runner for this machine, with less time than a study takes; and its anchor."""
    from hardware_profiles.anchor import calibrate
    from hardware_profiles.runners.local import LocalRunner

    runner = LocalRunner("this-machine", budget_s=0.02, patience_s=0.05)
    return runner, calibrate(runner, processes=1)


@pytest.fixture
def make_setting(data_root, quick_runner, tmp_path):
    """Return a maker of settings on bundled data, `make_setting("digits", seed=1)`."""
    from hardware_profiles.profile import this_machine
    from objectives.datasets.prepare import prepare
    from objectives.datasets.spec import DataSpec
    from objectives.setting import Setting
    from spaces.candidate import Problem

    def make(name, **changes):
        data = prepare(DataSpec(source=name), data_root)
        problem = Problem(kind=data.kind, input_shape=data.input_shape, classes=len(data.classes), epochs=3)
        values = {
            "problem": problem,
            "data_root": data_root,
            "data_digest": data.digest,
            "goals": (),
            "metric": "accuracy",
            "metric_direction": "maximize",
            "input_type": "float32",
            "class_weights": "none",
            "seed": 0,
            "profile": this_machine(),
            "threads": 1,
            "anchor": quick_runner[1],
            "artifacts": tmp_path / "artifacts",
            "weights": tmp_path / "weights",
            "weights_budget_bytes": 10**9,
        }
        return Setting(**{**values, **changes})

    return make


@pytest.fixture
def looked_at(monkeypatch):
    """Let trainings be looked at that are over in less than a second."""
    monkeypatch.setattr("objectives.average.WORTH_A_LOOK_S", 0.0)
