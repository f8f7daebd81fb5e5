"""Input reduction: fitted on train, the best columns first, and part of every file."""

import numpy as np
import pytest
from small import compressed, dense, mixed, shaken

from objectives.accuracy import Scorer
from objectives.agreement import check_agreement
from objectives.aware import aware, layer_names
from objectives.build import build
from objectives.convert import convert
from objectives.errors import ObjectiveError
from objectives.inlet import InletFitter, channel_features
from objectives.normalise import Normaliser
from objectives.verify import verify
from spaces.candidate import PRECISIONS, Pca, Problem, Resize, Rfe

pytestmark = pytest.mark.usefixtures("warm")

GENERATOR = np.random.default_rng(5)
Y = np.arange(300, dtype=np.int32) % 3
TABLE = Problem(kind="table", input_shape=(10,), classes=3)
SERIES = Problem(kind="series", input_shape=(20, 1, 6), classes=3)
IMAGE = Problem(kind="image", input_shape=(16, 12, 3), classes=3)


def table():
    """Return a table in which columns 7 and 2 tell the class, and the rest is noise of other scales."""
    x = GENERATOR.normal(0, 1, (300, 10))
    x[:, 7] += 3 * (Y == 0)
    x[:, 2] += 3 * (Y == 1)
    return (x * 10.0 ** np.arange(-3, 7)).astype(np.float32)


def series():
    """Return series in which the spread of channel 4 tells the class."""
    x = GENERATOR.normal(0, 1, (300, 20, 1, 6))
    x[..., 4] *= (1 + 2 * Y)[:, None, None]
    return x.astype(np.float32)


def images():
    return GENERATOR.integers(0, 255, (300, 16, 12, 3), dtype=np.uint8)


def fitter(x, problem):
    return InletFitter(Normaliser.fit(x, problem.kind), x, Y, 0)


def test_the_columns_that_tell_are_kept():
    inlet = fitter(table(), TABLE).fit(Rfe(columns=2))
    assert inlet.columns == (2, 7)


def test_more_columns_hold_the_fewer_ones():
    one = fitter(table(), TABLE)
    assert set(one.fit(Rfe(columns=3)).columns) < set(one.fit(Rfe(columns=6)).columns)


def test_the_channel_that_tells_is_kept():
    assert fitter(series(), SERIES).fit(Rfe(columns=1)).columns == (4,)


def test_every_channel_has_its_features_side_by_side():
    z = GENERATOR.normal(0, 1, (7, 20, 1, 6))
    found = channel_features(z).reshape(7, 6, 5)
    means = z.mean(axis=(1, 2))
    expected = (means - means.mean(axis=0)) / means.std(axis=0)
    np.testing.assert_allclose(found[:, :, 0], expected, rtol=1e-6)


def test_a_projection_gives_uncorrelated_components_of_variance_one():
    x = table()
    inlet = fitter(x, TABLE).fit(Pca(components=4))
    reduced = inlet(x).numpy()
    np.testing.assert_allclose(np.cov(reduced.T), np.eye(4), atol=0.02)
    np.testing.assert_allclose(reduced.mean(axis=0), 0, atol=1e-4)


def test_more_components_than_there_are_are_refused():
    x = np.repeat(table()[:, :3], 4, axis=1)
    with pytest.raises(ObjectiveError, match="have 3 principal components, and 5 were asked"):
        fitter(x, TABLE).fit(Pca(components=5))


CASES = {
    "rfe": (table, TABLE, Rfe(columns=3), dense(12, 40)),
    "pca": (table, TABLE, Pca(components=3), dense(12, 40)),
    "channels": (series, SERIES, Rfe(columns=2), dense(8, 40)),
    "resize": (images, IMAGE, Resize(scale=0.5), mixed()),
}


FORMS = [*((p, "post-training") for p in PRECISIONS), ("int8", "aware"), ("int4", "aware")]


@pytest.mark.parametrize(("precision", "quantization"), FORMS)
@pytest.mark.parametrize("case", CASES)
def test_a_file_takes_the_whole_raw_input_and_reduces_it_itself(case, precision, quantization):
    make, problem, reduction, candidate = CASES[case]
    x = make()
    candidate = compressed(candidate.model_copy(update={"reduction": reduction}), precision=precision)
    inlet = fitter(x, problem).fit(reduction)
    network = shaken(build(candidate, problem, 0))
    if quantization == "aware":
        candidate = compressed(candidate, quantization="aware")
        network = aware(network, layer_names(network) if precision == "int4" else ())
        for _ in range(60):  # the ranges that it rounds to are found in training
            network(inlet(x[:100]), training=True)
    data = convert(network, inlet, candidate.compression, "float32", x[:100])
    verify(data, candidate)
    scorer = Scorer(data, inlet.normaliser)
    assert tuple(scorer.input["shape"]) == (1, *problem.input_shape)
    expected = network(inlet(x[:50]), training=False).numpy()
    check_agreement(scorer.scores(x[:50]), expected, candidate.compression)


@pytest.mark.parametrize("case", CASES)
def test_int8_input_is_reduced_in_the_file_too(case):
    make, problem, reduction, candidate = CASES[case]
    x = make()
    candidate = compressed(candidate.model_copy(update={"reduction": reduction}), precision="int8")
    inlet = fitter(x, problem).fit(reduction)
    network = shaken(build(candidate, problem, 0))
    scorer = Scorer(convert(network, inlet, candidate.compression, "int8", x[:100]), inlet.normaliser)
    assert scorer.input["dtype"] == np.int8
    expected = network(inlet(x[:50]), training=False).numpy()
    check_agreement(scorer.scores(x[:50]), expected, candidate.compression)


def test_what_is_not_kept_does_not_matter():
    x = table()
    candidate = compressed(dense(8).model_copy(update={"reduction": Rfe(columns=2)}), precision="int8")
    inlet = fitter(x, TABLE).fit(Rfe(columns=2))
    data = convert(shaken(build(candidate, TABLE, 0)), inlet, candidate.compression, "float32", x[:100])
    other = x[:20].copy()
    other[:, [0, 1, 3, 4, 5, 6, 8, 9]] = 1e6
    scorer = Scorer(data, inlet.normaliser)
    np.testing.assert_array_equal(scorer.scores(x[:20]), scorer.scores(other))
