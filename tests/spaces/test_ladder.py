"""The ladders of the spaces that ship: designs within any ranges, from tiny to large."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from space_contract import some_part, suggestion

from spaces.candidate import Problem
from spaces.catalog import load_space
from spaces.chooser import Choices, Integers, Reals, Recorder, range_named
from spaces.errors import SpaceError
from spaces.ladder import Laddered, nearest, rungs
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, Residual
from spaces.mlp import Mlp
from spaces.recipe import pick_candidate, recipe_ranges, suggested
from spaces.space import narrow
from spaces.weights import kernel_sizes

TABLE = Problem(kind="table", input_shape=(13,), classes=3)
TINY = Problem(kind="image", input_shape=(8, 8, 1), classes=10)
GREY = Problem(kind="image", input_shape=(28, 28, 1), classes=10)
COLOUR = Problem(kind="image", input_shape=(32, 32, 3), classes=10)
WIDE = Problem(kind="image", input_shape=(96, 160, 3), classes=2, precisions=("float16", "float32"))
SERIES = Problem(kind="series", input_shape=(128, 1, 9), classes=6)
SHORT = Problem(kind="series", input_shape=(3, 1, 2), classes=2)
CASES = [
    ("mlp", TABLE), ("mlp", GREY), ("mlp", SERIES), ("convnet", TINY), ("convnet", GREY), ("convnet", COLOUR),
    ("convnet", WIDE), ("sequence", SERIES), ("sequence", SHORT),
]  # fmt: skip
every = pytest.mark.parametrize(("name", "problem"), CASES, ids=lambda case: str(getattr(case, "kind", case)))


def weights(candidate, problem):
    return sum(kernel.weights for kernel in kernel_sizes(candidate, problem))


@every
def test_a_ladder_has_several_rungs_that_rise_from_tiny_to_large(name, problem):
    space = load_space(name)
    assert isinstance(space, Laddered)
    found = rungs(space, problem, space.ranges(problem))
    sizes = [weights(rung.candidate, problem) for rung in found]
    assert 5 <= len(found) <= 16
    assert sizes == sorted(sizes)
    assert sizes[-1] > 4 * sizes[0]
    assert len({rung.candidate.digest for rung in found}) == len(found)


@every
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_is_narrowed_every_rung_lies_inside_and_is_what_its_parameters_lead_to(name, problem, seed):
    generator, space = random.Random(seed), load_space(name)
    whole = space.ranges(problem)
    chosen = generator.sample(sorted(whole), generator.randint(0, len(whole)))
    ranges = narrow(whole, {name: some_part(whole[name], generator) for name in chosen})
    for params, candidate in rungs(space, problem, ranges):
        recorder = Recorder(lambda name, within, params=params: params[name])
        assert suggestion(space, problem, recorder, ranges) == candidate
        assert set(recorder.asked) == set(params)  # nothing besides what is asked
        assert all(range_named(ranges, asked).holds(value) for asked, value in params.items())


@every
def test_a_design_is_trained_plainly_and_compressed_by_its_bits_alone(name, problem):
    space = load_space(name)
    ranges = space.ranges(problem)
    for _, candidate in rungs(space, problem, narrow(ranges, suggested(ranges, problem))):
        wanted = "int8" if "int8" in problem.precisions else "float16"
        assert candidate.training.optimizer == "adam"
        assert candidate.reduction is None
        assert candidate.compression.levers == ()
        assert candidate.compression.precision == wanted


def test_a_design_keeps_what_it_is_where_the_ranges_allow_it():
    space = load_space("convnet")
    kinds = {
        type(layer)
        for rung in rungs(space, COLOUR, space.ranges(COLOUR))
        for layer in rung.candidate.architecture
        if isinstance(layer, Conv | DepthwiseSeparable | Residual)
    }
    assert kinds == {Conv, DepthwiseSeparable, Residual}


def test_an_image_is_halved_until_some_positions_are_left():
    def left(problem):
        sides = []
        for rung in rungs(load_space("convnet"), problem, load_space("convnet").ranges(problem)):
            side, blocks = max(problem.input_shape[:2]), rung.params["blocks"]
            for layer in rung.candidate.architecture:
                side = -(-side // getattr(layer, "stride", (1, 1))[0])
            if blocks == 1:  # which can halve it but once
                assert side == -(-max(problem.input_shape[:2]) // 2)
            else:
                sides.append(side)
        return sides

    assert set(left(TINY)) <= {2, 4}
    assert max(left(COLOUR)) <= 8
    assert min(left(GREY)) >= 4


def test_a_narrow_range_folds_designs_into_one():
    ranges = narrow(Mlp().ranges(TABLE), {"units": Choices(options=(8,)), "layers": Choices(options=(2,))})
    (rung,) = rungs(Mlp(), TABLE, ranges)
    assert [layer.units for layer in rung.candidate.architecture if isinstance(layer, Dense)] == [8, 8]


class Own:
    """A user's own space."""

    name = "own"
    kinds = frozenset({"table"})

    def ranges(self, problem):
        return {"width": Integers(low=4, high=64, step=4), **recipe_ranges(problem)}

    def suggest(self, pick, problem):
        return pick_candidate(pick, (Flatten(), Dense(units=pick.integer("width"))))


