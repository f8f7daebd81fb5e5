"""The other forms of a trained network: which are made, which are left out, and what is known of them."""

import pytest
from small import dense, mixed
from test_evaluate import Steady
from test_stopping import GOALS, RISES

from hardware_profiles.artifact import ArtifactStore
from hardware_profiles.device import Device
from hardware_profiles.errors import MeasuringFailed
from hardware_profiles.graph import read_graph
from objectives import adapt
from objectives.brief import Brief
from objectives.evaluate import Evaluator
from objectives.goals import Goal
from objectives.harvest import Harvest
from objectives.outcome import Infeasible, Measured, Stopped
from objectives.stages import Clock
from objectives.standing import Spread, Standing
from spaces.candidate import Compression
from spaces.forms import shape_of, steps_of

pytestmark = pytest.mark.usefixtures("warm")

INT8, FLOAT16 = Compression(precision="int8"), Compression(precision="float16")
HALF = Compression(keep=0.5, precision="int8")
BASE = dense(16, learning_rate=1e-2)


@pytest.fixture
def harvested(make_setting):
    """Evaluate a candidate with siblings on digits, latency a constant unless a runner is given."""

    def run(siblings, candidate=BASE, standing=None, runner=None, goals=GOALS, **brief):
        setting = make_setting("digits", goals=goals)
        one = Evaluator(setting, Device(setting.profile, runner or Steady(), None))
        asked = Brief(siblings=siblings, standing=standing or Standing(), **brief)
        return one.evaluate(candidate, asked), setting, one

    return run


def test_a_network_is_offered_in_its_other_forms(harvested):
    outcome, setting, one = harvested((INT8, FLOAT16))
    assert isinstance(outcome, Measured)
    by_form = {made.compression: made for made in outcome.evidence.harvest}
    assert by_form.keys() == {INT8, FLOAT16}
    for form, made in by_form.items():
        again = one.evaluate(BASE.model_copy(update={"compression": form}))
        seen = {m.metric: m.value for m in made.measurements}
        assert made.artifact == again.evidence.artifact  # the very file that the form would have had
        assert seen["accuracy"] == again.evidence.values["accuracy"]
        assert seen["model_bytes"] == len(ArtifactStore(setting.artifacts).get(made.artifact))
        assert made.values == outcome.evidence.stages
    assert outcome.evidence.seconds["train"] > 0
    assert "train" not in one.evaluate(BASE).evidence.seconds


def test_a_slimmer_copy_is_trained_on_from_the_network(harvested):
    outcome, _, _ = harvested((HALF,), candidate=dense(16, learning_rate=1e-2, epochs=12))
    (made,) = outcome.evidence.harvest
    assert made.error is None
    assert len(made.values) == 2
    assert made.values[0] == outcome.evidence.stages[0]
    assert made.parameters < outcome.evidence.parameters


def likely(forms):
    """How a study stands that expects some forms to be small and quick, and their errors to grow so much."""
    half = {"keep 0.5": Spread(mean=0.0, deviation=0.01, count=9)}
    gaps = half | {form.precision: Spread(mean=mean, deviation=30.0, count=9) for form, mean in forms.items()}
    ratios = {
        f"{metric}: float32 > {shape_of(form)}": Spread(mean=-9.0, deviation=0.0, count=9)
        for metric in ("latency_ms", "model_bytes", "arena_bytes")
        for form in forms
    }
    least = {"accuracy": 0.3, "latency_ms": 1e-9, "model_bytes": 0.1}
    return Standing(front=(least,), gaps=gaps, ratios=ratios)


def test_a_copy_that_was_worth_a_fine_tuning_is_converted_on_a_smaller_chance(harvested):
    """Once it is there, its other precisions cost a conversion alone."""
    network, narrow = dense(16, learning_rate=1e-2, epochs=12), Compression(keep=0.5, precision="float16")
    standing = likely({HALF: -30.0, narrow: 30.0})  # 8 in 10, 2 in 10
    alone, _, _ = harvested((narrow,), candidate=network, standing=standing)
    assert alone.evidence.harvest == ()
    outcome, _, _ = harvested((HALF, narrow), candidate=network, standing=standing)
    first, second = outcome.evidence.harvest
    assert (first.compression, second.compression) == (HALF, narrow)
    assert (first.error, second.error) == (None, None)
    assert first.values == second.values  # one and the same network


