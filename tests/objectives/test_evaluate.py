"""Trials from candidate to outcome: real data, real training, real files, measured on this machine."""

import sys
import time

import numpy as np
import pytest
from small import dense, mixed

from hardware_profiles.artifact import ArtifactStore
from hardware_profiles.device import Device
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.machine import machine_id
from hardware_profiles.measurement import Latency
from objectives.accuracy import Scorer
from objectives.agreement import TOLERANCE
from objectives.canonical import least_bytes
from objectives.datasets.store import open_data
from objectives.evaluate import Evaluator
from objectives.goals import Goal
from objectives.metrics import accuracy
from objectives.normalise import Normaliser
from objectives.outcome import OUTCOME, Failed, Infeasible, Measured
from objectives.stages import Clock, FoldWork

pytestmark = pytest.mark.usefixtures("warm")

SMALL = dense(16, learning_rate=1e-2)


def limit(metric, value, **more):
    direction = "maximize" if metric == "accuracy" else "minimize"
    return Goal(metric=metric, direction=direction, limit=value, **more)


def form(precision="float32", sparsity=0.0):
    return dense(16, learning_rate=1e-2, precision=precision, sparsity=sparsity)


class Steady:
    """A runner that runs nothing and always sees the same, for what latency has no part in."""

    def measure(self, models, anchor):
        seen = Latency(
            latency_ms=0.1,
            low_ms=0.1,
            high_ms=0.1,
            min_ms=0.1,
            median_ms=0.2,
            p90_ms=0.3,
            p99_ms=0.4,
            anchor_ratio=1.0,
            runs=1,
            verdict="stable",
            source=anchor.source,
        )
        return tuple(seen for _ in models)


@pytest.fixture
def evaluator(make_setting, quick_runner):
    """Return a maker of evaluators on digits; `real=True` has them measure on this machine."""

    def make(name="digits", runner=None, real=False, **changes):
        chosen = quick_runner[0] if real else runner or Steady()
        setting = make_setting(name, **changes)
        return Evaluator(setting, Device(setting.profile, chosen, None))

    return make


def by_metric(outcome):
    return {measurement.metric: measurement for measurement in outcome.evidence.measurements}


def test_a_candidate_is_trained_converted_scored_and_measured(evaluator, make_setting):
    outcome = evaluator(real=True).evaluate(form("int8", 0.5))
    assert isinstance(outcome, Measured), outcome
    evidence, setting = outcome.evidence, make_setting("digits")
    assert set(evidence.values) == {
        "accuracy",
        "float_accuracy",
        "sparsity_reached",
        "sparsity_overall",
        "latency_ms",
        "latency_median_ms",
        "latency_p90_ms",
        "model_bytes",
        "compressed_bytes",
    }
    data = ArtifactStore(setting.artifacts).get(evidence.artifact)
    assert evidence.values["model_bytes"] == len(data)
    assert evidence.values["compressed_bytes"] < len(data)
    assert evidence.values["sparsity_reached"] == pytest.approx(0.5, abs=0.05)
    assert evidence.values["latency_ms"] == evidence.latency.latency_ms > 0
    assert evidence.parameters == 64 * 16 + 16 + 16 * 10 + 10
    assert [point.epoch for point in evidence.curve] == list(range(1, 3 + 2 + 1))
    stages = {"screen", "reduce", "train", "prune", "convert", "verify", "score", "measure"}
    assert set(evidence.seconds) == stages
    assert OUTCOME.validate_json(outcome.model_dump_json()) == outcome


def test_accuracy_is_the_files_on_validation_data(evaluator, make_setting):
    outcome = evaluator().evaluate(SMALL)
    setting = make_setting("digits")
    data = open_data(setting.data_root, setting.data_digest)
    (fold,) = data.folds
    scale = Normaliser.fit(data.x_dev[fold.train], data.summary.kind)
    file = ArtifactStore(setting.artifacts).get(outcome.evidence.artifact)
    expected = accuracy(data.y_dev[fold.valid], Scorer(file, scale).scores(data.x_dev[fold.valid]))
    assert outcome.evidence.values["accuracy"] == expected > 0.7
    assert outcome.evidence.values["float_accuracy"] == pytest.approx(expected, abs=1e-9)


def test_every_number_says_where_it_comes_from(evaluator):
    for measurement in evaluator(real=True).evaluate(SMALL).evidence.measurements:
        source = measurement.source
        assert (source.provenance, source.device, source.machine) == (
            "measured",
            "this-machine",
            machine_id(),
        )


def test_too_many_weights_are_told_without_a_file(evaluator, make_setting):
    outcome = evaluator(goals=(limit("model_bytes", 1000),)).evaluate(SMALL)
    assert isinstance(outcome, Infeasible)
    (broken,) = outcome.violations
    least = least_bytes(SMALL, make_setting("digits").problem)
    assert (broken.metric, broken.limit, broken.value) == ("model_bytes", 1000, least)
    assert by_metric(outcome)["model_bytes"].source.provenance == "estimated"
    assert set(outcome.evidence.seconds) == {"screen"}
    assert outcome.evidence.artifact is None


