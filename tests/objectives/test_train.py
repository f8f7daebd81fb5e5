"""Training on digits: it learns, keeps the best, says when it diverges, and repeats itself."""

from dataclasses import replace

import numpy as np
import pytest
from small import DIGITS, dense, digits, mixed

from objectives import graphs
from objectives import train as training_module
from objectives.build import build
from objectives.graphs import predict, scoring_graph
from objectives.inlet import Inlet
from objectives.metrics import Metric, load_metric
from objectives.normalise import Normaliser
from objectives.train import (
    HELD,
    Diverged,
    Phase,
    Samples,
    Trainer,
    balanced_weights,
    learning_rates,
    train,
)
from spaces.candidate import Problem

pytestmark = pytest.mark.usefixtures("warm")


def trainer_of(candidate, task=None, problem=DIGITS, seed=0):
    return Trainer(build(candidate, problem, seed), candidate.training, task or digits())


def scored(trainer, samples=None):
    """Return the network's value on samples, of its own scores."""
    samples = samples or trainer.task.valid
    return trainer.task.metric(
        samples.y, predict(scoring_graph(trainer.network, trainer.task.inlet), samples.x)
    )


@pytest.mark.parametrize(("optimizer", "learning_rate"), [("adam", 5e-3), ("sgd", 2e-2), ("rmsprop", 3e-3)])
def test_learns_digits_in_few_epochs(optimizer, learning_rate):
    candidate = dense(32, epochs=6, optimizer=optimizer, learning_rate=learning_rate)
    trainer = trainer_of(candidate)
    curve = train(trainer)
    assert [point.epoch for point in curve] == list(range(1, len(curve) + 1))
    assert curve[-1].loss < curve[0].loss / 2
    assert scored(trainer) > 0.88


def test_a_convnet_learns_digits_though_its_statistics_have_few_steps():
    candidate = mixed(epochs=6, learning_rate=1e-2)
    trainer = trainer_of(candidate)
    train(trainer)
    assert scored(trainer) > 0.85


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_weights_kept_are_those_of_the_best_epoch(direction):
    task = replace(digits(), metric=Metric("a", direction, load_metric("accuracy").function))
    trainer = trainer_of(dense(16, epochs=5, learning_rate=0.05), task)
    curve = train(trainer)
    values = [point.valid for point in curve]
    best = max(values) if direction == "maximize" else min(values)
    assert scored(trainer) == best


def test_nothing_ends_it_early_for_want_of_better_epochs():
    told = iter([0.5, 0.9, *([0.1] * 50)])
    task = replace(digits(), metric=Metric("told", "maximize", lambda _y, _scores: next(told)))
    trainer = trainer_of(dense(8, epochs=20), task)
    assert len(train(trainer)) == 20, "they come when the rate falls"


