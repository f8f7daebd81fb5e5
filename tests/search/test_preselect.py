"""Trying first what promises most."""

import random
from collections import Counter

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_doubles import (
    Screen,
    SmallSpace,
    TableExecutor,
    facts_of,
    figures,
    measured,
    screened,
    table,
    units,
)

from objectives.outcome import Evidence, Measured, Stopped
from search import preselect
from search.asking import Asker
from search.book import Book
from search.driver import Driver
from search.hypervolume import hypervolume
from search.ledger import NullLedger
from search.preselect import BEGINNING, LOOKED_AT, Preselect, _Near
from search.promise import Box, Foresight
from search.samplers import sampler_of
from search.storage import create, open_storage, read_study, write_facts
from spaces.candidate import Problem
from spaces.catalog import load_space
from spaces.chooser import Choices, Integers, Pick, Reals, Recorder


class Bench:
    """A study of the small space with preselection; what is looked up is counted."""

    def __init__(self, record, trials, widths=2000, storage=None, limits=None):
        facts = facts_of(record, widths)
        self.facts = facts.model_copy(update={"plan": facts.plan.model_copy(update={"trials": trials})})
        self.asker, self.looked_up = Asker(SmallSpace(widths), self.facts), Counter()
        self.study = create(open_storage(storage) if storage else None, "try-1", self.facts.plan.goals)
        self.study.sampler = sampler_of("random", 1)
        write_facts(self.study, self.facts)

    def look(self, candidate):
        self.looked_up[candidate.digest] += 1
        known = figures(candidate)
        return {"latency_ms": known["latency_ms"], "model_bytes": known["model_bytes"]}

    def preselect(self, seed=0, left=lambda: 0.0):
        return Preselect(self.asker, self.facts.plan.goals, self.look, seed, left)

    def run(self, preselect=None, capacity=1, answer=None):
        executor = TableExecutor(answer or table(self.facts.plan.goals), capacity)
        book = Book(self.study, self.facts, self.asker, preselect)
        Driver(book, executor, NullLedger(), Screen()).run()
        return executor

    @property
    def volume(self):
        points = [trial.values for trial in read_study(self.study).trials if trial.state == "measured"]
        return hypervolume(points, self.facts.plan.goals, 1 / 3)


@pytest.fixture
def bench(make_study):
    def make(trials, limits=None, limit_on="min", **kwargs):
        data = {"kind": "table", "input_shape": (4,)}
        record = make_study([], data=data, limits=limits or {}, limit_on=limit_on)
        return Bench(record, trials, **kwargs)

    return make


def test_the_sampler_begins_and_each_ask_looks_up_so_many(bench):
    study = bench(BEGINNING + 5)
    study.run(study.preselect())
    assert set(study.looked_up.values()) <= {1, 2}
    chosen = [t for t in study.study.get_trials() if "fixed_params" in t.system_attrs]
    assert [trial.number for trial in chosen] == list(range(BEGINNING, BEGINNING + 5))
    tried = {trial.candidate.digest for trial in read_study(study.study).trials}
    assert len(set(study.looked_up) - tried) <= 5 * LOOKED_AT


def test_it_is_better_than_the_sampler_alone(bench):
    alone, helped = bench(60), bench(60)
    alone.run()
    helped.run(helped.preselect())
    assert helped.volume > alone.volume


def test_nothing_is_tried_twice_and_the_same_seed_is_the_same_study(bench):
    runs = []
    for seed in (0, 0, 1):
        study = bench(40)
        executor = study.run(study.preselect(seed), capacity=3)
        digests = [candidate.digest for _, candidate in executor.submitted]
        assert len(set(digests)) == len(digests) == 40
        runs.append(digests)
    assert runs[0] == runs[1] != runs[2]


def test_what_breaks_a_limit_for_sure_is_not_tried(bench):
    study = bench(60, limits={"model_bytes": 20_000})
    executor = study.run(study.preselect())
    chosen = [t.number for t in study.study.get_trials() if "fixed_params" in t.system_attrs]
    assert chosen
    submitted = dict(executor.submitted)
    assert all(figures(submitted[number])["model_bytes"] <= 20_000 for number in chosen)


