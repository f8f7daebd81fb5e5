"""Candidates: what is refused, and which digest depends on what."""

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from spaces.candidate import Candidate, Compression, Problem, Resize, Rfe, Training
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Residual
from spaces.value import digest

CONV = Conv(filters=4, kernel=(3, 3))
CANDIDATE = Candidate(architecture=(CONV, GlobalPool(), Dense(units=8)))


def changed(**changes):
    """Return the candidate with other training or compression."""
    parts = {"training": Training, "compression": Compression}
    return Candidate(
        architecture=CANDIDATE.architecture, **{key: parts[key](**values) for key, values in changes.items()}
    )


@pytest.mark.parametrize(
    ("layers", "rule"),
    [
        ((CONV,), "holds global-pool or flatten"),
        ((), "holds global-pool or flatten"),
        ((Dense(units=3), Flatten()), "dense needs a vector"),
        ((Flatten(), CONV), "conv needs positions"),
        ((GlobalPool(), Residual(filters=1, kernel=(1, 1))), "residual needs positions"),
        ((Flatten(), GlobalPool()), "global-pool needs positions"),
        ((CONV, GlobalPool(), DepthwiseSeparable(filters=1, kernel=(3, 3))), "depthwise-separable needs"),
    ],
)
def test_layers_in_an_order_that_cannot_be_are_refused(layers, rule):
    with pytest.raises(ValidationError, match=rule):
        Candidate(architecture=layers)


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (Conv, {"filters": 0, "kernel": (3, 3)}),
        (Conv, {"filters": 4, "kernel": (0, 3)}),
        (Conv, {"filters": 4, "kernel": (3, 3), "stride": (0, 1)}),
        (Dense, {"units": 0}),
        (Training, {"learning_rate": 0.0}),
        (Training, {"learning_rate": float("nan")}),
        (Training, {"dropout": 1.0}),
        (Training, {"epochs": 0}),
        (Training, {"optimizer": "lion"}),
        (Compression, {"sparsity": 1.0}),
        (Compression, {"precision": "int3"}),
        (Compression, {"clusters": 1}),
        (Compression, {"keep": 0.0}),
        (Compression, {"precision": "float16", "quantization": "aware"}),
        (Compression, {"precision": "int8", "int4_share": 0.5}),
        (Rfe, {"columns": 0}),
        (Resize, {"scale": 1.0}),
        (Compression, {"sparsty": 0.5}),
    ],
)
def test_values_out_of_range_are_refused(value, fields):
    with pytest.raises(ValidationError):
        value(**fields)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("table", (8, 8, 1)), ("image", (64,)), ("image", (8, 8)), ("series", (50, 2, 3)), ("table", (0,))],
)
def test_a_problem_of_another_shape_than_its_kind_is_refused(kind, shape):
    with pytest.raises(ValidationError):
        Problem(kind=kind, input_shape=shape, classes=2)


def test_a_candidate_cannot_be_changed():
    with pytest.raises(ValidationError):
        CANDIDATE.training.epochs = 3


def test_json_keeps_every_layer():
    layers = (
        CONV,
        DepthwiseSeparable(filters=4, kernel=(5, 5), stride=(2, 2)),
        Residual(filters=8, kernel=(3, 3)),
        Flatten(),
        Dense(units=3),
    )
    candidate = Candidate(architecture=layers)
    assert Candidate.model_validate_json(candidate.model_dump_json()) == candidate


def test_each_digest_depends_on_its_stage_alone():
    pruned, int8 = changed(compression={"sparsity": 0.5}), changed(compression={"precision": "int8"})
    trained = changed(training={"epochs": 3})
    assert CANDIDATE.base == pruned.base == int8.base != trained.base
    assert CANDIDATE.stages == int8.stages
    assert len({c.stages[-1].digest for c in (CANDIDATE, pruned, trained)}) == 3
    assert len({c.digest for c in (CANDIDATE, pruned, int8, trained)}) == 4


def test_each_lever_is_a_stage_of_its_own_on_the_way():
    whole = {"keep": 0.5, "sparsity": 0.5, "clusters": 16, "precision": "int4", "quantization": "aware"}
    candidate = changed(compression=whole)
    assert candidate.compression.levers == ("slim", "prune", "cluster", "aware")
    steps = [stage.compression for stage in candidate.stages]
    assert steps[0] == Compression()
    assert steps[1] == Compression(keep=0.5)
    assert steps[2] == Compression(keep=0.5, sparsity=0.5)
    assert steps[3] == Compression(keep=0.5, sparsity=0.5, clusters=16)
    assert candidate.stages[-1] == candidate


def test_what_only_converts_is_no_stage():
    for compression in ({"precision": "float16"}, {"precision": "int4", "int4_share": 0.5}):
        assert changed(compression=compression).stages == (CANDIDATE,)


def test_bits_are_a_stage_only_where_they_are_trained():
    pruned = changed(compression={"sparsity": 0.5, "precision": "int8"})
    aware = changed(compression={"sparsity": 0.5, "precision": "int8", "quantization": "aware"})
    assert aware.stages[:2] == pruned.stages
    assert len(aware.stages) == 3


def test_equal_numbers_written_otherwise_have_one_digest():
    whole = {"architecture": [{"type": "flatten"}], "training": {"l1": 0, "learning_rate": 1}}
    assert Candidate.model_validate(whole) == Candidate.model_validate_json(
        json.dumps({**whole, "training": {"learning_rate": 1.0, "l1": 0.0}})
    )
    one, other = (
        Candidate.model_validate(whole),
        Candidate.model_validate({**whole, "training": {"learning_rate": 1.0, "l1": 0.0}}),
    )
    assert one.digest == other.digest


def test_a_digest_is_the_same_in_another_process():
    code = (
        "from spaces.candidate import Candidate; import sys;"
        "print(Candidate.model_validate_json(sys.argv[1]).digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, CANDIDATE.model_dump_json()], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == CANDIDATE.digest
    assert len(CANDIDATE.digest) == 16


def test_parts_of_a_digest_do_not_run_together():
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("1") != digest(1)
