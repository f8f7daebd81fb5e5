"""The spaces that ship and a user's own keep the contract; what is special to each."""

import random
from collections.abc import Mapping

import pytest
from space_contract import SpaceContract, recorded, suggestion

from spaces.candidate import Candidate, Kind, Problem
from spaces.chooser import Choices, Integers, Pick, RandomChooser, Reals
from spaces.convnet import ConvNet
from spaces.layers import Conv, Dense, DepthwiseSeparable, GlobalPool, Residual
from spaces.mlp import Mlp
from spaces.recipe import pick_candidate, recipe_ranges
from spaces.sequence import Sequence
from spaces.space import narrow

TABLE = Problem(kind="table", input_shape=(13,), classes=3)
GREY = Problem(kind="image", input_shape=(8, 8, 1), classes=10, epochs=5)
COLOUR = Problem(kind="image", input_shape=(33, 20, 3), classes=2, precisions=("int8",))
SERIES = Problem(kind="series", input_shape=(100, 1, 6), classes=4)
TINY = Problem(kind="series", input_shape=(2, 1, 1), classes=2)


class TestMlp(SpaceContract):
    @pytest.fixture(scope="class")
    @classmethod
    def space(cls):
        return Mlp()

    @pytest.fixture(scope="class", params=[TABLE, GREY, SERIES], ids=["table", "image", "series"])
    @classmethod
    def problem(cls, request):
        return request.param


class TestConvNet(SpaceContract):
    @pytest.fixture(scope="class")
    @classmethod
    def space(cls):
        return ConvNet()

    @pytest.fixture(scope="class", params=[GREY, COLOUR], ids=["grey", "colour"])
    @classmethod
    def problem(cls, request):
        return request.param


class TestSequence(SpaceContract):
    @pytest.fixture(scope="class")
    @classmethod
    def space(cls):
        return Sequence()

    @pytest.fixture(scope="class")
    @classmethod
    def problem(cls):
        return SERIES


class Bottleneck:
    """A user's own space: a wide residual block between two narrow convolutions."""

    name = "bottleneck"
    kinds: frozenset[Kind] = frozenset({"image"})

    def ranges(self, problem: Problem) -> Mapping[str, Integers | Reals | Choices]:
        return {
            "narrow": Integers(low=4, high=16, step=4),
            "wide": Choices(options=(24, 32)),
            "kernel": Integers(low=1, high=5, log=True),
            **recipe_ranges(problem),
        }

    def suggest(self, pick: Pick, problem: Problem) -> Candidate:
        side = pick.integer("kernel")
        first, last = (Conv(filters=pick.integer("narrow", i), kernel=(side, side)) for i in range(2))
        middle = Residual(filters=pick.integer("wide"), kernel=(3, 3), stride=(2, 2))
        return pick_candidate(pick, (first, middle, last, GlobalPool()))


class TestAUsersOwn(SpaceContract):
    @pytest.fixture(scope="class")
    @classmethod
    def space(cls):
        return Bottleneck()

    @pytest.fixture(scope="class")
    @classmethod
    def problem(cls):
        return GREY


def candidates(space, problem, count=60):
    """Return seeded random candidates."""
    return [suggestion(space, problem, recorded(seed)) for seed in range(count)]


def blocks(candidate):
    """Return the layers that have a kernel over positions."""
    return [layer for layer in candidate.architecture if hasattr(layer, "kernel")]


def test_a_convnet_opens_with_a_plain_convolution_and_meets_every_kind_of_block():
    found = [blocks(candidate) for candidate in candidates(ConvNet(), COLOUR)]
    assert {type(layers[0]) for layers in found} == {Conv}
    assert {type(block) for layers in found for block in layers} == {Conv, DepthwiseSeparable, Residual}
    assert {block.kernel for layers in found for block in layers} == {(3, 3), (5, 5)}


def test_a_series_has_kernels_and_strides_along_time_alone():
    found = [block for candidate in candidates(Sequence(), SERIES) for block in blocks(candidate)]
    assert {block.kernel[1] for block in found} == {block.stride[1] for block in found} == {1}
    assert {block.kernel[0] for block in found} == {3, 5, 7, 9}
    assert {block.stride[0] for block in found} == {1, 2, 3}


def test_strides_are_not_asked_where_no_positions_are_left():
    for seed in range(30):
        recorder = recorded(seed)
        suggestion(Sequence(), TINY, recorder)
        assert not any(name.startswith("stride") for name in recorder.asked)


def test_epochs_are_those_of_the_problem():
    assert {candidate.training.epochs for candidate in candidates(Mlp(), GREY, 5)} == {GREY.epochs}


def test_one_precision_on_the_device_is_not_asked():
    recorder = recorded(0)
    assert suggestion(ConvNet(), COLOUR, recorder).compression.precision == "int8"
    assert "precision" not in recorder.asked


def test_a_member_of_a_family_goes_before_the_family():
    wanted = {"units": Integers(low=8, high=9), "units_1": Integers(low=100, high=110)}
    ranges = narrow(Mlp().ranges(TABLE), {**wanted, "layers": Choices(options=(3,))})
    chooser = RandomChooser(random.Random(0))
    layers = suggestion(Mlp(), TABLE, chooser, ranges).architecture
    widths = [layer.units for layer in layers if isinstance(layer, Dense)]
    assert len(widths) == 3
    assert widths[0] in (8, 9) and widths[2] in (8, 9)
    assert 100 <= widths[1] <= 110
