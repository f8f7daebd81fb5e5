"""A blank weighs what the trained network weighs, for whatever a space suggests and in every precision."""

import numpy as np
import pytest
from small import PROBLEMS, a_file, inlet_of, mixed, samples, some_candidates

from objectives.adapt import Adapter, adapted
from objectives.blank import randomise
from objectives.build import build
from objectives.canonical import least_bytes
from objectives.metrics import load_metric
from objectives.prune import prune
from objectives.stages import Clock
from objectives.train import Samples, Task, Trainer, train
from objectives.weights import WeightStore
from spaces.candidate import PRECISIONS, Compression

pytestmark = pytest.mark.usefixtures("warm")


def task(candidate, problem):
    """Return a task on noise: what is learnt does not matter, that every weight moves does."""
    x, y = samples(problem), np.arange(120) % problem.classes
    whole = Samples(x, y)
    return Task(whole, whole, inlet_of(candidate, problem), load_metric("accuracy"), None, 0)


def trained(candidate, problem):
    """Return the network after a short training, pruned if the candidate asks for that."""
    trainer = Trainer(build(candidate, problem, 0), candidate.training, task(candidate, problem))
    train(trainer)
    if candidate.compression.sparsity:
        prune(trainer, candidate.compression.sparsity)
    return trainer.network


def as_precision(candidate, precision):
    compression = candidate.compression.model_copy(update={"precision": precision})
    return candidate.model_copy(update={"compression": compression})


@pytest.mark.slow
@pytest.mark.parametrize("space", sorted(PROBLEMS))
@pytest.mark.parametrize("seed", [0, 3])
def test_bytes_of_blank_and_trained_are_equal(space, seed):
    problem = PROBLEMS[space]
    (candidate,) = some_candidates(space, 1, seed)
    network = trained(candidate, problem)
    for precision in PRECISIONS:
        form = as_precision(candidate, precision)
        blank = a_file(form, problem, network=randomise(build(form, problem, 0), 0))
        data = a_file(form, problem, network=network)
        assert len(blank) == len(data), precision
        assert least_bytes(form, problem) <= len(data)


ADAPTED = (
    Compression(keep=0.5, precision="int8"),
    Compression(clusters=8, precision="int8"),
    Compression(precision="int8", quantization="aware"),
    Compression(precision="int4", quantization="aware"),
    Compression(keep=0.5, sparsity=0.5, precision="int8", quantization="aware"),
)


@pytest.mark.slow
@pytest.mark.parametrize("space", sorted(PROBLEMS))
def test_bytes_of_adapted_forms_are_those_of_their_blanks(space, tmp_path):
    """What a harvest and a threshold count on: a slimmer or aware network weighs what its blank does."""
    problem, store = PROBLEMS[space], WeightStore(tmp_path, 10**9)
    (any_one,) = some_candidates(space, 1, 1)
    short = any_one.training.model_copy(update={"epochs": 1})
    for compression in ADAPTED:
        form = any_one.model_copy(update={"compression": compression, "training": short})
        adapter = Adapter(lambda stage: build(stage, problem, 0), task(form, problem), Clock())
        network = adapted(adapter, form, store, lambda stage: stage.digest).model
        blank = randomise(adapter.blank(form.stages[-1]), 0)
        data = a_file(form, problem, network=network)
        assert len(a_file(form, problem, network=blank)) == len(data), compression
        assert least_bytes(form, problem) <= len(data)


def test_bytes_are_equal_in_an_int8_input_file():
    problem = PROBLEMS["convnet"]
    candidate = mixed("int8", sparsity=0.6)
    blank = a_file(candidate, problem, "int8", randomise(build(candidate, problem, 0), 0))
    assert len(blank) == len(a_file(candidate, problem, "int8", trained(candidate, problem)))


def test_the_seed_of_a_blank_does_not_change_its_bytes():
    problem = PROBLEMS["convnet"]
    sizes = {
        len(a_file(mixed("int8"), problem, network=randomise(build(mixed(), problem, 0), seed)))
        for seed in range(3)
    }
    assert len(sizes) == 1


def test_a_blank_is_another_file_than_an_untouched_network():
    """What randomising is for: were it not needed any more, this fails and it can go."""
    problem = PROBLEMS["convnet"]
    untouched = a_file(mixed("int8"), problem, network=build(mixed(), problem, 0))
    blank = a_file(mixed("int8"), problem, network=randomise(build(mixed(), problem, 0), 0))
    assert len(untouched) < len(blank)


@pytest.mark.parametrize("space", sorted(PROBLEMS))
def test_no_file_is_smaller_than_the_bound(space):
    problem = PROBLEMS[space]
    for candidate, precision in zip(some_candidates(space, 6, seed=20), PRECISIONS, strict=True):
        compression = Compression(precision=precision)
        form = candidate.model_copy(update={"compression": compression})
        assert least_bytes(form, problem) <= len(a_file(form, problem))
