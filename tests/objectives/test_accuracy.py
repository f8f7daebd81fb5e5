"""Scores of a file, one sample at a time, from raw samples."""

import numpy as np
import pytest
from small import DIGITS, IMAGE, a_file, dense, digits, mixed, normaliser, samples, shaken

from objectives.accuracy import Scorer
from objectives.build import build
from objectives.convert import convert
from objectives.train import Trainer, train
from spaces.candidate import Compression

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture(scope="module")
def trained():
    candidate = dense(32, epochs=5, learning_rate=5e-3)
    trainer = Trainer(build(candidate, DIGITS, 0), candidate.training, digits())
    curve = train(trainer)
    return trainer.network, max(point.valid for point in curve)


@pytest.mark.parametrize(
    ("precision", "input_type"),
    [
        ("float32", "float32"),
        ("float16", "float32"),
        ("dynamic-int8", "float32"),
        ("int8", "float32"),
        ("int8", "int8"),
    ],
)
def test_a_file_scores_what_the_network_does(trained, precision, input_type):
    network, expected = trained
    task = digits()
    data = convert(network, task.inlet, Compression(precision=precision), input_type, task.train.x[:200])
    value = task.metric(task.valid.y, Scorer(data, task.inlet.normaliser).scores(task.valid.x))
    assert value == pytest.approx(expected, abs=0.0 if precision == "float32" else 0.015)


def test_scores_are_logits_per_sample_in_order():
    data = a_file(mixed("int8"), IMAGE, "int8")
    scorer, x = Scorer(data, normaliser(IMAGE)), samples(IMAGE)[:6]
    together = scorer.scores(x)
    assert (together.shape, together.dtype) == ((6, 4), np.float32)
    for row, sample in zip(together, x, strict=True):
        np.testing.assert_array_equal(scorer.scores(sample[None])[0], row)


def test_whole_numbers_and_fractions_are_the_same_samples():
    data = a_file(mixed(), IMAGE)
    x = np.arange(2 * 128, dtype=np.uint8).reshape(2, 8, 8, 2)
    scorer = Scorer(data, normaliser(IMAGE))
    np.testing.assert_array_equal(scorer.scores(x), scorer.scores(x.astype(np.float64)))


def test_samples_beyond_the_calibrated_range_saturate():
    """An int8 input must be clipped: one step above the largest value would wrap around to the smallest."""
    network = shaken(build(dense(4), IMAGE, 0))
    data = a_file(dense(4, precision="int8"), IMAGE, "int8", network)
    scorer = Scorer(data, normaliser(IMAGE))
    scale, zero = scorer.input["quantization"]
    largest = (127 - zero) * scale
    offset, factor = (np.float32(getattr(normaliser(IMAGE), name)) for name in ("offset", "scale"))
    just, beyond = (np.full((1, 8, 8, 2), z, np.float32) / factor + offset for z in (largest, largest * 1.5))
    np.testing.assert_array_equal(scorer.scores(just), scorer.scores(beyond))
