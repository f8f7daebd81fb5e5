"""Candidates weighed untrained and trained for an epoch, with real files on this machine."""

import pytest
from small import compressed, dense, mixed

from hardware_profiles.device import Device
from hardware_profiles.errors import DeviceError, MeasuringFailed
from objectives.evaluate import Evaluator
from objectives.goals import Goal
from objectives.outcome import Evidence, Failed
from objectives.probe import Probe, epochs_in_all, probe_of
from objectives.train import Diverged

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture
def evaluator(make_setting, quick_runner):
    def make(runner=None, name="digits", **changes):
        setting = make_setting(name, **changes)
        return Evaluator(setting, Device(setting.profile, runner or quick_runner[0], None))

    return make


def test_a_blank_is_weighed_as_the_trained_network_weighs(evaluator):
    tool = evaluator()
    told = tool.weigh(dense(16, precision="int8"), {"model_bytes", "latency_ms", "arena_bytes"})
    assert isinstance(told, Evidence)
    trained = tool.evaluate(dense(16, precision="int8")).evidence.values
    assert told.values["model_bytes"] == trained["model_bytes"]
    assert {"latency_ms", "latency_median_ms", "arena_bytes"} <= set(told.values)
    assert told.seconds["screen"] > 0


def test_only_what_is_asked_is_measured(evaluator):
    assert set(evaluator().weigh(dense(8), {"model_bytes"}).values) == {"model_bytes"}
    assert set(evaluator().weigh(dense(8), {"arena_bytes"}).values) == {"model_bytes", "arena_bytes"}


def test_the_bytes_of_a_mix_of_bits_are_a_bound(evaluator):
    mix = compressed(dense(32), precision="int4", int4_share=0.5)
    (stored,) = evaluator().weigh(mix, {"model_bytes"}).measurements
    assert stored.source.provenance == "estimated"


class Broken:
    def __init__(self, error):
        self.error = error

    def measure(self, models, anchor):
        raise self.error


def test_what_cannot_be_run_is_told_and_a_device_that_is_gone_raises(evaluator):
    failed = evaluator(Broken(MeasuringFailed("it crashed"))).weigh(dense(8), {"latency_ms"})
    assert isinstance(failed, Failed) and failed.error == "it crashed"
    gone = evaluator(
        Broken(DeviceError("unplugged")), goals=(Goal(metric="latency_ms", direction="minimize"),)
    )
    with pytest.raises(DeviceError, match="unplugged"):
        gone.weigh(dense(8), {"latency_ms"})
    with pytest.raises(DeviceError, match="unplugged"):
        gone.probe(dense(8))


def test_what_cannot_be_built_is_told(evaluator, monkeypatch):
    tool = evaluator()
    monkeypatch.setattr("objectives.stages.build", lambda *_: 1 / 0)
    told = tool.weigh(dense(8), {"model_bytes"})
    assert isinstance(told, Failed) and "division" in told.error
    assert isinstance(tool.probe(dense(8)), Failed)


def test_a_training_that_diverges_is_told_in_its_first_epoch_or_in_its_second(evaluator, monkeypatch):
    tool = evaluator()
    first = tool.probe(dense(8, learning_rate=1e25))
    assert isinstance(first, Failed) and "the loss became" in first.error

    def diverges(*_):
        raise Diverged("the loss became inf in epoch 1")

    monkeypatch.setattr("objectives.stages.FoldWork.epoch_s", diverges)
    second = tool.probe(dense(8))
    assert isinstance(second, Failed) and "the loss became" in second.error


def test_a_probe_tells_the_time_of_a_trial(evaluator):
    goals = (Goal(metric="accuracy", direction="maximize"),)
    candidate = dense(16, sparsity=0.5, epochs=30)
    told = evaluator(goals=goals).probe(candidate)
    assert isinstance(told, Probe)
    assert told.epochs == 30 + 9
    assert told.epoch_s > 0 and told.seconds == pytest.approx(told.start_s + 39 * told.epoch_s)


def test_a_probe_tells_what_other_forms_of_the_network_take(evaluator):
    """What is only converted is made and measured; what is fine-tuned is reckoned, as a harvest goes."""
    candidate = dense(16, epochs=40)
    half = compressed(candidate, precision="float16").compression
    rounded = compressed(candidate, precision="int8", quantization="aware").compression
    converted = evaluator().probe(candidate, [half])
    assert isinstance(converted, Probe) and converted.forms_s > 0
    tuned = evaluator().probe(candidate, [rounded])
    assert isinstance(tuned, Probe) and tuned.forms_s == pytest.approx(12 * tuned.epoch_s, rel=1e-2)
    slimmer = [compressed(candidate, keep=0.5, precision=p).compression for p in ("int8", "float16")]
    both = evaluator().probe(candidate, slimmer)
    assert isinstance(both, Probe) and both.forms_s == pytest.approx(24 * both.epoch_s, rel=1e-2), (
        "one copy, converted twice"
    )
    pruned = [compressed(candidate, sparsity=share).compression for share in (0.2, 0.3, 0.4, 0.5, 0.6)]
    several = evaluator().probe(candidate, pruned)
    assert isinstance(several, Probe) and several.forms_s == pytest.approx(36 * several.epoch_s, rel=1e-2), (
        "all together at most as long as the training"
    )


def test_the_epochs_of_a_candidate_are_those_of_its_curve(evaluator):
    candidate = mixed("int8", 0.5, epochs=3)
    outcome = evaluator().evaluate(candidate)
    assert len(outcome.evidence.curve) == epochs_in_all(candidate) == 5


def test_what_an_epoch_takes_is_no_part_of_the_start():
    told = probe_of(dense(8, epochs=20), {"train": 3.0, "convert": 0.5, "measure": 0.5}, 0.25)
    assert (told.start_s, told.epoch_s, told.epochs) == (3.75, 0.25, 20)
    assert told.seconds == 8.75
    assert probe_of(dense(8), {"train": 0.1}, 0.25).start_s == 0, "a slower second epoch is no error"
