"""Metrics agree with scikit-learn; a guesser's value and the intervals are what statistics says."""

import importlib
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score
from small import dense

from objectives.errors import ObjectiveError
from objectives.metrics import (
    METRICS,
    Metric,
    bootstrap_interval,
    interval,
    load_metric,
    majority_value,
    wilson_interval,
)
from objectives.stages import weights_name

CLASSES = 3
LABELS = st.lists(
    st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40
)


def scores_of(predicted) -> np.ndarray:
    return np.eye(CLASSES, dtype=np.float32)[np.asarray(predicted)]


@settings(deadline=None)
@given(LABELS)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
def test_metrics_agree_with_their_definitions(pairs):
    y_true, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    scores = scores_of(predicted)
    expected = {
        "accuracy": np.mean(y_true == predicted),
        "balanced-accuracy": balanced_accuracy_score(y_true, predicted),
        "f1-macro": f1_score(y_true, predicted, average="macro", zero_division=0),
    }
    for name, value in expected.items():
        assert load_metric(name)(y_true, scores) == pytest.approx(value)


@pytest.mark.parametrize("name", METRICS)
def test_perfect_predictions_have_1(name):
    y = np.array([0, 1, 2, 1])
    assert load_metric(name)(y, scores_of(y)) == 1.0


def test_unknown_metrics_and_directions_are_refused():
    with pytest.raises(ObjectiveError, match="did you mean 'balanced-accuracy'"):
        load_metric("balanced_accuracy")
    with pytest.raises(ObjectiveError, match="got direction 'minimize'; maximize it"):
        load_metric("accuracy", "minimize")


USERS_METRICS = """
import numpy as np
def log_loss(y_true, scores):
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return float(-np.log(p[np.arange(len(y_true)), y_true]).mean())
def nan(y_true, scores): return float("nan")
def text(y_true, scores): return "good"
def broken(y_true, scores): raise KeyError("a\\nb")
NUMBER = 3
"""


@pytest.fixture
def users_folder(tmp_path, monkeypatch):
    (tmp_path / "users_metrics.py").write_text(USERS_METRICS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("users_metrics", None)


@pytest.mark.usefixtures("users_folder")
def test_a_users_metric_with_its_direction():
    metric = load_metric("users_metrics:log_loss", "minimize")
    y = np.array([0, 1, 2])
    assert metric.direction == "minimize"
    assert metric(y, np.zeros((3, 3))) == pytest.approx(np.log(3))
    low, high = interval(metric, y, scores_of([0, 1, 1]))
    assert low <= metric(y, scores_of([0, 1, 1])) <= high


@pytest.mark.parametrize(
    ("name", "said"), [("nan", "got nan"), ("text", "could not convert"), ("broken", "KeyError: 'a\\nb'")]
)
@pytest.mark.usefixtures("users_folder")
def test_results_that_are_no_finite_number_are_refused(name, said):
    metric = load_metric(f"users_metrics:{name}")
    with pytest.raises(ObjectiveError) as caught:
        metric(np.array([0]), np.zeros((1, 3)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["NUMBER", "log_los"])
@pytest.mark.usefixtures("users_folder")
def test_a_metric_that_is_no_function_is_refused(name):
    with pytest.raises(ObjectiveError, match=f"has no function '{name}'"):
        load_metric(f"users_metrics:{name}")


def test_the_majority_of_train_is_what_a_guesser_says():
    y_train, y_valid = np.array([0, 1, 1, 2]), np.array([0, 0, 0, 1, 2])
    assert majority_value(load_metric("accuracy"), y_train, y_valid, 3) == pytest.approx(1 / 5)
    assert majority_value(load_metric("balanced-accuracy"), y_train, y_valid, 3) == pytest.approx(1 / 3)
    assert majority_value(load_metric("f1-macro"), y_train, y_valid, 3) == pytest.approx(
        (2 * 1 / (5 + 1)) / 3
    )


@pytest.mark.parametrize(
    ("correct", "samples", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)],
)
def test_wilson_agrees_with_published_values(correct, samples, low, high):
    """The last two: Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I."""
    assert wilson_interval(correct, samples) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_stays_within_0_and_1(pair):
    correct, samples = pair
    low, high = wilson_interval(correct, samples)
    assert 0 <= low <= correct / samples <= high <= 1
    assert high - low > 0


@pytest.mark.parametrize(("correct", "samples"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_what_is_no_share(correct, samples):
    with pytest.raises(ValueError, match=f"got {correct} of {samples}"):
        wilson_interval(correct, samples)


def test_wilson_covers_the_truth_about_as_often_as_it_says():
    """Exactly, by the binomial distribution, over many true shares: for one it depends on the lattice."""
    samples, shares = 100, np.linspace(0.02, 0.98, 97)
    bounds = [wilson_interval(correct, samples) for correct in range(samples + 1)]
    coverage = [
        sum(
            math.comb(samples, k) * share**k * (1 - share) ** (samples - k)
            for k, (low, high) in enumerate(bounds)
            if low <= share <= high
        )
        for share in shares
    ]
    assert np.mean(coverage) == pytest.approx(0.95, abs=0.01)
    assert min(coverage) > 0.9


def test_accuracy_has_wilsons_interval_and_others_a_seeded_bootstrap():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 200)
    scores = scores_of(np.where(generator.random(200) < 0.9, y, (y + 1) % 3))
    correct = int(np.sum(scores.argmax(axis=1) == y))
    assert interval(load_metric("accuracy"), y, scores) == wilson_interval(correct, 200)
    # Drawn within classes of about equal size, the bootstrap of accuracy is near to Wilson's.
    again = [bootstrap_interval(load_metric("accuracy"), y, scores, seed=1) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0] == pytest.approx(wilson_interval(correct, 200), abs=0.02)


def test_a_bootstrap_never_loses_a_class():
    seen = set()

    def classes(y_true, _scores):
        seen.add(len(np.unique(y_true)))
        return 0.5

    y = np.array([0] * 50 + [1, 2])
    assert bootstrap_interval(Metric("classes", "maximize", classes), y, scores_of(y)) == (0.5, 0.5)
    assert seen == {3}


def test_a_metric_that_was_edited_is_another_one(tmp_path, monkeypatch, make_setting):
    """What was kept under its name was judged by the old one."""
    monkeypatch.chdir(tmp_path)
    assert load_metric("accuracy").version == ""
    seen = []
    for text in ("return 0.5", "return 0.6"):
        (tmp_path / "edited_metric.py").write_text(f"def judge(y_true, scores):\n    {text}\n")
        sys.modules.pop("edited_metric", None)
        importlib.invalidate_caches()
        seen.append(load_metric("edited_metric:judge").version)
    sys.modules.pop("edited_metric", None)
    assert len(set(seen)) == 2 and all(len(version) == 64 for version in seen)
    metrics = [Metric("edited_metric:judge", "maximize", METRICS["accuracy"], version) for version in seen]
    assert len({weights_name(make_setting("digits"), dense(8), 0, metric) for metric in metrics}) == 2
