"""Augmentation: samples change, at random and repeatably; what they are of, and their labels, do not."""

from dataclasses import replace

import numpy as np
import pytest
from small import DIGITS, dense, digits

from objectives.augment import augmenter, kind_of
from objectives.build import build
from objectives.errors import ObjectiveError
from objectives.inlet import Inlet
from objectives.metrics import load_metric
from objectives.normalise import Normaliser
from objectives.tensorflow import tensorflow
from objectives.train import Phase, Samples, Task, Trainer, train
from spaces.candidate import AUGMENTATIONS, Problem

pytestmark = pytest.mark.usefixtures("warm")
IMAGE, SERIES = (32, 48, 3), (48, 1, 2)
SHAPES = {"image": IMAGE, "series": SERIES}
EVERY = [(kind, name) for kind in SHAPES for name in AUGMENTATIONS[kind]]


def raw(shape, dtype, count=40):
    """Return raw samples whose channels have quite different ranges, of any type that data come in."""
    generator = np.random.default_rng(2)
    if dtype == "uint8":
        return generator.integers(30, 220, (count, *shape)).astype(np.uint8)
    return (generator.normal(5, 1, (count, *shape)) * 10.0 ** np.arange(shape[-1])).astype(np.float32)


def changed(name, x, step=0, seed=0):
    """Return the samples as a training sees them in a step."""
    kind = "series" if x.shape[2] == 1 else "image"
    made = augmenter(name, x.shape[1:], Normaliser.fit(x, kind), seed)
    return np.asarray(made(tensorflow().constant(x), tensorflow().constant(step, np.int64)))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_samples_keep_their_shape_and_type_and_change(kind, name, dtype):
    x = raw(SHAPES[kind], dtype)
    seen = changed(name, x)
    assert (seen.shape, seen.dtype) == (x.shape, x.dtype)
    assert np.array_equal(seen, x) == (name == "none")


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in EVERY if name != "none"])
def test_equal_seeds_and_steps_change_alike_and_others_do_not(kind, name):
    x = raw(SHAPES[kind], "float32")
    first = changed(name, x, step=3, seed=1)
    np.testing.assert_array_equal(first, changed(name, x, step=3, seed=1))
    assert not np.array_equal(first, changed(name, x, step=4, seed=1))
    assert not np.array_equal(first, changed(name, x, step=3, seed=2))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in EVERY if name != "none"])
def test_each_sample_of_a_batch_changes_in_a_way_of_its_own(kind, name):
    x = np.repeat(raw(SHAPES[kind], "float32", 1), 30, axis=0)
    assert len(np.unique(changed(name, x), axis=0)) > 1 + 2 * (name == "shift")


@pytest.mark.parametrize("name", ["shift", "shift-flip"])
def test_images_hold_what_they_held_and_nothing_else(name):
    x = raw(IMAGE, "float32")
    for before, after in zip(x, changed(name, x), strict=True):
        assert set(map(tuple, after.reshape(-1, 3))) <= set(map(tuple, before.reshape(-1, 3)))


def test_a_shift_moves_an_image_as_a_whole_by_at_most_a_sixteenth():
    x = np.zeros((300, *IMAGE), np.uint8)
    x[:, 16, 24] = (10, 20, 30)
    seen = changed("shift", x)
    found = np.argwhere((seen == (10, 20, 30)).all(axis=-1))
    assert len(found) == 300 and len(np.unique(found[:, 0])) == 300  # one pixel in each, as before
    assert set(found[:, 1] - 16) == set(range(-2, 3))
    assert set(found[:, 2] - 24) == set(range(-3, 4))


def test_what_a_shift_leaves_open_is_what_was_at_the_border():
    x = np.tile(np.arange(32, dtype=np.uint8)[:, None, None], (100, 1, 48, 3))  # each row is its number
    rows = changed("shift", x)[:, :, 0, 0].astype(int)
    assert np.all(np.diff(rows, axis=1) >= 0)
    assert {(row[0], row[-1]) for row in rows} == {(0, 29), (0, 30), (0, 31), (1, 31), (2, 31)}


