"""Which other forms a network has, in which order, and what they are called."""

import random

import pytest

from spaces.candidate import Compression, Problem
from spaces.catalog import SPACES
from spaces.chooser import Choices, Pick, RandomChooser, Recorder
from spaces.forms import other_forms, shape_of, steps_of
from spaces.recipe import recipe_ranges

IMAGE = Problem(kind="image", input_shape=(28, 28, 1), classes=10)
RANGES = recipe_ranges(IMAGE)
PLAIN = {"precision": "float32", "sparsity": 0.0, "slim": "no", "cluster": "no"}


def test_steps_name_what_is_done_in_order():
    everything = Compression(
        keep=0.5, sparsity=0.6, clusters=16, precision="int4", quantization="aware", int4_share=0.5
    )
    assert steps_of(everything) == (
        "keep 0.5", "sparsity 0.6", "16 clusters", "aware int4 in 0.5", "int4 in 0.5 after aware",
    )  # fmt: skip
    assert steps_of(Compression()) == ("float32",)
    assert len(steps_of(everything)) == len(everything.levers) + 1


def test_bytes_and_latency_do_not_depend_on_zeros_and_clusters():
    sparse = Compression(precision="int8", sparsity=0.5, clusters=8)
    assert shape_of(sparse) == shape_of(Compression(precision="int8")) == "int8"
    assert shape_of(Compression(keep=0.5)) == "keep 0.5 float32"
    assert shape_of(Compression(precision="int4", int4_share=0.5)) != shape_of(Compression(precision="int4"))


def test_conversions_come_before_what_is_fine_tuned():
    forms = list(other_forms(PLAIN, RANGES, deflated=False))
    tuned = [form.get("slim") == "yes" or form.get("quantization") == "aware" for form in forms]
    assert tuned == sorted(tuned)
    assert any(tuned)
    assert {form["precision"] for form in forms} == set(RANGES["precision"].options)


def test_a_slimmer_copy_ships_in_every_precision_the_trained_one_first():
    forms = [form for form in other_forms(PLAIN, RANGES, deflated=False) if form.get("slim") == "yes"]
    for keep in (0.5, 0.75, 0.25):
        precisions = [form["precision"] for form in forms if form["keep"] == keep]
        assert precisions[0] == "int8"
        assert set(precisions) == set(RANGES["precision"].options)


def test_zeros_and_clusters_are_for_deflated_files():
    stored = list(other_forms(PLAIN, RANGES, deflated=False))
    deflated = list(other_forms(PLAIN, RANGES, deflated=True))
    assert all(form.get("sparsity", 0.0) == 0.0 and form.get("clusters", 0) == 0 for form in stored)
    assert any(form["sparsity"] > 0 for form in deflated)
    assert any(form.get("clusters", 0) > 0 for form in deflated)


def test_networks_on_the_way_are_offered_too():
    answers = {**PLAIN, "slim": "yes", "keep": 0.5, "sparsity": 0.4, "cluster": "yes", "clusters": 8}
    ways = {
        (form["slim"], form["sparsity"], form["cluster"])
        for form in other_forms(answers, RANGES, deflated=False)
        if form.get("keep", 1.0) in (0.5, 1.0)
    }
    assert {("yes", 0.4, "yes"), ("yes", 0.4, "no"), ("yes", 0.0, "no"), ("no", 0.0, "no")} <= ways


def test_what_the_ranges_leave_out_is_not_offered():
    narrow = {
        **RANGES,
        "precision": Choices(options=("int8", "float16")),
        "slim": Choices(options=("no",)),
        "quantization": Choices(options=("post-training",)),
    }
    forms = list(other_forms(PLAIN, narrow, deflated=False))
    assert {form["precision"] for form in forms} == {"int8", "float16"}
    assert all(form["slim"] == "no" and form["quantization"] == "post-training" for form in forms)


def test_a_space_without_compression_has_no_forms():
    assert list(other_forms({"units": 3}, {}, deflated=True)) == []


@pytest.mark.parametrize("name", SPACES)
def test_every_form_of_a_shipped_space_leads_to_the_same_network(name):
    """Answers that lead to another architecture or training would be another candidate, not a form."""
    space = SPACES[name]()
    problem = {"image": IMAGE, "series": Problem(kind="series", input_shape=(64, 1, 3), classes=4)}.get(
        min(space.kinds - {"table"}), IMAGE
    )
    ranges = space.ranges(problem)
    for seed in range(10):
        first = Recorder(RandomChooser(random.Random(seed)))
        candidate = space.suggest(Pick(first, ranges), problem)
        made = 0
        for answers in other_forms(first.answers, ranges, deflated=True):
            if all(n in answers for n in _asked(space, problem, ranges, answers)):
                form = space.suggest(Pick(lambda n, _, a=answers: a[n], ranges), problem)
                assert form.model_copy(update={"compression": candidate.compression}) == candidate
                made += 1
        assert made >= 5


def _asked(space, problem, ranges, answers):
    names = []

    def note(name, within):
        names.append(name)
        return answers.get(name, RandomChooser(random.Random(0))(name, within))

    space.suggest(Pick(note, ranges), problem)
    return names
