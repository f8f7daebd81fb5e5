"""What is searched of reduction and compression: for which data, and when a lever is asked for."""

import random

import pytest

from spaces.candidate import PRECISIONS, Pca, Problem, Resize, Rfe
from spaces.chooser import Choices, Pick, RandomChooser, Reals
from spaces.errors import SpaceError
from spaces.layers import GlobalPool
from spaces.recipe import (
    AUGMENTED_EPOCHS,
    augmented,
    pick_candidate,
    pick_compression,
    pick_reduction,
    recipe_ranges,
    suggested,
)
from spaces.space import narrow

TABLE = Problem(kind="table", input_shape=(30,), classes=2)
IMAGE = Problem(kind="image", input_shape=(28, 28, 1), classes=10)
SERIES = Problem(kind="series", input_shape=(50, 1, 6), classes=2)


def compressions(problem=TABLE, count=300, **wanted):
    ranges = narrow(recipe_ranges(problem), wanted)
    return [pick_compression(Pick(RandomChooser(random.Random(i)), ranges)) for i in range(count)]


def one_of(*options):
    return Choices(options=options)


@pytest.mark.parametrize(
    ("problem", "methods"),
    [
        (TABLE, {None, Rfe, Pca}),
        (IMAGE, {None, Resize}),
        (SERIES, {None, Rfe}),
        (TABLE.model_copy(update={"input_shape": (3,)}), {None}),
        (IMAGE.model_copy(update={"input_shape": (8, 8, 1)}), {None}),
        (SERIES.model_copy(update={"input_shape": (50, 1, 1)}), {None}),
    ],
    ids=["table", "image", "series", "few columns", "few pixels", "one channel"],
)
def test_input_is_reduced_as_its_kind_allows(problem, methods):
    ranges = recipe_ranges(problem)
    picks = [pick_reduction(Pick(RandomChooser(random.Random(i)), ranges)) for i in range(100)]
    assert {None if pick is None else type(pick) for pick in picks} == methods


def test_half_of_all_candidates_do_without_a_lever():
    found = compressions()
    slim = sum(c.keep < 1 for c in found) / len(found)
    clustered = sum(c.clusters > 0 for c in found) / len(found)
    assert 0.25 < slim < 0.5  # a quarter of those that slim keep everything
    assert 0.3 < clustered < 0.55


def test_a_range_without_its_off_value_is_always_used():
    assert {c.keep for c in compressions(keep=Reals(low=0.25, high=0.5))} == {0.25, 0.5}
    assert {c.clusters for c in compressions(clusters=one_of(8))} == {8}


def test_a_lever_that_is_switched_off_is_off():
    found = compressions(slim=one_of("no"), cluster=one_of("no"))
    assert {(c.keep, c.clusters) for c in found} == {(1.0, 0)}


def test_only_integers_are_trained_for():
    for compression in compressions():
        assert compression.quantization == "post-training" or compression.precision in {"int8", "int4"}
        assert compression.int4_share == 1 or compression.precision == "int4"


def test_what_is_slow_or_buys_nothing_here_is_left_out_unless_asked_for():
    problem = TABLE.model_copy(update={"slow_precisions": ("int16x8",)})
    ranges = recipe_ranges(problem)
    usual = suggested(ranges, problem)
    assert set(usual["precision"].options) == {*PRECISIONS} - {"int16x8"}
    assert usual["clusters"].options == (0,)
    narrow(ranges, usual)
    narrow(ranges, {**usual, "precision": one_of("int16x8"), "clusters": one_of(16)})


def test_clusters_are_searched_where_compressed_bytes_count():
    problem = TABLE.model_copy(update={"counts": "compressed"})
    assert "clusters" not in suggested(recipe_ranges(problem), problem)


def test_a_space_with_ranges_of_its_own_is_left_alone():
    assert suggested({"precision": one_of("int8")}, TABLE) == {}


def shaped(problem, *shape):
    return problem.model_copy(update={"input_shape": shape})


@pytest.mark.parametrize(
    ("problem", "names"),
    [
        (TABLE, {"none"}),
        (IMAGE, {"none", "shift", "shift-flip", "cutout"}),
        (shaped(IMAGE, 32, 8, 3), {"none"}),
        (SERIES, {"none", "shift", "jitter", "scale"}),
        (shaped(SERIES, 12, 1, 6), {"none", "jitter", "scale"}),
    ],
    ids=["table", "image", "few pixels", "series", "few steps"],
)
def test_samples_are_augmented_as_their_kind_and_shape_allow(problem, names):
    ranges = recipe_ranges(problem)
    picks = [Pick(RandomChooser(random.Random(i)), ranges) for i in range(60)]
    assert {pick_candidate(pick, (GlobalPool(),)).training.augmentation for pick in picks} == names
    assert {name for name in names if augmented(ranges, problem, name)} == names


@pytest.mark.parametrize(("epochs", "searched"), [(1, False), (AUGMENTED_EPOCHS - 1, False), (20, True)])
@pytest.mark.parametrize("problem", [IMAGE, SERIES], ids=["image", "series"])
def test_augmentation_is_left_out_of_short_trainings_unless_asked_for(problem, epochs, searched):
    problem = problem.model_copy(update={"epochs": epochs})
    ranges = recipe_ranges(problem)
    usual = suggested(ranges, problem)
    assert len(narrow(ranges, usual)["augmentation"].options) == (4 if searched else 1)
    asked = narrow(ranges, {**usual, **augmented(ranges, problem, "shift")})
    assert asked["augmentation"] == one_of("shift")
    assert narrow(ranges, {**usual, **augmented(ranges, problem, "auto")}) == narrow(ranges, usual)


@pytest.mark.parametrize(
    ("problem", "name", "told"),
    [
        (TABLE, "jitter", r"no augmentation 'jitter' for table data of 30; \(there are auto, none\)"),
        (IMAGE, "flip", r"no augmentation 'flip' for image data of 28x28x1; .*auto, none, shift, shift-flip"),
        (IMAGE, "shfit", r"did you mean 'shift'\?"),
        (SERIES, "cutout", r"for series data of 50x1x6; .*\(there are auto, none, shift, jitter, scale\)"),
        (shaped(IMAGE, 8, 8, 1), "shift", r"for image data of 8x8x1; .*\(there are auto, none\)"),
    ],
)
def test_what_is_no_augmentation_of_such_data_is_refused(problem, name, told):
    with pytest.raises(SpaceError, match=told) as caught:
        augmented(recipe_ranges(problem), problem, name)
    assert "\n" not in str(caught.value)


def test_a_space_without_augmentation_does_without_or_refuses():
    assert augmented({}, IMAGE, "none") == augmented({}, IMAGE, "auto") == {}
    with pytest.raises(SpaceError, match="no range 'augmentation', so it cannot be 'shift'"):
        augmented({}, IMAGE, "shift")