class OwnWithLadder(Own):
    def ladder(self, problem):
        return [{"width": width, "dropout": 0.1} for width in (33, 1, 1000)]


class OwnWithHalfALadder(Own):
    def ladder(self, problem):
        return [{"depth": 3}]


def test_a_space_without_a_ladder_has_no_rungs():
    assert not isinstance(Own(), Laddered)
    assert rungs(Own(), TABLE, Own().ranges(TABLE)) == ()


def test_a_users_own_designs_are_fitted_and_sorted_too():
    found = rungs(OwnWithLadder(), TABLE, Own().ranges(TABLE))
    assert [rung.params["width"] for rung in found] == [4, 32, 64]
    assert {rung.candidate.training.dropout for rung in found} == {0.1}


def test_a_design_that_says_nothing_of_what_is_asked_is_refused_by_name():
    with pytest.raises(SpaceError, match="a design of the ladder says nothing of 'width'"):
        rungs(OwnWithHalfALadder(), TABLE, Own().ranges(TABLE))


@given(seed=st.integers(0, 2**32), wish=st.integers(-20, 200))
def test_the_nearest_number_is_in_the_range_and_nothing_in_it_is_nearer(seed, wish):
    generator = random.Random(seed)
    low = generator.randint(1, 50)
    step = generator.randint(1, 7)
    within = Integers(low=low, high=low + generator.randint(0, 60), step=step)
    found = nearest(within, wish)
    assert within.holds(found)
    best = min(abs(value - wish) for value in range(low, within.high + 1, step))
    assert abs(found - wish) == best


def test_of_options_the_first_wanted_one_is_taken_and_else_the_nearest():
    assert nearest(Choices(options=("sgd", "rmsprop")), ("adam", "rmsprop", "sgd")) == "rmsprop"
    assert nearest(Choices(options=("sgd",)), "adam") == "sgd"
    assert nearest(Choices(options=(64, 128)), 32) == 64
    assert nearest(Choices(options=(0, 4)), (0, 64)) == 0
    assert nearest(Reals(low=0.25, high=1.0, step=0.25), 0.6) == 0.5
    assert nearest(Reals(low=1e-3, high=3e-2, log=True), 1.0) == 3e-2
    with pytest.raises(SpaceError, match="holds no 'adam'"):
        nearest(Integers(low=1, high=2), "adam")


@pytest.mark.parametrize(("name", "problem"), [("convnet", GREY), ("sequence", SERIES), ("mlp", GREY)])
def test_only_convolutions_with_weights_to_spare_are_augmented_and_only_where_the_ranges_have_it(
    name, problem
):
    def varied(epochs):
        longer = problem.model_copy(update={"epochs": epochs})
        space = load_space(name)
        ranges = narrow(space.ranges(longer), suggested(space.ranges(longer), longer))
        found = rungs(space, longer, ranges)
        return [weights(r.candidate, longer) for r in found if r.candidate.training.augmentation != "none"]

    assert varied(6) == []
    assert all(count > 5_000 for count in varied(20))
    assert bool(varied(20)) == (name != "mlp")
