"""The swift sampler against Optuna's own: the same proposals, the same densities."""

import math

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe._truncnorm import _log_gauss_mass
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from search_doubles import RoundingTPESampler

from search.mirror import Mirror
from search.parzen import SwiftParzenEstimator, log_mass
from search.tpe import SwiftTPESampler

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
RANGES = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
    "sparsity": FloatDistribution(0.0, 0.9, step=0.1),
    "layers": IntDistribution(1, 4),
    "units": IntDistribution(4, 128, log=True),
    "precision": CategoricalDistribution(["float32", "float16", "int8"]),
}


def drawn(generator, count):
    """Values of all kinds, as the samplers have them inside, often those at the ends."""
    ends = generator.integers(0, 2, count).astype(bool)
    return {
        "rate": np.exp(generator.uniform(np.log(1e-4), np.log(1e-1), count)),
        "dropout": np.where(ends, 0.5 * generator.integers(0, 2, count), generator.uniform(0, 0.5, count)),
        "sparsity": generator.integers(0, 10, count) / 10,
        "layers": generator.integers(1, 5, count).astype(float),
        "units": np.where(ends, 128.0, generator.integers(4, 129, count)),
        "precision": generator.integers(0, 3, count).astype(float),
    }


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 30))
def test_the_densities_are_those_of_optuna(seed, kernels, samples):
    generator = np.random.default_rng(seed)
    seen, asked = drawn(generator, kernels), drawn(generator, samples)
    how = _ParzenEstimatorParameters(1.0, True, False, np.ones, True)
    theirs = _ParzenEstimator(seen, RANGES, how).log_pdf(asked)
    assert SwiftParzenEstimator(seen, RANGES, how).log_pdf(asked) == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@given(st.floats(-40, 40), st.floats(1e-3, 10))
def test_the_mass_between_two_bounds_is_that_of_optuna(low, width):
    """However far out on either side: plain differences would be 0 there."""
    low, high = np.array([low]), np.array([low + width])
    assert log_mass(low, high) == pytest.approx(_log_gauss_mass(low, high), rel=1e-9, abs=1e-12)


def network(trial):
    """Return two figures of a network of conditional layers, and by how much it breaks a limit."""
    widths = [
        trial.suggest_int(f"units_{i}", 4, 128, log=True) for i in range(trial.suggest_int("layers", 1, 3))
    ]
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    small = trial.suggest_categorical("precision", ["float32", "int8"]) == "int8"
    size = sum(widths) * (1 if small else 4)
    error = (
        1 / math.log(2 + sum(widths))
        + abs(math.log10(rate) + 2) / 10
        + trial.suggest_float("dropout", 0, 0.5) / 9
    )
    return (error, float(size)), size - 600.0


def proposals(sampler, mirrored, objectives):
    """Return what a sampler proposed for 90 trials, of which two are always under way."""
    study = optuna.create_study(sampler=sampler, directions=["minimize"] * objectives)
    mirror = Mirror(study) if mirrored else None
    proposed, under_way = [], []
    for number in range(90):
        trial = mirror.ask() if mirror else study.ask()
        values, broken = network(trial)
        proposed.append(trial.params)
        under_way.append((trial, values[:objectives], broken))
        if number:
            trial, values, broken = under_way.pop(0)
            state = optuna.trial.TrialState.COMPLETE
            if mirror:
                mirror.end(trial, state, values, {"bytes": broken})
            else:
                trial.set_constraint("bytes", broken)
                study.tell(trial, values, state=state)
    return proposed


@pytest.mark.parametrize("objectives", [1, 2])
def test_the_proposals_are_those_of_optuna(objectives):
    theirs = proposals(RoundingTPESampler(multivariate=True, constant_liar=True, seed=3), False, objectives)
    for mirrored in (False, True):
        ours = proposals(SwiftTPESampler(3), mirrored, objectives)
        assert [p.keys() for p in ours] == [p.keys() for p in theirs]
        for mine, other in zip(ours, theirs, strict=True):
            precision = mine.pop("precision"), other["precision"]
            assert precision[0] == precision[1]
            assert mine == pytest.approx({k: v for k, v in other.items() if k != "precision"}, rel=1e-6)