def test_any_precision_may_be_what_a_slimmer_copy_is_made_for(harvested):
    network, narrow = dense(16, learning_rate=1e-2, epochs=12), Compression(keep=0.5, precision="float16")
    standing = likely({HALF: 90.0, narrow: -30.0})
    outcome, _, _ = harvested((HALF, narrow), candidate=network, standing=standing)
    assert [made.compression for made in outcome.evidence.harvest] == [narrow]


def test_a_fine_tuning_that_fails_is_not_tried_for_each_precision(harvested, monkeypatch):
    tried = []

    def fails(*_):
        tried.append(1)
        raise RuntimeError("no such filters")

    monkeypatch.setitem(adapt._STEPS, "slim", fails)
    narrow = Compression(keep=0.5, precision="float16")
    outcome, _, _ = harvested((HALF, narrow), candidate=dense(16, learning_rate=1e-2, epochs=12))
    assert [made.error for made in outcome.evidence.harvest] == ["RuntimeError: no such filters"]
    assert len(tried) == 1


@pytest.mark.parametrize(("within_s", "tuned"), [(0.0, False), (0.01, False), (1e4, True), (None, True)])
def test_no_fine_tuning_goes_on_after_the_study(harvested, within_s, tuned):
    """A conversion takes no time worth speaking of; what is trained already is offered."""
    outcome, _, _ = harvested((INT8, HALF), dense(16, learning_rate=1e-2, epochs=12), within_s=within_s)
    assert {made.compression for made in outcome.evidence.harvest} == ({INT8, HALF} if tuned else {INT8})


@pytest.mark.parametrize("within_s", [0.0, 1e4])
def test_what_a_fine_tuning_takes_is_known_of_a_network_that_was_kept(harvested, within_s):
    network = dense(16, learning_rate=1e-2, epochs=12)
    _, _, one = harvested((), network)
    kept = network.model_copy(update={"compression": INT8})
    brief = Brief(siblings=(HALF,), standing=Standing(), within_s=within_s)
    outcome = one.evaluate(kept, brief)
    assert "train" not in outcome.evidence.seconds
    assert one.training_s(kept) == one.training_s(network) > 0
    assert len(outcome.evidence.harvest) == (within_s > 0)


def test_what_breaks_a_limit_itself_keeps_no_form_from_being_made(harvested):
    """Deflated bytes are known only of what was trained: the float32 file has too many of them."""
    goals = (*GOALS, Goal(metric="compressed_bytes", direction="minimize", objective=False, limit=5e3))
    slow = {"latency_ms: float32 > int8": Spread(mean=1.0, deviation=0.0, count=9)}
    worse = {"int8": Spread(mean=2.0, deviation=0.01, count=9)}
    goals = tuple(g for g in goals if g.metric != "model_bytes")
    standing = Standing(ratios=slow, gaps=worse)
    outcome, _, _ = harvested((INT8,), dense(16, learning_rate=1e-2), standing=standing, goals=goals)
    assert isinstance(outcome, Infeasible)
    (made,) = outcome.evidence.harvest
    assert made.error is None
    wide = tuple(g.model_copy(update={"limit": 1e6}) if g.limit else g for g in goals)
    outcome, _, _ = harvested((INT8,), dense(16, learning_rate=1e-2), standing=standing, goals=wide)
    assert outcome.evidence.harvest == ()  # it is dominated by what ships


def test_only_forms_that_keep_the_limits_are_there_to_be_beaten(harvested):
    limited = tuple(g.model_copy(update={"limit": 3e3}) if g.metric == "model_bytes" else g for g in GOALS)
    _, _, one = harvested((), goals=limited)
    harvest = Harvest(one, BASE, Brief(standing=Standing()), {}, {}, Clock())
    for size in (4e3, 2e3):
        harvest._take_in({"accuracy": 0.9, "latency_ms": 0.1, "model_bytes": size})
    assert [point["model_bytes"] for point in harvest._prospects.standing.front] == [2e3]


@pytest.mark.parametrize(("epochs", "expected"), [(20, 0.6), (3, 2 / 3), (2, 1.0)])
def test_a_fine_tuning_is_reckoned_by_the_epochs_that_it_runs(harvested, epochs, expected):
    """Of a short training it takes more than its share: two epochs at least."""
    network = dense(16, learning_rate=1e-2, epochs=epochs)
    _, _, one = harvested((), network)
    harvest = Harvest(one, network, Brief(standing=Standing()), {}, {}, Clock())
    slim = network.model_copy(update={"compression": HALF})
    assert harvest._cost_s(slim, 100.0) == pytest.approx(100 * expected)