def test_a_flip_mirrors_left_for_right_and_about_half_of_the_images():
    x = np.zeros((400, *IMAGE), np.float32)
    x[:, 8:24, 6:12] = 1.0  # left of the middle, by more than a shift can undo
    seen = changed("shift-flip", x)
    left, right = seen[:, :, :24].sum(axis=(1, 2, 3)), seen[:, :, 24:].sum(axis=(1, 2, 3))
    assert np.all((left == 0) | (right == 0))
    assert 0.4 < np.mean(right > 0) < 0.6
    np.testing.assert_array_equal(seen.sum(axis=(1, 2, 3)), x.sum(axis=(1, 2, 3)))  # upright as before


def test_cutout_erases_one_square_to_the_mean_of_each_channel():
    x = np.full((200, *IMAGE), 100, np.uint8)
    x[::2] = 50  # so that the mean, 75, is no value of an image
    gone = (changed("cutout", x) == 75).all(axis=-1)
    heights, widths = gone.any(axis=2).sum(axis=1), gone.any(axis=1).sum(axis=1)
    assert heights.max() == widths.max() == 8  # a quarter of the shorter side
    assert heights.min() >= 4 and widths.min() >= 4  # at the border a part of it lies outside
    np.testing.assert_array_equal(gone.sum(axis=(1, 2)), heights * widths)


def test_jitter_is_in_proportion_to_each_channels_spread():
    x = raw(SERIES, "float32", 200)
    noise = changed("jitter", x) - x
    np.testing.assert_allclose(noise.std(axis=(0, 1, 2)), 0.1 * x.std(axis=(0, 1, 2)), rtol=0.2)
    assert np.all(np.abs(noise.mean(axis=(0, 1, 2))) < 0.01 * x.std(axis=(0, 1, 2)))


def test_scale_stretches_every_channel_about_its_mean_by_one_factor():
    x = raw(SERIES, "float32", 200)
    mean = x.mean(axis=(0, 1, 2))
    factors = (changed("scale", x) - mean) / (x - mean)
    apart = np.abs(x - mean) > 0.5 * x.std(axis=(0, 1, 2))
    typical = np.nanmedian(np.where(apart, factors, np.nan), axis=1, keepdims=True)
    np.testing.assert_allclose(
        np.where(apart, factors, typical), np.broadcast_to(typical, x.shape), rtol=1e-2
    )
    assert 0.05 < typical.std() < 0.12
    assert np.all(np.abs(typical - 1) < 0.201)


def test_a_series_is_shifted_in_time_alone():
    x = np.tile(np.arange(48, dtype=np.float32)[:, None, None], (200, 1, 1, 2)) * np.array(
        [1, -1], np.float32
    )
    seen = changed("shift", x)
    by = seen[:, 20, 0, 0] - 20
    assert set(by.astype(int)) == set(range(-6, 7))
    np.testing.assert_array_equal(seen[..., 1], -seen[..., 0])
    np.testing.assert_array_equal(seen[:, :, 0, 0], np.clip(np.arange(48) + by[:, None], 0, 47))


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_nothing_reaches_a_network_that_it_could_not_meet_in_use(kind, name):
    """Bytes stay bytes, however far the noise would take them; floats are clipped after it."""
    extreme = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (50, *SHAPES[kind]))
    assert np.isin(changed(name, extreme), np.arange(256)).all()
    x = raw(SHAPES[kind], "float32", 50)
    x[0] *= 1000
    normaliser = Normaliser.fit(x, kind)
    assert np.abs(np.asarray(Inlet(normaliser)(changed(name, x)))).max() <= normaliser.clip


@pytest.mark.parametrize(
    ("name", "shape", "told"),
    [
        ("shift", (13,), "of a table is one of none, got 'shift'"),
        ("shift-flip", SERIES, "of a series is one of none, shift, jitter, scale, got 'shift-flip'"),
        ("jitter", IMAGE, "of a image is one of none, shift, shift-flip, cutout, got 'jitter'"),
    ],
)
def test_what_such_samples_cannot_have_is_refused(name, shape, told):
    with pytest.raises(ObjectiveError, match=told):
        augmenter(name, shape, Normaliser(offset=(0.0,), scale=(1.0,)), 0)


