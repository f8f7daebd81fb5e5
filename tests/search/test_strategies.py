"""Strategies and samplers by name, and what a study begins with."""

import optuna
import pytest
from search_doubles import SmallSpace

from search.beginning import ladder
from search.errors import StudyError
from search.plan import make_plan
from search.samplers import sampler_of, seed_at
from search.strategies import STRATEGIES, Strategy, strategy_of
from spaces.candidate import Problem
from spaces.catalog import load_space
from spaces.ladder import rungs

GREY = Problem(kind="image", input_shape=(28, 28, 1), classes=10)


def plan(**more):
    return make_plan({"data": "digits", **more})


def test_each_strategy_has_all_parts_of_the_one_before():
    parts = [
        {name for name, on in strategy_of(plan(strategy=name)).model_dump().items() if on is True}
        for name in ("plain", "screened", "frugal")
    ]
    assert parts[0] == set()
    assert parts[0] < parts[1] < parts[2]
    assert parts[2] == {"ladder", "screening", "stopping", "harvest", "preselection"}
    assert set(STRATEGIES) == {"plain", "screened", "frugal"}


def test_frugal_is_what_a_plan_has_that_says_nothing():
    assert strategy_of(plan()) == STRATEGIES["frugal"]()


@pytest.mark.parametrize("part", ["ladder", "screening", "stopping", "harvest", "preselection"])
def test_a_part_is_switched_off_alone(part):
    left = strategy_of(plan(without=[part]))
    assert left == STRATEGIES["frugal"]().model_copy(update={part: False})


def test_the_plans_own_sampler_goes_before_the_strategys():
    assert strategy_of(plan(sampler="nsga2", strategy="plain")) == Strategy(sampler="nsga2")


def test_who_names_a_sampler_has_its_choice_and_no_other():
    assert strategy_of(plan()).preselection
    assert not strategy_of(plan(sampler="tpe")).preselection


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"strategy": "frugl"}, "no strategy named 'frugl'; did you mean 'frugal'"),
        ({"sampler": "nsga"}, "no sampler named 'nsga'; did you mean 'nsga2'"),
        ({"sampler": "not_there:make"}, "the sampler 'not_there:make' cannot be loaded"),
        ({"sampler": "math:pi"}, "has no function 'pi'"),
        ({"sampler": "builtins:dict"}, "its factory gave a dict"),
        ({"sampler": "my_samplers:broken"}, r"cannot be made \(RuntimeError: no such thing\)"),
    ],
)
def test_what_there_is_not_is_refused_in_one_line(given, told, own_samplers):
    with pytest.raises(StudyError, match=told) as error:
        strategy_of(plan(**given))
    assert "\n" not in str(error.value)


def test_a_part_that_there_is_not_is_refused():
    with pytest.raises(
        StudyError, match=r"without.*'ladder', 'screening', 'stopping', 'harvest' or 'preselection'"
    ):
        plan(without=["lader"])


@pytest.fixture
def own_samplers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_samplers.py").write_text(
        "import optuna\n"
        "def seeded(seed):\n    return optuna.samplers.RandomSampler(seed=seed)\n"
        "def seedless():\n    return optuna.samplers.QMCSampler()\n"
        "def broken():\n    raise RuntimeError('no such\\nthing')\n"
    )


def asked(sampler, count=12):
    """Return what a sampler asks for of a space, for values of two objectives."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    found = []
    for _ in range(count):
        trial = study.ask()
        units = trial.suggest_int("units", 1, 200)
        found.append((units, trial.suggest_float("rate", 0, 1)))
        study.tell(trial, [units / 200, units])
    return found


@pytest.mark.parametrize("name", ["tpe", "nsga2", "random", "my_samplers:seeded"])
def test_the_same_seed_asks_the_same(name, own_samplers):
    first, second, other = asked(sampler_of(name, 1)), asked(sampler_of(name, 1)), asked(sampler_of(name, 2))
    assert first == second
    assert first != other


def test_samplers_are_those_of_their_names(own_samplers):
    kinds = {"tpe": "SwiftTPESampler", "nsga2": "NSGAIISampler", "random": "RandomSampler"}
    kinds |= {"my_samplers:seedless": "QMCSampler", "optuna.samplers:CmaEsSampler": "CmaEsSampler"}
    assert {name: type(sampler_of(name, 3)).__name__ for name in kinds} == kinds


def test_a_study_taken_up_again_has_another_seed():
    assert len({seed_at(0, trials) for trials in range(100)} | {seed_at(1, 0)}) == 101
    assert seed_at(0, 5) == seed_at(0, 5)


def begun(**limits):
    space = load_space("convnet")
    return [rung.params for rung in ladder(space, GREY, space.ranges(GREY), plan(limits=limits))]


def test_the_first_rungs_span_all_sizes():
    space = load_space("convnet")
    rising = [rung.params for rung in rungs(space, GREY, space.ranges(GREY))]
    order = [rising.index(params) for params in begun()]
    assert sorted(order) == list(range(len(rising)))
    assert order[0] == 0
    assert max(order[:3]) >= len(rising) // 2


def test_rungs_that_cannot_keep_the_limit_on_bytes_are_left_out():
    few, many = begun(model_bytes=4000), begun()
    assert 0 < len(few) < len(many)
    assert [params for params in many if params in few] == sorted(few, key=many.index)


def test_a_space_without_a_ladder_begins_with_nothing():
    problem = Problem(kind="table", input_shape=(13,), classes=3)
    space = SmallSpace()
    assert ladder(space, problem, space.ranges(problem), plan()) == ()


class Broken(SmallSpace):
    def ladder(self, problem):
        raise KeyError("oh\ndear")


def test_a_users_ladder_that_fails_is_told_with_the_way_out():
    problem = Problem(kind="table", input_shape=(13,), classes=3)
    with pytest.raises(StudyError, match=r"'small' cannot make its ladder.*--without ladder") as error:
        ladder(Broken(), problem, Broken().ranges(problem), plan())
    assert "\n" not in str(error.value)