def test_what_breaks_a_limit_by_its_bound_is_not_tried_however_much_a_model_hopes_for(bench):
    study = bench(60, limits={"model_bytes": 20_000})
    study.look = lambda candidate: {"least_bytes": figures(candidate)["model_bytes"] / 2}
    chooser = study.preselect()
    space = [study.asker.made(_Near({}, random.Random(i))) for i in range(200)]
    allowed = [
        c for c in space if chooser._allowed(chooser._known(c, {"units": units(c), "precision": "int8"}))
    ]
    assert allowed == [c for c in space if figures(c)["model_bytes"] <= 40_000]
    assert 0 < len(allowed) < len(space)


def test_what_broke_a_limit_on_another_statistic_is_not_there_to_be_beaten(bench):
    study = bench(1, limits={"latency_ms": 1.0}, limit_on="p90")
    chooser, space = study.preselect(), study.asker
    for p90, allowed in ((0.9, True), (3.0, False)):
        seen = measured({"accuracy": 0.9, "latency_ms": 0.4, "model_bytes": 900.0, "latency_p90_ms": p90})
        candidate = space.made(answers := Recorder(lambda name, within: 7 if name == "units" else "int8"))
        chooser.learn(candidate, answers.answers, Measured(evidence=seen))
        (known,) = chooser._tried.values()
        assert chooser._allowed(known) == allowed


@pytest.mark.parametrize("hope", [True, False], ids=["", "hopeless"])
@pytest.mark.parametrize(("metric", "most"), [("latency_ms", 0.05), ("arena_bytes", 6_000.0)])
def test_of_what_is_screened_out_it_learns_where_the_limit_is(bench, metric, most, hope, monkeypatch):
    """Whether it is put on an objective or on a figure that is none, and where nothing would grow too."""
    if not hope:
        monkeypatch.setattr(Box, "growths", lambda _, points: np.zeros(len(points)))
    study = bench(120, limits={metric: most})
    (goal,) = (goal for goal in study.facts.plan.goals if goal.limit is not None)
    assert goal.metric == metric and goal.objective == (metric == "latency_ms")
    study.look = lambda candidate: {"weights": 1.0 + units(candidate)}

    def told(candidate):
        return {**figures(candidate), "arena_bytes": 10.0 * units(candidate)}

    def answer(candidate):
        if (value := told(candidate)[metric]) > most:
            return screened(goal, value)
        return Measured(evidence=measured(told(candidate)))

    executor = study.run(study.preselect(), answer=answer)
    numbers = {t.number for t in study.study.get_trials() if "fixed_params" in t.system_attrs}
    chosen = [candidate for number, candidate in executor.submitted if number in numbers]
    assert len(chosen) > 50
    assert sum(told(candidate)[metric] > most for candidate in chosen) <= 2


def test_a_study_taken_up_again_knows_what_was_tried(bench, tmp_path):
    study = bench(30, storage=f"sqlite:///{tmp_path / 's.db'}")
    study.run()
    again = study.preselect()
    study.facts = study.facts.model_copy(update={"plan": study.facts.plan.model_copy(update={"trials": 33})})
    study.run(again)
    chosen = [t.number for t in study.study.get_trials() if "fixed_params" in t.system_attrs]
    assert chosen == [30, 31, 32], "it has enough to begin with at once"
    record = read_study(study.study)
    assert len({trial.candidate.digest for trial in record.trials}) == 33


def test_a_space_that_is_searched_through_is_left_to_the_sampler(bench):
    study = bench(100, widths=9)
    executor = study.run(study.preselect())
    assert len({units(c) for _, c in executor.submitted}) == 9


def test_what_is_only_a_bound_helps_and_the_rest_is_modelled(bench):
    study = bench(50)
    study.look = lambda candidate: {"least_bytes": 40.0 * units(candidate)}
    plain = bench(50)
    plain.run()
    study.run(study.preselect())
    assert study.volume > plain.volume


def timed(candidate):
    """Answer from the table; floating point takes much longer."""
    outcome = table()(candidate)
    took = {"train": 1.0 if candidate.compression.precision == "int8" else 100.0}
    return outcome.model_copy(update={"evidence": outcome.evidence.model_copy(update={"seconds": took})})