def test_of_equal_epochs_the_latest_is_kept():
    task = replace(digits(), metric=Metric("flat", "maximize", lambda _y, _scores: 0.5))
    trainer = trainer_of(dense(8), task)
    trainer.run(Phase(epochs=2, learning_rate=1e-2))
    kept = trainer.network.get_weights()
    again = trainer_of(dense(8), task)
    again.run(Phase(epochs=2, learning_rate=1e-2, best=False))
    for one, other in zip(kept, again.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_learning_rate_too_large_diverges_and_says_when():
    trainer = trainer_of(dense(64, 64, optimizer="sgd", learning_rate=1e6, epochs=5))
    with pytest.raises(Diverged, match=r"in epoch \d; a smaller learning rate helps"):
        train(trainer)


def test_scores_that_overflow_diverge_even_if_the_loss_was_finite():
    task = digits()
    far = replace(
        task,
        train=Samples(task.train.x.astype(np.float32), task.train.y),
        valid=Samples(np.full_like(task.valid.x, 3e38, np.float32), task.valid.y),
        inlet=Inlet(Normaliser(offset=(0.0,), scale=(1.0,))),
    )
    with pytest.raises(Diverged, match="no longer finite"):
        trainer_of(dense(8), far).run(Phase(epochs=1, learning_rate=1e-3))


def test_equal_seeds_train_to_equal_weights_and_other_seeds_do_not():
    candidate = dense(16, dropout=0.2, epochs=2)

    def weights(seed):
        trainer = trainer_of(candidate, replace(digits(), seed=seed), seed=seed)
        return train(trainer), trainer.network.get_weights()

    (curve, first), (again, second), (_, third) = weights(1), weights(1), weights(2)
    assert curve == again
    for one, two, three in zip(first, second, third, strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.any(one != three)


@pytest.mark.parametrize("rows", [500, 333, 90])
def test_data_larger_than_a_chunk_trains_as_well(monkeypatch, rows):
    monkeypatch.setattr(training_module, "CHUNK_BYTES", rows * 64)
    trainer = trainer_of(dense(32, epochs=6, learning_rate=5e-3))
    assert len(list(trainer.task.train.chunks())) > 1
    assert trainer.batch == 32  # whatever the last chunk holds
    assert trainer.steps_per_epoch >= 0.7 * 1000 // 32
    train(trainer)
    assert scored(trainer) > 0.88


@pytest.mark.parametrize("rows", [1, 7, 333, 500, 999, 1000, 5000])
def test_chunks_are_the_data_in_nearly_equal_pieces(monkeypatch, rows):
    samples = digits().train
    monkeypatch.setattr(training_module, "CHUNK_BYTES", rows * 64)
    pieces = list(samples.chunks())
    np.testing.assert_array_equal(np.concatenate([x for x, _ in pieces]), samples.x)
    np.testing.assert_array_equal(np.concatenate([y for _, y in pieces]), samples.y)
    sizes = [len(y) for _, y in pieces]
    assert max(sizes) <= max(1, rows)
    assert max(sizes) - min(sizes) <= 1


def test_fewer_samples_than_a_batch_are_one_batch():
    task = digits()
    few = replace(task, train=Samples(task.train.x[:20], task.train.y[:20]))
    trainer = trainer_of(dense(8, batch_size=128), few)
    assert (trainer.batch, trainer.steps_per_epoch) == (20, 1)
    curve = train(trainer)
    assert curve[-1].loss < curve[0].loss


def test_class_weights_raise_the_rare_class():
    """Two overlapping clouds, one of them rare: weighted, its samples are found far more often."""
    generator = np.random.default_rng(0)
    y = (np.arange(1200) % 12 == 0).astype(np.int32)
    x = (generator.normal(0, 1, (1200, 2)) + 1.2 * y[:, None]).astype(np.float32)
    problem = Problem(kind="table", input_shape=(2,), classes=2)
    whole = Samples(x, y)
    task = replace(digits(), train=whole, valid=whole, inlet=Inlet(Normaliser.fit(x, "table")))
    recalls = []
    for weights in (None, balanced_weights(y, 2)):
        trainer = trainer_of(
            dense(8, epochs=4, learning_rate=1e-2), replace(task, class_weights=weights), problem
        )
        trainer.run(Phase(4, 1e-2, best=False))
        recalls.append(scored(trainer, Samples(x[y == 1], y[y == 1])))
    assert recalls[1] > recalls[0] + 0.2


def test_balanced_weights_are_inverse_to_the_share_with_mean_one():
    y = np.array([0] * 60 + [1] * 30 + [2] * 10)
    weights = np.array(balanced_weights(y, 3))
    assert weights[y].mean() == pytest.approx(1)
    assert weights[0] * 60 == pytest.approx(weights[2] * 10)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_penalties_shrink_the_kernels(penalty):
    sizes = []
    for factor in (0.0, 1e-2):
        trainer = trainer_of(dense(16, epochs=3, learning_rate=1e-2, **{penalty: factor}))
        trainer.run(Phase(3, 1e-2, best=False))
        sizes.append(sum(float(np.abs(w).sum()) for w in trainer.network.get_weights() if w.ndim == 2))
    assert sizes[1] < 0.8 * sizes[0]


@pytest.mark.parametrize(("steps", "peak"), [(1, 0.1), (2, 0.1), (10, 1.0), (500, 3e-3), (5000, 1e-3)])
def test_the_learning_rate_rises_to_its_peak_and_falls_to_nearly_nothing(steps, peak):
    rates = learning_rates(peak, steps)
    top = int(rates.argmax())
    assert rates.shape == (steps,)
    assert np.all(rates >= 0)
    assert rates.max() <= peak * 1.0001
    assert np.all(np.diff(rates[: top + 1]) > 0)
    assert np.all(np.diff(rates[top:]) <= 0)
    if steps > 2:
        assert rates.max() == pytest.approx(peak)
        assert 0 < rates[-1] < 0.3 * peak
        held = rates[max(1, min(steps // 10, 100)) : int(HELD * steps)]
        assert held == pytest.approx(np.full(len(held), peak)), "the full rate until it falls"


def test_scores_of_many_samples_are_those_of_few(monkeypatch):
    task = digits()
    graph = scoring_graph(build(dense(8), DIGITS, 0), task.inlet)
    whole = predict(graph, task.valid.x)
    monkeypatch.setattr(graphs, "SCORING_BATCH", 37)
    np.testing.assert_allclose(predict(graph, task.valid.x), whole, rtol=1e-5, atol=1e-6)


def test_the_validation_value_of_an_epoch_is_the_networks():
    trainer = trainer_of(dense(8))
    (point,) = trainer.run(Phase(1, 1e-2, best=False))
    assert scored(trainer) == point.valid
