"""Trials that end because no form of theirs can join the front, and those that are finished to check."""

from typing import ClassVar

import numpy as np
import pytest
from small import dense
from test_evaluate import Steady

from hardware_profiles.device import Device
from objectives.adapt import Adapter, tuning_s
from objectives.average import PER_EPOCH, WORTH_A_LOOK_S, Average, Looks
from objectives.brief import Brief
from objectives.evaluate import Evaluator
from objectives.goals import Goal
from objectives.outcome import Epoch, Measured, Stopped
from objectives.standing import Spread, Standing
from objectives.stopping import Hopeless, Prospects, Watch
from objectives.weights import Trained
from spaces.candidate import Compression

pytestmark = pytest.mark.usefixtures("warm")

GOALS = (
    Goal(metric="accuracy", direction="maximize"),
    Goal(metric="latency_ms", direction="minimize"),
    Goal(metric="model_bytes", direction="minimize"),
)
FLOAT = Compression()
NONE_LOST = {step: Spread(mean=0.0, deviation=0.01, count=9) for step in ("float32", "int8")}
RISES = {part: Spread(mean=-0.3, deviation=0.05, count=20) for part in range(21)}


def standing(accuracy, chance=0.05, **more):
    """A front whose one point is tiny and quick, so that nothing but accuracy can beat it."""
    best = {"accuracy": accuracy, "latency_ms": 1e-6, "model_bytes": 1.0}
    return Standing(front=(best,), gaps=NONE_LOST, rises=RISES, chance=chance, **more)


def watch(known_standing, forms=(FLOAT,), *, audit=False, known=None, looked=None):
    def look():
        if looked is not None:
            looked.append(1)
        return known or {"latency_ms": 1.0, "model_bytes": 1000.0}

    return Watch(known_standing, GOALS, "maximize", 20, forms, look, audit=audit)


def point(epoch, averaged, valid=0.1):
    return Epoch(epoch=epoch, loss=1.0, valid=valid, averaged=averaged)


def test_a_curve_that_cannot_reach_the_front_ends_the_trial():
    with pytest.raises(Hopeless) as stopped:
        watch(standing(0.95))(point(7, 0.5))
    assert stopped.value.doubt.epoch == 7
    assert "showed 0.5000 after epoch 7" in stopped.value.doubt.reason
    assert "needs 0.9500" in stopped.value.doubt.reason
    assert [p.epoch for p in stopped.value.curve] == [7]


def test_a_curve_that_may_reach_it_goes_on():
    watching = watch(standing(0.95))
    watching(point(4, 0.93))  # an error of .07 shrinks to .052 on the average
    watching(point(7, 0.94))
    assert watching.doubt is None


def test_the_average_is_judged_and_not_what_an_unfinished_schedule_shows():
    watch(standing(0.95))(point(7, 0.99, valid=0.2))
    with pytest.raises(Hopeless):
        watch(standing(0.95))(point(7, 0.2, valid=0.99))


@pytest.mark.parametrize(
    ("known_standing", "seen"),
    [
        (standing(0.95).model_copy(update={"rises": {}}), point(7, 0.1)),  # too few curves to extrapolate by
        (standing(0.95), point(7, None)),  # the average was not looked at
        (standing(0.95), point(20, 0.1)),  # it is over
        (Standing(rises=RISES, chance=0.05), point(7, 0.1)),  # there is no front yet
    ],
)
def test_without_knowledge_nothing_is_stopped(known_standing, seen):
    watching = watch(known_standing)
    watching(seen)
    assert watching.doubt is None


def test_what_its_form_takes_is_found_out_once_and_only_when_needed():
    looked: list[int] = []
    watching = watch(standing(0.9), looked=looked)
    watching(point(1, None))
    assert not looked
    watching(point(4, 0.89))
    watching(point(7, 0.89))
    assert looked == [1]


