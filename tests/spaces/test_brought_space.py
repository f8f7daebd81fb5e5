"""The space of a network that was brought: the contract of spaces, and what its levers leave."""

import random

import pytest
from space_contract import SpaceContract, suggestion

from spaces.brought import AS_IT_IS, Brought
from spaces.candidate import Candidate, Compression, Problem, Training
from spaces.chooser import RandomChooser
from spaces.errors import SpaceError
from spaces.layers import Flatten

MINE = Problem(kind="table", input_shape=(13,), classes=3, model="0123456789abcdef")


def suggestions(problem, count=200):
    space = Brought()
    return [suggestion(space, problem, RandomChooser(random.Random(i))) for i in range(count)]


class TestBrought(SpaceContract):
    @pytest.fixture(scope="class")
    @classmethod
    def space(cls):
        return Brought()

    @pytest.fixture(scope="class")
    @classmethod
    def problem(cls):
        return MINE


def test_every_candidate_is_of_that_network():
    found = suggestions(MINE)
    assert {c.model for c in found} == {MINE.model}
    assert {c.compression.keep for c in found} == {1.0}
    assert {lever for c in found for lever in c.compression.levers} == {"prune", "cluster", "aware"}


@pytest.mark.parametrize("levers", [(), ("prune",), ("cluster", "aware")])
def test_levers_that_do_not_work_on_it_are_left_out(levers):
    problem = MINE.model_copy(update={"levers": levers})
    assert {lever for c in suggestions(problem) for lever in c.compression.levers} == set(levers)


def test_how_to_fine_tune_is_asked_only_where_something_is():
    for candidate in suggestions(MINE):
        assert bool(candidate.compression.levers) or candidate.training == Training()


def test_as_it_is_means_no_compression_at_all():
    candidate = suggestion(Brought(), MINE, lambda name, _within: AS_IT_IS[name])
    assert candidate.compression == Compression()
    assert candidate.stages == (candidate,)


def test_without_a_network_there_is_nothing_to_compress():
    with pytest.raises(SpaceError, match="give --model"):
        Brought().ranges(Problem(kind="table", input_shape=(13,), classes=3))


def test_a_network_that_was_brought_has_no_architecture_of_ours():
    with pytest.raises(ValueError, match="its own architecture"):
        Candidate(model="0123456789abcdef", architecture=(Flatten(),))