def test_no_augmentation_is_for_whatever_a_network_of_ones_own_takes():
    x = tensorflow().constant([1, 2, 3])
    assert augmenter("none", (), Normaliser(offset=(0.0,), scale=(1.0,)), 0)(x, 0) is x


@pytest.mark.parametrize(("shape", "kind"), [((5,), "table"), ((5, 1, 1), "series"), ((5, 2, 1), "image")])
def test_the_kind_of_samples_is_told_by_their_shape(shape, kind):
    assert kind_of(shape) == kind


def doubled(samples):
    """Return digits of 16 x 16 pixels, which a shift moves."""
    return replace(samples, x=samples.x.repeat(2, axis=1).repeat(2, axis=2))


LARGE = DIGITS.model_copy(update={"input_shape": (16, 16, 1)})


def large():
    """Return the digits as a task, each pixel four of them."""
    task = digits()
    return replace(task, train=doubled(task.train), valid=doubled(task.valid))


def trained(candidate, task, problem):
    """Return the learning curve and the weights of a training."""
    trainer = Trainer(build(candidate, problem, 0), candidate.training, task)
    return train(trainer), trainer.network.get_weights()


def test_a_training_learns_with_it_and_repeats_itself():
    def curve(name):
        return trained(dense(32, epochs=5, learning_rate=5e-3, augmentation=name), large(), LARGE)

    (plain, _), (first, weights), (again, same) = curve("none"), curve("shift"), curve("shift")
    assert first == again
    for one, other in zip(weights, same, strict=True):
        np.testing.assert_array_equal(one, other)
    assert first != plain
    assert max(point.valid for point in first) > 0.85
    assert first[-1].loss > plain[-1].loss  # it is harder to learn by heart


def test_labels_belong_to_the_samples_that_were_changed():
    """Two images apart from noise, one upright and one lying: what is mislabelled could not be learnt."""
    generator = np.random.default_rng(0)
    y = np.arange(400, dtype=np.int32) % 2
    x = generator.normal(0, 0.1, (400, 16, 16, 1)).astype(np.float32)
    x[y == 0, 4:12, 7:9] += 1
    x[y == 1, 7:9, 4:12] += 1
    problem = Problem(kind="image", input_shape=(16, 16, 1), classes=2)
    inlet = Inlet(Normaliser.fit(x, "image"))
    task = Task(Samples(x, y), Samples(x, y), inlet, load_metric("accuracy"), None, 0)
    for name in AUGMENTATIONS["image"]:
        curve, _ = trained(dense(8, epochs=4, learning_rate=2e-2, augmentation=name), task, problem)
        assert max(point.valid for point in curve) > 0.95, name


def test_a_phase_is_augmented_alike_whatever_went_before_it():
    """A lever fine-tunes with weights that were kept as it does right after the training."""
    candidate = dense(8, epochs=1, augmentation="shift")
    trainer = Trainer(build(candidate, LARGE, 0), candidate.training, large())
    phase = Phase(1, 1e-2, best=False)
    begun = trainer.network.get_weights()
    trainer.run(phase)
    first = trainer.network.get_weights()
    trainer.network.set_weights(begun)
    trainer.run(phase)
    for one, other in zip(first, trainer.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_smaller_image_is_changed_before_it_is_resized():
    task = large()
    task = replace(task, inlet=replace(task.inlet, size=(8, 8), whole=(16, 16)))
    curves = [
        trained(dense(16, epochs=3, learning_rate=5e-3, augmentation=name), task, DIGITS)[0]
        for name in ("none", "shift")
    ]
    assert curves[0] != curves[1]  # though of 8 pixels a shift would move none
    assert curves[1][-1].loss < curves[1][0].loss