@pytest.mark.parametrize(
    "candidate",
    [form("int8"), form("float16", 0.3), mixed("dynamic-int8")],
    ids=["int8", "pruned", "convnet"],
)
def test_the_blank_tells_the_bytes_of_the_trained_file(evaluator, make_setting, candidate):
    unlimited = evaluator().evaluate(candidate).evidence.values["model_bytes"]
    within = least_bytes(candidate, make_setting("digits").problem) + 10
    outcome = evaluator(goals=(limit("model_bytes", within),)).evaluate(candidate)
    assert isinstance(outcome, Infeasible)
    assert outcome.violations[0].value == unlimited
    assert by_metric(outcome)["model_bytes"].source.provenance == "measured"
    assert set(outcome.evidence.seconds) == {"screen"}
    fits = evaluator(goals=(limit("model_bytes", unlimited),)).evaluate(candidate)
    assert isinstance(fits, Measured)


def test_a_blank_that_is_too_slow_is_not_trained(evaluator):
    outcome = evaluator(real=True, goals=(limit("latency_ms", 1e-7),)).evaluate(SMALL)
    assert isinstance(outcome, Infeasible)
    assert outcome.violations[0].metric == "latency_ms"
    assert outcome.violations[0].value == outcome.evidence.latency.latency_ms
    assert set(outcome.evidence.seconds) == {"screen"}
    assert "model_bytes" in by_metric(outcome)


def test_a_limit_on_the_median_is_judged_at_the_end(evaluator):
    goals = (limit("latency_ms", 1e-7, limit_on="median"),)
    outcome = evaluator(real=True, goals=goals).evaluate(SMALL)
    assert isinstance(outcome, Infeasible)
    assert [broken.metric for broken in outcome.violations] == ["latency_median_ms"]
    assert outcome.evidence.artifact
    assert "train" in outcome.evidence.seconds


def test_every_broken_limit_of_a_trained_candidate_is_named(evaluator):
    goals = (limit("accuracy", 1.0), limit("latency_ms", 1e-7, limit_on="p90"), limit("model_bytes", 10**9))
    outcome = evaluator(goals=goals).evaluate(SMALL)
    assert [broken.metric for broken in outcome.violations] == ["accuracy", "latency_p90_ms"]
    assert outcome.violations[0].excess == pytest.approx(1.0 - outcome.evidence.values["accuracy"])


def test_a_training_that_diverges_is_the_candidates_own_failure(evaluator):
    outcome = evaluator().evaluate(dense(64, 64, optimizer="sgd", learning_rate=1e6))
    assert isinstance(outcome, Failed)
    assert outcome.fault == "candidate"
    assert "in epoch" in outcome.error
    assert "train" in outcome.evidence.seconds


def test_a_file_that_loses_more_to_8_bits_than_others_is_measured_and_a_wrong_one_is_not(
    evaluator, monkeypatch
):
    monkeypatch.setitem(TOLERANCE, "int8", 1e-6)  # as if no network had ever lost so much
    assert isinstance(evaluator().evaluate(form("int8")), Measured)
    monkeypatch.setitem(TOLERANCE, "float32", 1e-12)  # nor does the same graph without rounding agree
    failed = evaluator().evaluate(form("int8"))
    assert isinstance(failed, Failed) and "rounding to int8 explains 1e-06" in failed.error


def test_another_precision_of_the_same_base_is_not_trained_again(evaluator):
    one = evaluator()
    first = one.evaluate(form())
    other = one.evaluate(form("int8"))
    assert "train" in first.evidence.seconds
    assert "train" not in other.evidence.seconds
    assert other.evidence.curve == first.evidence.curve
    assert other.evidence.values["float_accuracy"] == first.evidence.values["float_accuracy"]


def test_another_sparsity_is_pruned_and_its_other_precisions_are_not(evaluator):
    one = evaluator()
    one.evaluate(form())
    pruned, again = one.evaluate(form(sparsity=0.5)), one.evaluate(form("int8", 0.5))
    assert {"train", "prune"} & set(pruned.evidence.seconds) == {"prune"}
    assert not {"train", "prune"} & set(again.evidence.seconds)
    assert again.evidence.curve == pruned.evidence.curve


def test_what_one_process_trained_another_reads(evaluator):
    first = evaluator().evaluate(form("float16"))
    second = evaluator().evaluate(form("float16"))
    assert "train" not in second.evidence.seconds
    assert second.evidence.artifact == first.evidence.artifact


@pytest.mark.slow
def test_a_file_does_not_depend_on_what_the_process_built_before(evaluator, tmp_path):
    """Keras numbers its layers; names of growing length must not reach the file."""
    first = evaluator().evaluate(SMALL)
    mixed_in = evaluator(weights=tmp_path / "elsewhere")
    for width in range(17, 20):
        mixed_in.evaluate(dense(width, epochs=1))
    again = mixed_in.evaluate(SMALL)
    assert "train" in again.evidence.seconds
    assert again.evidence.artifact == first.evidence.artifact


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"class_weights": "balanced"},
        {"metric": "f1-macro"},
        {"metric": "objectives.metrics:accuracy", "metric_direction": "minimize"},
    ],
    ids=["seed", "class weights", "metric", "direction"],
)
def test_weights_are_shared_only_with_what_would_train_alike(evaluator, changes):
    reference = {"metric": "objectives.metrics:accuracy"} if "metric_direction" in changes else {}
    evaluator(**reference).evaluate(SMALL)
    assert "train" in evaluator(**changes).evaluate(SMALL).evidence.seconds