def test_all_forms_are_measured_in_one_go(harvested):
    class Counting(Steady):
        def __init__(self):
            self.calls = []

        def measure(self, models, anchor):
            self.calls.append(len(models))
            return super().measure(models, anchor)

    runner = Counting()
    harvested((INT8, FLOAT16), runner=runner)
    assert runner.calls == [1, 2]


def test_what_cannot_join_the_front_is_not_made(harvested):
    """float16 was seen to change nothing and to be larger than int8, which is tried before it."""
    sure = Spread(mean=0.0, deviation=0.0, count=9)
    ratios = {
        f"{metric}: float32 > {form}": Spread(mean=mean, deviation=0.0, count=9)
        for metric in ("latency_ms", "model_bytes", "arena_bytes")
        for form, mean in (("float16", 0.5), ("int8", -1.0))
    }
    known = Standing(gaps={"float16": sure, "int8": sure}, ratios=ratios)
    outcome, _, _ = harvested((FLOAT16,), standing=known)
    assert outcome.evidence.harvest == ()
    outcome, _, _ = harvested((INT8,), standing=known)
    assert len(outcome.evidence.harvest) == 1


def test_a_form_that_turns_out_worse_is_not_measured_but_recorded(harvested):
    quick = {"accuracy": 1.0, "latency_ms": 0.1, "model_bytes": 1.0}
    ratios = {"latency_ms: float32 > float16": Spread(mean=1.0, deviation=0.0, count=9)}
    unsure = {"float16": Spread(mean=0.0, deviation=3.0, count=9)}
    outcome, _, _ = harvested((FLOAT16,), standing=Standing(front=(quick,), ratios=ratios, gaps=unsure))
    (made,) = outcome.evidence.harvest
    assert made.error == "not measured: its accuracy and bytes cannot join the front"
    assert made.artifact
    shown = {m.metric: m.value for m in made.measurements}
    assert 0 < shown["accuracy"] < 1 and shown["model_bytes"] > 0 and "latency_ms" not in shown


def test_a_form_that_fails_costs_itself_alone(harvested):
    class Refusing(Steady):
        def measure(self, models, anchor):
            if len(models) > 1:
                raise MeasuringFailed("one of them crashed")
            if "QUANTIZE" in kinds(models[0]):
                raise MeasuringFailed("this one crashed")
            return super().measure(models, anchor)

    def kinds(path):
        return [op.kind for op in read_graph(path.read_bytes()).ops]

    outcome, _, _ = harvested((INT8, FLOAT16), runner=Refusing())
    errors = {made.compression: made.error for made in outcome.evidence.harvest}
    assert errors[FLOAT16] is None
    assert errors[INT8] == "MeasuringFailed: this one crashed"


@pytest.mark.usefixtures("looked_at")
def test_a_stopped_trial_still_offers_the_network_that_it_has(harvested):
    """Pruning is not worth it, as the study has seen; the unpruned network may be."""
    lost = {"sparsity 0.5": Spread(mean=3.0, deviation=0.001, count=9)}
    ratio = {
        f"{m}: float32 > int8": Spread(mean=-2.0, deviation=0.0, count=9)
        for m in ("latency_ms", "model_bytes")
    }
    front = ({"accuracy": 0.7, "latency_ms": 0.05, "model_bytes": 2000.0},)
    known = Standing(front=front, gaps=lost, ratios=ratio, rises=RISES, chance=0.05)
    sparse = BASE.model_copy(update={"compression": Compression(sparsity=0.5)})
    outcome, _, _ = harvested((INT8,), candidate=sparse, standing=known, stopping=True)
    assert isinstance(outcome, Stopped), outcome
    assert "before its last steps" in outcome.reason
    (made,) = outcome.evidence.harvest
    assert made.compression == INT8
    assert made.error is None
    assert "prune" not in outcome.evidence.seconds


def test_the_blank_is_not_measured_twice(harvested):
    class Counting(Steady):
        calls = 0

        def measure(self, models, anchor):
            Counting.calls += len(models)
            return super().measure(models, anchor)

    fast = Goal(metric="latency_ms", direction="minimize", limit=5.0)
    outcome, _, _ = harvested(
        (), candidate=mixed(epochs=1), runner=Counting(), goals=(GOALS[0], fast, GOALS[2])
    )
    assert isinstance(outcome, Measured), outcome
    assert Counting.calls == 1
    assert "measure" not in outcome.evidence.seconds


def test_steps_of_harvested_forms_are_as_many_as_their_values(harvested):
    outcome, _, _ = harvested((HALF, INT8), candidate=dense(16, learning_rate=1e-2, epochs=12))
    for made in outcome.evidence.harvest:
        assert len(made.values) == len(steps_of(made.compression))
