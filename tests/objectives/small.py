"""Small problems, candidates, networks and files, shared by the tests of this room."""

import random
from functools import cache

import numpy as np

from objectives.build import build
from objectives.convert import convert
from objectives.inlet import Inlet, InletFitter
from objectives.metrics import load_metric
from objectives.normalise import Normaliser
from objectives.train import Samples, Task
from spaces.candidate import Candidate, Compression, Problem, Training
from spaces.catalog import load_space
from spaces.chooser import Pick, RandomChooser
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Residual

TABLE = Problem(kind="table", input_shape=(13,), classes=3, epochs=3)
IMAGE = Problem(kind="image", input_shape=(8, 8, 2), classes=4, epochs=3)
SERIES = Problem(kind="series", input_shape=(30, 1, 3), classes=2, epochs=3)
DIGITS = Problem(kind="image", input_shape=(8, 8, 1), classes=10)
PROBLEMS = {"mlp": TABLE, "convnet": IMAGE, "sequence": SERIES}
MIXED = (
    Conv(filters=8, kernel=(3, 3)),
    DepthwiseSeparable(filters=16, kernel=(3, 3), stride=(2, 2)),
    Residual(filters=24, kernel=(3, 3), stride=(2, 2)),
    GlobalPool(),
    Dense(units=80),
)


def some_candidates(space: str, count: int, seed: int = 0, problem: Problem | None = None) -> list[Candidate]:
    """Return seeded random candidates of a space that ships, as its own ranges give them."""
    problem = problem or PROBLEMS[space]
    shipped = load_space(space)
    picks = [Pick(RandomChooser(random.Random(seed + i)), shipped.ranges(problem)) for i in range(count)]
    return [shipped.suggest(pick, problem) for pick in picks]


def mixed(precision: str = "float32", sparsity: float = 0.0, **training: object) -> Candidate:
    """Return a candidate for IMAGE with every kind of layer that has a kernel."""
    return Candidate(
        architecture=MIXED,
        training=Training.model_validate({"epochs": 3, **training}),
        compression=Compression.model_validate({"precision": precision, "sparsity": sparsity}),
    )


def dense(*units: int, precision: str = "float32", sparsity: float = 0.0, **training: object) -> Candidate:
    """Return a fully connected candidate."""
    return Candidate(
        architecture=(Flatten(), *(Dense(units=width) for width in units)),
        training=Training.model_validate({"epochs": 3, **training}),
        compression=Compression.model_validate({"precision": precision, "sparsity": sparsity}),
    )


@cache
def samples(problem: Problem, count: int = 120):
    """Return raw samples whose columns have quite different ranges, in the data's own units."""
    generator = np.random.default_rng(1)
    x = generator.normal(3, 1, (count, *problem.input_shape)) * 10.0 ** np.arange(
        -1, problem.input_shape[-1] - 1
    )
    return x.astype(np.float32)


def normaliser(problem: Problem) -> Normaliser:
    """Return the normaliser of those samples."""
    return Normaliser.fit(samples(problem), problem.kind)


def shaken(network, seed: int = 3):
    """Give every weight of a network, the statistics of BatchNorm too, a value as training might."""
    generator = np.random.default_rng(seed)
    values = []
    for variable, value in zip(network.weights, network.get_weights(), strict=True):
        noise = generator.normal(0, 0.05, value.shape)
        values.append((value + (np.abs(noise) if "variance" in variable.name else noise)).astype(np.float32))
    network.set_weights(values)
    return network


def inlet_of(candidate: Candidate, problem: Problem) -> Inlet:
    """Return what stands before a candidate's network, fitted on those samples."""
    x = samples(problem)
    y = np.arange(len(x), dtype=np.int32) % problem.classes
    return InletFitter(normaliser(problem), x, y, 0).fit(candidate.reduction)


def a_file(candidate: Candidate, problem: Problem, input_type: str = "float32", network=None) -> bytes:
    """Return the converted file of a candidate: of a network given, else of a shaken one."""
    network = network or shaken(build(candidate, problem, 0))
    inlet = inlet_of(candidate, problem)
    return convert(network, inlet, candidate.compression, input_type, samples(problem))


def compressed(candidate: Candidate, **changes: object) -> Candidate:
    """Return the candidate with a changed compression."""
    compression = Compression.model_validate({**candidate.compression.model_dump(), **changes})
    return candidate.model_copy(update={"compression": compression})


@cache
def digits(train: int = 1000, valid: int = 400):
    """Return scikit-learn's digits as a task: 8x8 grey images of bytes, in a fixed order."""
    from sklearn.datasets import load_digits

    bundle = load_digits()
    order = np.random.default_rng(0).permutation(len(bundle.target))[: train + valid]
    x, y = (bundle.images * 15).astype(np.uint8)[order][..., None], bundle.target[order].astype(np.int32)
    first = Samples(x[:train], y[:train])
    scale = Normaliser.fit(first.x, "image")
    return Task(first, Samples(x[train:], y[train:]), Inlet(scale), load_metric("accuracy"), None, 0)
