"""Every lever and combination that can be: the file holds what was asked, and still knows its digits."""

import itertools

import numpy as np
import pytest
from small import DIGITS, compressed, digits, mixed

from objectives.accuracy import Scorer
from objectives.adapt import Adapter
from objectives.agreement import LOSSY, check_agreement, disagreement, tolerance
from objectives.aware import parameter_count
from objectives.blank import randomise
from objectives.build import build
from objectives.convert import convert
from objectives.errors import Mismatch
from objectives.flatbuffer import op_name, pack, unpack
from objectives.lowbit import low_bit_count
from objectives.stages import Clock
from objectives.verify import kernels, verify
from spaces.candidate import PRECISIONS, Compression

pytestmark = [pytest.mark.usefixtures("warm"), pytest.mark.slow]

BASE = mixed(epochs=6, learning_rate=1e-2, batch_size=32)
ADAPTED = {
    "plain": {},
    "slim": {"keep": 0.5},
    "pruned": {"sparsity": 0.6},
    "clustered": {"clusters": 16},
    "slim, pruned": {"keep": 0.5, "sparsity": 0.6},
    "pruned, clustered": {"sparsity": 0.6, "clusters": 16},
}


@pytest.fixture(scope="module")
def made():
    """Return a maker of adapted networks, each stage made once."""
    adapter = Adapter(lambda stage: build(stage, DIGITS, 0), digits(), Clock())
    known = {}

    def make(candidate):
        for stage in candidate.stages:
            if stage.digest not in known:
                before = known.get(previous.digest) if (previous := _before(candidate, stage)) else None
                known[stage.digest] = (
                    adapter.base(stage) if before is None else adapter.next(_copy(before), stage)
                )
        return known[candidate.stages[-1].digest]

    def _copy(network):
        # A lever works in place, and other combinations start from the same stage.
        return adapter.restored(network.stage, network.trained)

    def _before(candidate, stage):
        at = [s.digest for s in candidate.stages].index(stage.digest)
        return candidate.stages[at - 1] if at else None

    return make


def file_of(network, candidate, input_type="float32"):
    task = digits()
    return convert(network.model, task.inlet, candidate.compression, input_type, task.train.x[:200])


def accuracy(data):
    task = digits()
    return task.metric(task.valid.y, Scorer(data, task.inlet.normaliser).scores(task.valid.x))


@pytest.mark.parametrize("adapted", ADAPTED)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_precision_of_each_adapted_network_is_as_asked(made, adapted, precision):
    candidate = compressed(BASE, **ADAPTED[adapted], precision=precision)
    network = made(candidate)
    data = file_of(network, candidate)
    held = verify(data, candidate)
    task = digits()
    x = task.train.x[:64]
    found = Scorer(data, task.inlet.normaliser).scores(x)
    check_agreement(found, network.model(task.inlet(x), training=False).numpy(), candidate.compression)
    assert held.sparsity >= candidate.compression.sparsity - 0.02
    assert held.clusters is None or held.clusters <= 16
    assert accuracy(data) > (0.6 if precision == "int4" else 0.8)


@pytest.mark.parametrize("adapted", ADAPTED)
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_aware_networks_keep_zeros_and_clusters_in_their_files(made, adapted, precision):
    candidate = compressed(BASE, **ADAPTED[adapted], precision=precision, quantization="aware")
    network = made(candidate)
    data = file_of(network, candidate)
    verify(data, candidate)
    assert accuracy(data) > 0.8
    assert accuracy(data) == pytest.approx(network.trained.value, abs=0.02)


def test_what_awareness_adds_is_no_parameter(made):
    aware = made(compressed(BASE, precision="int4", quantization="aware"))
    assert parameter_count(aware.model) == made(BASE).model.count_params() < aware.model.count_params()


def test_aware_of_4_bits_is_no_worse_than_rounding_to_them(made):
    aware = compressed(BASE, precision="int4", quantization="aware")
    after = compressed(BASE, precision="int4")
    assert accuracy(file_of(made(aware), aware)) >= accuracy(file_of(made(after), after)) - 0.005


@pytest.mark.parametrize("quantization", ["post-training", "aware"])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_share_of_the_layers_has_4_bits(made, quantization, share):
    candidate = compressed(BASE, precision="int4", int4_share=share, quantization=quantization)
    found = kernels(file_of(made(candidate), candidate))
    low = sum(kernel.weights == "INT4" for kernel in found)
    assert low == low_bit_count(sum(kernel.prunable for kernel in found), share) < len(found)