def test_another_form_may_save_a_trial():
    """int8 takes a third of the bytes, as the study has seen: there accuracy is not needed."""
    small = Compression(precision="int8")
    ratios = {
        f"{metric}: float32 > int8": Spread(mean=-1.1, deviation=0.01, count=9)
        for metric in ("latency_ms", "model_bytes")
    }
    front = ({"accuracy": 0.95, "latency_ms": 0.5, "model_bytes": 500.0},)
    known_standing = standing(0.95, ratios=ratios).model_copy(update={"front": front})
    with pytest.raises(Hopeless):
        watch(known_standing)(point(7, 0.5))
    watching = watch(known_standing, (FLOAT, small))
    watching(point(7, 0.5))
    assert watching.doubt is None
    unseen = known_standing.model_copy(update={"ratios": {}})  # of which nothing is known: in its favour
    watch(unseen, (FLOAT, small))(point(7, 0.5))


def test_figures_of_another_form_are_taken_at_their_best():
    ratio = Spread(mean=-1.0, deviation=0.1, count=9)
    known_standing = Standing(ratios={"latency_ms: float32 > int8": ratio})
    prospects = Prospects(known_standing, GOALS, FLOAT, {"latency_ms": 1.0, "model_bytes": 9.0})
    found = prospects.figures(Compression(precision="int8", sparsity=0.5))
    assert found == {"latency_ms": pytest.approx(np.exp(-1.0 - 2 * 0.1 * np.sqrt(10 / 9)))}
    assert prospects.figures(Compression(sparsity=0.5)) == prospects.known


def test_a_check_finishes_the_trial_and_says_when_it_would_have_ended():
    watching = watch(standing(0.95), audit=True)
    watching(point(7, 0.5))
    watching(point(10, 0.5))
    assert watching.doubt.epoch == 7


def test_levers_are_not_tried_on_what_cannot_join():
    both = Compression(sparsity=0.5, precision="int8")
    with pytest.raises(Hopeless, match=r"showed 0\.6000 before its last steps"):
        watch(standing(0.95), (both,)).between(0.6, 0, 20)
    watch(standing(0.95), (both,)).between(0.95, 0, 20)


@pytest.mark.parametrize(("left_s", "asked"), [(WORTH_A_LOOK_S - 0.1, []), (WORTH_A_LOOK_S, [(0.6, 1, 3)])])
def test_levers_that_take_no_time_are_tried_without_a_question(left_s, asked):
    class Spy:
        seen: ClassVar[list[tuple[float, int, int]]] = []

        def between(self, *seen):
            self.seen.append(seen)

    adapter = Adapter(None, None, None, watch=Spy())
    adapter.look(Trained([], (point(3, None),), 0.6), 1, left_s)
    assert Spy.seen == asked


def test_what_fine_tuning_takes_goes_by_its_epochs():
    both = dense(8, epochs=20).model_copy(update={"compression": Compression(keep=0.5, sparsity=0.5)})
    assert tuning_s(both, 0, 10.0) == pytest.approx(10.0 * (12 + 6) / 20)
    assert tuning_s(both, 1, 10.0) == pytest.approx(10.0 * 6 / 20)
    assert tuning_s(both, 2, 10.0) == tuning_s(both, 0, None) == 0.0


@pytest.mark.usefixtures("looked_at")
def test_a_trial_is_stopped_and_says_what_was_seen(make_setting):
    setting = make_setting("digits", goals=GOALS)
    one = Evaluator(setting, Device(setting.profile, Steady(), None))
    candidate = dense(8, epochs=6, learning_rate=1e-4)
    outcome = one.evaluate(candidate, Brief(standing=standing(0.99), stopping=True))
    assert isinstance(outcome, Stopped), outcome
    assert 2 <= outcome.epoch < 6
    shown = max(p.averaged for p in outcome.evidence.curve if p.averaged is not None)
    assert shown < outcome.expected < 0.99
    assert [p.epoch for p in outcome.evidence.curve] == list(range(1, outcome.epoch + 1))
    assert outcome.evidence.values.keys() >= {"latency_ms", "model_bytes"}
    assert "accuracy" not in outcome.evidence.values
    assert not list(setting.weights.glob("*.npz"))  # what is not finished is not kept


@pytest.mark.usefixtures("looked_at")
def test_a_checked_trial_is_measured_with_its_doubt(make_setting):
    one = Evaluator(make_setting("digits", goals=GOALS), Device(_profile(make_setting), Steady(), None))
    brief = Brief(standing=standing(0.99), stopping=True, audit=True)
    outcome = one.evaluate(dense(8, epochs=6, learning_rate=1e-4), brief)
    assert isinstance(outcome, Measured), outcome
    assert outcome.evidence.doubt.epoch < 6
    assert sum(p.averaged is not None for p in outcome.evidence.curve) >= 2


