"""Targets that are no classes: kept as they are, split all the same, refused if no metric can read them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.datasets.prepare import open_data, prepare
from objectives.datasets.spec import DataSpec
from objectives.errors import DataError, ObjectiveError
from objectives.metrics import Metric, blind_value, interval


def spec(path, **changes) -> DataSpec:
    return DataSpec(source=str(path), targets="any", **changes)


def written(folder, y, **more):
    x = np.random.default_rng(0).normal(size=(len(y), 4)).astype(np.float32)
    np.savez(folder / "mine.npz", x=x, y=y, **more)
    return folder / "mine.npz"


@pytest.mark.parametrize("shape", [(), (1,), (2,), (3, 2)])
@pytest.mark.parametrize("samples", [60, 1200])
def test_numbers_of_any_shape_are_kept_beside_their_samples(tmp_path, shape, samples):
    x = np.arange(samples * 4, dtype=np.float32).reshape(samples, 4)
    y = np.broadcast_to(x[:, :1].reshape(samples, *(1,) * len(shape)), (samples, *shape)) + 0.5
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    summary = prepare(spec(tmp_path / "mine.npz"), tmp_path / "store")
    data = open_data(tmp_path / "store", summary.digest)
    assert (summary.classes, summary.target_shape) == ((), shape)
    x_test, y_test = data.test()
    assert len(x_test) == pytest.approx(samples / 5, abs=2)
    for values, targets in ((data.x_dev, data.y_dev), (x_test, y_test)):
        assert targets.dtype == np.float32
        first = values[:, 0].reshape(-1, *(1,) * len(shape))
        assert np.array_equal(np.broadcast_to(first, targets.shape) + 0.5, targets)
    for fold in data.folds:
        assert len(data.y_dev[fold.train]) > 2 * len(data.y_dev[fold.valid])


def test_whole_numbers_stay_whole_and_are_no_codes(tmp_path):
    counts = np.tile([3, 5, 900], 20)
    summary = prepare(spec(written(tmp_path, counts)), tmp_path / "store")
    y = open_data(tmp_path / "store", summary.digest).y_dev
    assert y.dtype == np.int32
    assert set(y.tolist()) == {3, 5, 900}
    assert summary.classes == ()


def test_text_is_classes_whatever_is_asked(tmp_path):
    summary = prepare(spec(written(tmp_path, np.array(["cat", "dog"] * 30))), tmp_path / "store")
    assert (summary.classes, summary.target_shape) == (("cat", "dog"), None)


def test_a_given_test_set_keeps_its_targets(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 4))
    arrays = {"x_train": x[:40], "y_train": x[:40, 0], "x_test": x[40:], "y_test": x[40:, 0]}
    np.savez(tmp_path / "mine.npz", **arrays)
    summary = prepare(spec(tmp_path / "mine.npz"), tmp_path / "store")
    x_test, y_test = open_data(tmp_path / "store", summary.digest).test()
    assert np.array_equal(x_test[:, 0], y_test)
    assert summary.sizes[2] == 20


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.full(60, np.nan), "60 numbers that are NaN or infinite"),
        (np.arange(5) / 2, "at least 10 samples in all, got 5 samples"),
    ],
)
def test_what_no_metric_can_read_is_refused(tmp_path, y, words):
    with pytest.raises(DataError, match=words):
        prepare(spec(written(tmp_path, y)), tmp_path / "store")


def test_groups_are_kept_together(tmp_path):
    groups = np.repeat(np.arange(30), 40)
    path = written(tmp_path, groups + 0.25, person=groups)
    summary = prepare(spec(path, group="person"), tmp_path / "store")
    data = open_data(tmp_path / "store", summary.digest)
    (fold,) = data.folds
    sides = [
        set(np.asarray(y).tolist()) for y in (data.y_dev[fold.train], data.y_dev[fold.valid], data.test()[1])
    ]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_continuous_and_class_targets_of_one_file_are_two_stores(tmp_path):
    path = written(tmp_path, np.tile([0, 1], 60))
    classes = prepare(DataSpec(source=str(path)), tmp_path / "store")
    numbers = prepare(spec(path), tmp_path / "store")
    assert classes.digest != numbers.digest
    assert open_data(tmp_path / "store", numbers.digest).summary.target_shape == ()


ERROR = Metric("mae", "minimize", lambda y, scores: np.mean(np.abs(y - scores[:, 0])))


@given(st.integers(20, 200), st.integers(0, 5))
def test_a_blind_network_is_worse_and_the_interval_holds_the_value(samples, seed):
    y = np.random.default_rng(seed).normal(size=samples).astype(np.float32)
    scores = (y + 0.01)[:, None]
    assert blind_value(ERROR, y, scores) > 10 * ERROR(y, scores)
    low, high = interval(ERROR, y, scores + y[:, None] / 9, classes=False)
    assert low < ERROR(y, scores + y[:, None] / 9) < high


def test_a_metric_that_cannot_read_the_targets_says_what_it_was_given():
    broken = Metric("mine:f", "minimize", lambda y, scores: (y @ scores).undefined)
    with pytest.raises(ObjectiveError, match=r"targets of shape \(4,\) and scores of shape \(4, 2\)"):
        broken(np.zeros(4), np.zeros((4, 2)))
