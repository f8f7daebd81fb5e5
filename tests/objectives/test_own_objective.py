"""Objectives of the user's own: loaded, measured by, refused; and where a device is, in a Setting."""

import sys
from pathlib import Path

import pytest
from small import dense

from hardware_profiles.connection import parse_connection
from hardware_profiles.profile import this_machine
from objectives.errors import ObjectiveError
from objectives.evaluate import Evaluator
from objectives.goals import Goal
from objectives.outcome import Failed, Measured
from objectives.own import load_objective
from objectives.setting import Setting

MODULE = """
class Bytes:
    def measure(self, model, profile):
        return model.stat().st_size


class Cores:
    direction = "maximize"

    def measure(self, model, profile):
        return profile.processor.cores


class Text:
    def measure(self, model, profile):
        return "many"


class Endless:
    def measure(self, model, profile):
        return float("inf")


class Failing:
    def measure(self, model, profile):
        raise RuntimeError("no\\nsuch thing")


class Unmeasuring:
    pass


class Sideways(Bytes):
    direction = "up"


class Shy:
    def __init__(self):
        raise OSError("not now")


def function():
    return 3


number = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "my_objectives.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield
    sys.modules.pop("my_objectives", None)


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"x" * 321)
    return path


def test_a_class_measures_a_model_on_a_profile(model):
    objective, profile = load_objective("my_objectives:Bytes"), this_machine()
    found = objective.measure(model, profile)
    assert objective.direction == "minimize"
    assert (found.metric, found.value) == ("my_objectives:Bytes", 321.0)
    assert (found.source.provenance, found.source.device) == ("measured", "this-machine")
    assert found.source.runtime == "my_objectives:Bytes"
    cores = load_objective("my_objectives:Cores")
    assert (cores.direction, cores.measure(model, profile).value) == ("maximize", profile.processor.cores)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Unmeasuring", r"a class with measure\(model, profile\).*'my_objectives:Unmeasuring' is none"),
        ("Sideways", "a direction of minimize or maximize; 'my_objectives:Sideways' is none"),
        ("Shy", r"cannot be made \(.*not now.*\); it is made without arguments"),
        ("function", "'my_objectives:function' is none"),
        ("number", "has no function 'number'"),
        ("Byte", "did you mean 'Bytes'"),
    ],
)
def test_what_is_no_objective_is_refused_in_one_line(name, told):
    with pytest.raises(ObjectiveError, match=told) as caught:
        load_objective(f"my_objectives:{name}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Text", "failed with .*measure.* returns a number"),
        ("Endless", "an objective is a finite number, got inf from 'my_objectives:Endless'"),
        ("Failing", "'my_objectives:Failing' failed with RuntimeError: no such thing"),
    ],
)
def test_what_measures_nothing_is_refused_in_one_line(model, name, told):
    with pytest.raises(ObjectiveError, match=told) as caught:
        load_objective(f"my_objectives:{name}").measure(model, this_machine())
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("name", ["Bytes", "Failing"])
def test_a_trial_has_the_figure_or_says_why_not(make_setting, name):
    goal = Goal(metric=f"my_objectives:{name}", direction="minimize")
    outcome = Evaluator(make_setting("iris", goals=(goal,))).evaluate(dense(8, learning_rate=1e-2))
    if name == "Bytes":
        assert isinstance(outcome, Measured), outcome
        values = outcome.evidence.values
        assert values["my_objectives:Bytes"] == values["model_bytes"]
    else:
        assert isinstance(outcome, Failed) and outcome.fault == "candidate"
        assert outcome.error.startswith("objective 'my_objectives:Failing' failed")


@pytest.mark.parametrize(
    "text",
    [
        "local",
        "estimated",
        "ssh://pi@[fe80::1]:2222",
        "adb://emulator-5554",
        "command:./time_it.py --port '/dev/my tty'",
        "replay:/tmp/board.json",
    ],
)
def test_a_setting_travels_with_where_the_device_is(make_setting, text):
    setting = make_setting("iris", connection=parse_connection(text))
    again = Setting.model_validate_json(setting.model_dump_json())
    assert again == setting and type(again.connection) is type(setting.connection)


def test_a_setting_without_a_connection_or_an_anchor_travels_too(make_setting):
    setting = make_setting("iris", connection=None, anchor=None)
    assert Setting.model_validate_json(setting.model_dump_json()) == setting