def spent_s(study):
    trials = read_study(study.study).trials[BEGINNING:]
    return sum(trial.evidence.seconds["train"] for trial in trials)


def test_by_the_clock_what_takes_long_has_to_promise_more(bench):
    whole, none = bench(60), bench(60)
    whole.run(whole.preselect(left=lambda: 1.0), answer=timed)
    none.run(none.preselect(), answer=timed)
    assert spent_s(whole) < 0.7 * spent_s(none)


def test_near_the_end_seconds_count_for_less(bench):
    runs = []
    for left in (0.0, 1e-9, -1.0):
        study = bench(40)
        executor = study.run(study.preselect(left=lambda left=left: left), answer=timed)
        runs.append([candidate.digest for _, candidate in executor.submitted])
    assert runs[0] == runs[1] == runs[2]


def test_seconds_are_not_foretold_where_no_clock_ends_the_study(bench, monkeypatch):
    monkeypatch.setattr(Foresight, "seconds", lambda _self: pytest.fail("that is work for nothing"))
    study = bench(BEGINNING + 3)
    assert len(study.run(study.preselect(), answer=timed).submitted) == BEGINNING + 3


def stopping(candidate):
    """Answer from the table, but stop integers: they would have been no better than a guess."""
    outcome = table()(candidate)
    if candidate.compression.precision != "int8":
        return outcome
    known = tuple(m for m in outcome.evidence.measurements if m.metric != "accuracy")
    return Stopped(epoch=1, reason="hopeless", expected=0.1, evidence=Evidence(measurements=known))


def test_the_like_of_what_was_stopped_is_not_tried_again_and_again(bench):
    def integers(answer):
        study = bench(80)
        executor = study.run(study.preselect(), answer=answer)
        return sum(c.compression.precision == "int8" for _, c in executor.submitted[-30:])

    def silent(candidate):
        outcome = stopping(candidate)
        expected = {"expected": None} if isinstance(outcome, Stopped) else {}
        return outcome.model_copy(update=expected)

    assert integers(stopping) < 0.5 * integers(silent)


def test_of_a_conditional_space_it_makes_what_the_space_would(make_study):
    space, problem = load_space("convnet"), Problem(kind="image", input_shape=(28, 28, 1), classes=10)
    facts = facts_of(make_study([]))
    facts = facts.model_copy(update={"problem": problem, "ranges": dict(space.ranges(problem))})
    asker, chance = Asker(space, facts), random.Random(0)
    params = {}
    for _ in range(60):
        chooser = Recorder(_Near(params, chance))
        candidate = asker.made(chooser)
        params = chooser.answers
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.enqueue_trial(params)
        trial = study.ask()
        assert asker.candidate(trial) == candidate and trial.params == params


ranges = st.one_of(
    st.integers(1, 50).flatmap(
        lambda low: st.builds(Integers, low=st.just(low), high=st.integers(low, 99), step=st.integers(1, 7))
    ),
    st.integers(1, 50).map(lambda low: Integers(low=low, high=low + 40, log=True)),
    st.floats(0.01, 5).map(lambda low: Reals(low=low, high=low * 9, log=True)),
    st.floats(0.1, 0.3).map(lambda step: Reals(low=0.0, high=1.0, step=step)),
    st.just(Choices(options=("a", "b"))),
)


@given(ranges, st.integers(0, 2**32))
def test_whatever_it_chooses_the_range_holds(within, seed):
    chance, value = random.Random(seed), None
    for _ in range(5):
        value = _Near({} if value is None else {"x": value}, chance)("x", within)
        assert within.holds(value)


def test_a_parent_is_changed_in_few_places():
    parent = {f"x_{i}": 50 for i in range(12)}
    within, chance = Integers(low=1, high=100), random.Random(1)
    changes = []
    for _ in range(300):
        near = _Near(parent, chance)
        changes.append(sum(near(name, within) != 50 for name in parent))
    assert sum(changes) / 300 == pytest.approx(preselect.CHANGED, abs=0.3)
    assert Pick(_Near(parent, chance), {"x": within}).integer("x", 3) in range(1, 101)
