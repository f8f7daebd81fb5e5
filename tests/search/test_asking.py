"""From an Optuna trial to a candidate, within what the plan wants now."""

import optuna
import pytest
from search_doubles import SmallSpace, facts_of, units

from search.asking import Asker, Declined, refuse_wider
from search.errors import StudyError
from search.limits import METRICS
from search.plan import make_plan
from search.telling import declined
from spaces.chooser import Choices, Integers, Reals
from spaces.errors import SpaceError


@pytest.fixture
def asker(make_study):
    def make(**ranges) -> Asker:
        facts = facts_of(make_study([], data={"kind": "table", "input_shape": (4,)}))
        return Asker(
            SmallSpace(), facts.model_copy(update={"plan": make_plan({"data": "x", "ranges": ranges})})
        )

    return make


def ask(asker: Asker, count: int, fixed: dict | None = None):
    """Return the candidates and how many asks were declined."""
    study, made, declined = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)), [], 0
    while len(made) < count:
        if fixed:
            study.enqueue_trial(fixed)
        trial = study.ask()
        try:
            made.append(asker.candidate(trial))
        except Declined:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            declined += 1
            if fixed:
                break
    return made, declined


def test_the_whole_space_is_asked(asker):
    made, declined = ask(asker(), 30)
    assert len({c.digest for c in made}) > 20 and not declined


def test_a_narrower_range_is_asked_as_such(asker):
    made, declined = ask(asker(units={"low": 5, "high": 9}), 40)
    assert {units(c) for c in made} == {5, 6, 7, 8, 9} and not declined


def test_a_single_value_is_not_asked_at_all(asker):
    study = optuna.create_study()
    trial = study.ask()
    assert units(asker(units=7).candidate(trial)) == 7
    assert set(trial.params) == {"precision"}


def test_some_numbers_of_a_range_are_asked_between_their_ends(asker):
    made, declined = ask(asker(units=[5, 6, 9]), 30)
    assert {units(c) for c in made} == {5, 6, 9}
    assert 0 < declined < 60


def test_categories_stay_those_of_the_study_and_the_others_are_declined(asker):
    study = optuna.create_study()
    asker().candidate(study.ask())  # the sampler has seen both
    made, declined = ask(asker(precision="int8"), 20)
    assert {c.compression.precision for c in made} == {"int8"} and declined


def test_what_is_asked_again_and_lies_outside_now_is_declined_without_a_warning(asker):
    made, declined = ask(asker(units={"low": 5, "high": 9}), 1, fixed={"units": 50, "precision": "int8"})
    assert not made and declined == 1


def test_a_declined_ask_has_all_constraints():
    state, values, constraints = declined(make_plan({"data": "x"}), steer_away=True)
    assert state == optuna.trial.TrialState.PRUNED and values is None
    assert constraints == dict.fromkeys(METRICS, 0.0)


def test_a_plan_wider_than_the_study_is_refused(asker):
    with pytest.raises(SpaceError, match="the range 'units' lies within 1 to 200, got 1 to 300"):
        asker(units={"low": 1, "high": 300})


FIRST = {
    "units": Integers(low=8, high=64),
    "rate": Reals(low=0.1, high=1.0),
    "kind": Choices(options=("a", "b")),
}


@pytest.mark.parametrize(
    "now",
    [
        {},
        {"units": Integers(low=8, high=9)},
        {"units": Choices(options=(8, 64))},
        {"rate": Reals(low=0.5, high=0.5)},
        {"kind": Choices(options=("b",))},
        {"units_1": Integers(low=10, high=20)},
    ],
)
def test_as_wide_or_narrower_is_let_through(now):
    refuse_wider("try-1", FIRST, {**FIRST, **now})


@pytest.mark.parametrize(
    ("first", "now", "told"),
    [
        ({}, {"units": Integers(low=8, high=65)}, r"'units' \(8 to 64, now 8 to 65\).*--range units=8..64"),
        ({}, {"rate": Reals(low=0.01, high=1.0)}, r"--range rate=0.1..1"),
        ({}, {"kind": Choices(options=("a", "b", "c"))}, "--range kind=a,b"),
        ({}, {"units_1": Integers(low=1, high=20)}, "narrower range 'units_1'"),
        ({"units_1": Integers(low=9, high=9)}, {}, r"narrower range 'units_1' \(9 to 9, now 8 to 64\)"),
        ({"units": Choices(options=(8, 16))}, {"units": Integers(low=8, high=16)}, "--range units=8,16"),
    ],
)
def test_wider_is_refused_with_the_way_out(first, now, told):
    with pytest.raises(StudyError, match=told):
        refuse_wider("try-1", {**FIRST, **first}, {**FIRST, **now})