@pytest.mark.parametrize(
    ("precision", "quantization"), list(itertools.product(["int8", "int4"], ["post-training", "aware"]))
)
def test_int8_input_goes_with_every_integer_precision(made, precision, quantization):
    candidate = compressed(BASE, precision=precision, quantization=quantization)
    data = file_of(made(candidate), candidate, "int8")
    verify(data, candidate)
    scorer = Scorer(data, digits().inlet.normaliser)
    assert (scorer.input["dtype"], scorer.output["dtype"]) == (np.int8, np.int8)
    assert accuracy(data) > 0.6


@pytest.mark.parametrize("adapted", ["plain", "slim"])
@pytest.mark.parametrize(
    ("precision", "quantization"), [("int8", "aware"), ("int4", "aware"), ("int4", "post-training")]
)
def test_a_blank_weighs_what_the_adapted_network_weighs(made, adapted, precision, quantization):
    candidate = compressed(BASE, **ADAPTED[adapted], precision=precision, quantization=quantization)
    task = digits()
    blank = randomise(
        Adapter(lambda stage: build(stage, DIGITS, 0), task, Clock()).blank(candidate.stages[-1]), 0
    )
    untrained = convert(blank, task.inlet, candidate.compression, "float32", task.train.x[:200])
    assert len(untrained) == len(file_of(made(candidate), candidate))


def test_more_clusters_than_asked_are_a_mismatch(made):
    candidate = compressed(BASE, clusters=16)
    with pytest.raises(Mismatch, match=r"4 clusters were asked, the file has \d+ in a channel"):
        verify(file_of(made(candidate), candidate), compressed(BASE, clusters=4))


def test_fewer_low_bit_layers_than_asked_are_a_mismatch(made):
    half = compressed(BASE, precision="int4", int4_share=0.5)
    with pytest.raises(Mismatch, match=r"int4 was asked in \d layers, the file has it in \d"):
        verify(file_of(made(half), half), compressed(BASE, precision="int4"))


def test_a_file_of_another_network_disagrees(made):
    """What a converter may do without a word: here, one kernel upside down."""
    candidate = compressed(BASE, precision="int8")
    network, task = made(candidate), digits()
    model = unpack(file_of(network, candidate))
    graph = model.subgraphs[0]
    op = next(op for op in graph.operators if op_name(model, op) == "FULLY_CONNECTED")
    buffer = model.buffers[graph.tensors[op.inputs[1]].buffer]
    buffer.data = np.ascontiguousarray(np.asarray(buffer.data)[::-1])
    x = task.train.x[:64]
    found = Scorer(pack(model), task.inlet.normaliser).scores(x)
    expected = network.model(task.inlet(x), training=False).numpy()
    assert disagreement(found, expected) > 2 * tolerance(candidate.compression)
    with pytest.raises(Mismatch, match="differ from the network's"):
        check_agreement(found, expected, candidate.compression)


def noisy(share):
    """Return scores and what was expected, this far apart."""
    generator = np.random.default_rng(0)
    expected = generator.normal(0, 1, (400, 10))
    scores = expected + share * generator.normal(0, 1, expected.shape)
    assert disagreement(scores, expected) == pytest.approx(share, rel=0.1)
    return scores, expected


def test_more_than_usual_is_put_down_to_rounding_only_where_the_rest_agrees():
    eight, (scores, expected) = Compression(precision="int8"), noisy(0.25)
    check_agreement(scores, expected, eight, lambda: expected)
    with pytest.raises(Mismatch, match=r"by 0\.25 of their spread, and rounding to int8 explains 0\.1"):
        check_agreement(scores, expected, eight, lambda: scores)
    with pytest.raises(Mismatch):
        check_agreement(scores, expected, eight)


@pytest.mark.parametrize(
    "compression",
    [
        Compression(precision="float32"),
        Compression(precision="float16"),
        Compression(precision="int8", quantization="aware"),
    ],
    ids=lambda compression: f"{compression.precision}, {compression.quantization}",
)
def test_nothing_but_8_bits_after_the_training_loses_more_than_usual(compression):
    scores, expected = noisy(0.25)
    with pytest.raises(Mismatch):
        check_agreement(scores, expected, compression, lambda: expected)


def test_what_has_little_in_common_with_the_network_is_no_rounding():
    scores, expected = noisy(2 * LOSSY)
    with pytest.raises(Mismatch):
        check_agreement(scores, expected, Compression(precision="int8"), lambda: expected)


def test_the_unrounded_file_is_made_only_where_it_is_needed():
    scores, expected = noisy(0.01)
    check_agreement(scores, expected, Compression(precision="int8"), lambda: pytest.fail("it is not"))


def test_equal_scores_agree_and_nan_does_not():
    scores = np.random.default_rng(0).normal(0, 1, (5, 3))
    check_agreement(scores, scores, Compression())
    with pytest.raises(Mismatch):
        check_agreement(scores * np.nan, scores, Compression(precision="int4"))