def test_a_training_that_is_soon_over_is_not_looked_at(make_setting):
    one = Evaluator(make_setting("digits", goals=GOALS), Device(_profile(make_setting), Steady(), None))
    brief = Brief(standing=standing(0.99), stopping=True)
    outcome = one.evaluate(dense(8, epochs=20, learning_rate=1e-4), brief)
    assert isinstance(outcome, Measured), outcome
    assert all(p.averaged is None for p in outcome.evidence.curve[1:])
    assert "screen" not in outcome.evidence.seconds or outcome.evidence.seconds["screen"] < 0.01


@pytest.mark.usefixtures("looked_at")
def test_nothing_is_stopped_unless_it_is_asked_for(make_setting):
    one = Evaluator(make_setting("digits", goals=GOALS), Device(_profile(make_setting), Steady(), None))
    outcome = one.evaluate(dense(8, epochs=6, learning_rate=1e-4), Brief(standing=standing(0.99)))
    assert isinstance(outcome, Measured)
    assert all(p.averaged is None for p in outcome.evidence.curve)


@pytest.mark.usefixtures("looked_at")
def test_averaging_changes_nothing_of_the_training(make_setting, tmp_path):
    def weights(stopping, folder):
        setting = make_setting("digits", goals=GOALS, weights=tmp_path / folder)
        never = standing(0.1)
        one = Evaluator(setting, Device(setting.profile, Steady(), None))
        outcome = one.evaluate(dense(8, epochs=6), Brief(standing=never, stopping=stopping))
        assert isinstance(outcome, Measured), outcome
        return outcome.evidence.artifact

    assert weights(True, "a") == weights(False, "b")


def test_the_average_lags_behind_and_comes_to_rest_and_begins_anew(warm):
    import tf_keras

    network = tf_keras.Sequential([tf_keras.layers.Dense(1, use_bias=False, input_shape=(1,))])
    found = Average(network)

    def take_in(weight, times):
        network.set_weights([np.full((1, 1), weight, np.float32)])
        for _ in range(times):
            found.take_in()

    def shown():
        with found.in_place():
            return float(network.get_weights()[0][0, 0])

    take_in(0.0, 5)
    take_in(1.0, 1)
    assert shown() == pytest.approx(1 / 6)
    assert network.get_weights()[0] == 1.0  # its own weights are back
    take_in(1.0, 1)
    assert shown() == 1.0  # what was before a look does not count any more
    take_in(0.0, 20)
    take_in(1.0, 1)
    assert shown() == pytest.approx(0.1)
    take_in(0.0, 1)
    take_in(1.0, 100)
    assert shown() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("steps_per_epoch", "epochs", "every", "after", "counting"),
    [
        (400, 20, 25, {4, 7, 10, 13}, {4, 7, 10, 13}),
        (400, 6, 25, {2, 3, 4}, {2, 3, 4}),
        (400, 1, 25, {1}, {1}),
        (20, 20, 1, {4, 7, 10, 13}, {4, 7, 10, 13}),
        (4, 20, 1, {4, 7, 10, 13}, set(range(1, 14))),
        (1, 40, 1, {8, 14, 20, 26}, set(range(1, 27))),
    ],
)
def test_weights_are_averaged_shortly_before_they_are_looked_at(
    steps_per_epoch, epochs, every, after, counting
):
    looks = Looks(None, steps_per_epoch, epochs)
    assert looks.every == every
    assert {epoch for epoch in range(1, epochs + 1) if looks.due(epoch)} == after
    assert {epoch for epoch in range(1, epochs + 1) if looks.counts(epoch)} == counting
    assert steps_per_epoch / every <= 2 * PER_EPOCH


def test_it_is_looked_at_as_long_as_enough_is_left():
    looks = Looks(None, 400, 20)
    looks.took(4, seconds=WORTH_A_LOOK_S / 16)
    assert looks.due(4) and looks.counts(7)
    looks.took(7, seconds=WORTH_A_LOOK_S / 16)
    assert not looks.due(7) and not looks.counts(10)


def _profile(make_setting):
    return make_setting("digits").profile