@pytest.mark.slow
def test_small_data_is_averaged_over_its_folds(evaluator, make_setting):
    one = evaluator("wine")
    outcome = one.evaluate(dense(12, epochs=2, learning_rate=2e-2))
    assert isinstance(outcome, Measured), outcome
    values = [
        fold.form(dense(12, epochs=2, learning_rate=2e-2), one._weights, Clock()).value for fold in one._folds
    ]
    assert len(values) == 8
    found = by_metric(outcome)["accuracy"]
    assert found.value == pytest.approx(np.mean(values))
    assert (found.low, found.high) == (min(values), max(values))
    assert found.low < found.high


@pytest.mark.parametrize("input_type", ["float32", "int8"])
def test_columns_lost_in_the_input_are_a_failure_with_their_number(evaluator, monkeypatch, input_type):
    """Wine without normalisation: proline in hundreds beside a hue of about 1."""
    raw = Normaliser(offset=(0.0,) * 13, scale=(1.0,) * 13)
    monkeypatch.setattr(FoldWork, "normaliser", property(lambda _self: raw))
    outcome = evaluator("wine", input_type=input_type).evaluate(dense(8, epochs=1, precision="int8"))
    assert isinstance(outcome, Failed)
    assert outcome.fault == "candidate"
    assert "of 13 columns constant" in outcome.error
    lost = int(outcome.error.split("leaves ")[1].split(" of")[0])
    assert 4 <= lost <= 11


class Raising:
    """A runner with one answer."""

    def __init__(self, error):
        self.error = error

    def measure(self, models, anchor):
        raise self.error


@pytest.mark.parametrize(
    ("error", "fault", "text"),
    [
        (MeasuringFailed("the model crashed"), "candidate", "the model crashed"),
        (DeviceError("the device is away"), "infrastructure", "the device is away"),
        (OSError(28, "No space left on device"), "infrastructure", "No space left"),
        (MemoryError("too large"), "candidate", "MemoryError: too large"),
        (RuntimeError("first line\nsecond line"), "candidate", "RuntimeError: first line"),
        (ValueError(), "candidate", "ValueError: ValueError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_goes_wrong_is_an_outcome_with_its_reason(evaluator, error, fault, text):
    outcome = evaluator(runner=Raising(error)).evaluate(SMALL)
    assert isinstance(outcome, Failed)
    assert outcome.fault == fault
    assert text in outcome.error
    assert "\n" not in outcome.error
    assert "train" in outcome.evidence.seconds


def test_folders_that_cannot_be_written_are_the_infrastructures_fault(evaluator, tmp_path):
    (tmp_path / "file").write_text("no folder")
    outcome = evaluator(artifacts=tmp_path / "file" / "artifacts").evaluate(SMALL)
    assert isinstance(outcome, Failed)
    assert outcome.fault == "infrastructure"


def test_interrupting_is_no_outcome(evaluator):
    with pytest.raises(KeyboardInterrupt):
        evaluator(runner=Raising(KeyboardInterrupt())).evaluate(SMALL)


@pytest.mark.slow
def test_memory_does_not_grow_without_measure(evaluator):
    import psutil

    one = evaluator()
    seen = []
    for width in range(8, 20):
        one.evaluate(dense(width, epochs=1, precision="int8", sparsity=0.5))
        seen.append(psutil.Process().memory_info().rss / 2**20)
    # The first trials load what all share.
    assert (seen[-1] - seen[3]) / (len(seen) - 4) < 25, seen


def test_an_estimate_of_the_blank_does_not_stand_for_what_is_metered(make_setting):
    """The blank is timed for the limit; its energy, by the published power, is no measurement."""

    class Patient(Steady):
        def measure(self, models, anchor):
            time.sleep(0.3)
            return super().measure(models, anchor)

    meter = (sys.executable, "-uc", "import time\nwhile True: print(7.0); time.sleep(0.01)")
    energy = Goal(metric="energy_mj", direction="minimize")
    setting = make_setting("digits", goals=(limit("accuracy", None), limit("latency_ms", 5.0), energy))
    power = setting.profile.power.model_copy(update={"active_w": 2.0, "meter": meter})
    setting = setting.model_copy(update={"profile": setting.profile.model_copy(update={"power": power})})
    outcome = Evaluator(setting, Device(setting.profile, Patient(), None)).evaluate(SMALL)
    assert isinstance(outcome, Measured)
    (found,) = [m for m in outcome.evidence.measurements if m.metric == "energy_mj"]
    assert (found.source.provenance, found.value) == ("measured", pytest.approx(0.7))
