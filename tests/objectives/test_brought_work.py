"""A network that was brought, through the work of a trial: files that lose more than usual to rounding."""

import pytest
from brought_models import keras_of, saved

from hardware_profiles.device import Device
from objectives.agreement import TOLERANCE
from objectives.brought import importing
from objectives.evaluate import Evaluator
from objectives.outcome import Failed, Measured
from spaces.candidate import Candidate, Compression, Training

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture
def evaluated(monkeypatch, make_setting, quick_runner, tmp_path):
    """Return what evaluates an int8 form of a network for digits, imported in this very process."""
    monkeypatch.setattr(importing, "guarded", lambda _, arguments, *__, **___: importing.work(**arguments))
    k = keras_of(2)
    k.utils.set_random_seed(0)
    layers = [k.layers.Flatten(), k.layers.Dense(16, activation="relu"), k.layers.Dense(10)]
    network = k.Sequential([k.Input((8, 8, 1)), *layers])
    about = importing.import_model(saved(network, tmp_path / "mine.keras"), tmp_path / "root")
    setting = make_setting("digits", model=about, models=tmp_path / "root")
    evaluator = Evaluator(setting, Device(setting.profile, quick_runner[0], None))

    def evaluate(**changes):
        compression = Compression(precision="int8", **changes)
        training = Training(learning_rate=1e-4, epochs=3) if compression.levers else Training()
        return evaluator.evaluate(Candidate(model=about.digest, training=training, compression=compression))

    return evaluate


@pytest.mark.parametrize("levers", [{}, {"sparsity": 0.5}])
def test_a_form_that_loses_more_to_8_bits_than_others_is_measured(evaluated, monkeypatch, levers):
    """Converted alone and after a fine-tuning; the file without rounding says that all else agrees."""
    monkeypatch.setitem(TOLERANCE, "int8", 1e-6)  # as if no network had ever lost so much
    outcome = evaluated(**levers)
    assert isinstance(outcome, Measured), outcome
    assert outcome.evidence.values["sparsity_reached"] >= levers.get("sparsity", 0.0)


def test_what_child_processes_read_lies_beside_the_network(evaluated, tmp_path):
    evaluated()
    kept = sorted(path.name.split("-")[0] for path in (tmp_path / "root").rglob("*.npy"))
    assert kept == ["calibration", "validation"]


def test_a_fine_tuned_form_is_refused_where_the_file_without_rounding_disagrees_too(evaluated, monkeypatch):
    monkeypatch.setitem(TOLERANCE, "int8", 1e-6)
    monkeypatch.setitem(TOLERANCE, "float32", 1e-12)
    failed = evaluated(sparsity=0.5)
    assert isinstance(failed, Failed) and "rounding to int8 explains 1e-06" in failed.error


def test_frozen_layers_are_compressed_too(monkeypatch, make_setting, quick_runner, tmp_path):
    """As after transfer learning: what ships is the whole network."""
    monkeypatch.setattr(importing, "guarded", lambda _, arguments, *__, **___: importing.work(**arguments))
    k = keras_of(2)
    k.utils.set_random_seed(0)
    base = k.layers.Dense(16, activation="relu", trainable=False)
    network = k.Sequential([k.Input((8, 8, 1)), k.layers.Flatten(), base, k.layers.Dense(10)])
    about = importing.import_model(saved(network, tmp_path / "mine.keras"), tmp_path / "root")
    setting = make_setting("digits", model=about, models=tmp_path / "root")
    evaluator = Evaluator(setting, Device(setting.profile, quick_runner[0], None))
    training = Training(learning_rate=1e-4, epochs=3)
    for levers in ({"sparsity": 0.5}, {"clusters": 16}):
        compression = Compression(precision="float32", **levers)
        outcome = evaluator.evaluate(
            Candidate(model=about.digest, training=training, compression=compression)
        )
        assert isinstance(outcome, Measured), outcome
