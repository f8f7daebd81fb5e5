"""The loop that asks and tells, over real storages and an executor that answers from a table."""

import contextlib
from collections import Counter
from typing import Any

import optuna
import pytest
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

from objectives.outcome import Failed, Infeasible, Measured, Stopped
from search.asking import Asker
from search.book import Book
from search.clock import REAL, Clock, FakeClock
from search.counsel import Counsel
from search.driver import MOST_GIVEN_UP, PATIENCE, TUNED_WITHIN, Driver
from search.errors import NothingFits, Paused, StudyError
from search.front import front
from search.ledger import MemoryLedger
from search.limits import METRICS
from search.storage import Facts, create, open_storage, read_study, read_trials, write_facts
from search.strategies import Strategy
from search.telling import MOST_RETRIES, requeue

TrialState = optuna.trial.TrialState


class Bench:
    """A study over the small space, driven as often as a test likes."""

    def __init__(self, facts: Facts, storage: Any, widths: int) -> None:
        self.facts, self.space, self.ledger, self.screen = facts, SmallSpace(widths), MemoryLedger(), Screen()
        self.study = create(storage, "try-1", facts.plan.goals)
        self.study.sampler = optuna.samplers.RandomSampler(seed=1)  # the loop is tested, not the search
        write_facts(self.study, facts)

    def driver(self, executor: Any, clock: Clock = REAL, strategy: Strategy | None = None) -> Driver:
        asker = Asker(self.space, self.facts)
        counsel = Counsel(asker, self.facts, strategy, ()) if strategy else None
        book = Book(self.study, self.facts, asker)
        return Driver(book, executor, self.ledger, self.screen, counsel, clock=clock)

    def run(self, answer: Any = None, capacity: int = 2) -> TableExecutor:
        executor = TableExecutor(answer or table(self.facts.plan.goals), capacity)
        self.driver(executor).run()
        return executor

    @property
    def record(self):
        return read_study(self.study)

    @property
    def states(self) -> Counter[str]:
        return Counter(trial.state for trial in self.record.trials)


@pytest.fixture
def bench(make_study):
    """Make a study: `bench(trials=30, widths=200, storage=URL)`; in memory unless a storage is given."""

    def make(*, trials: int = 30, widths: int = 200, storage: str | None = None, **plan: Any) -> Bench:
        record = make_study([], data={"kind": "table", "input_shape": (4,)}, **plan)
        facts = facts_of(record, widths)
        facts = facts.model_copy(update={"plan": facts.plan.model_copy(update={"trials": trials})})
        return Bench(facts, open_storage(storage) if storage else None, widths)

    return make


def sqlite(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'studies.db'}"


def test_a_study_of_300_trials_ends_with_300_new_candidates(bench):
    study = bench(trials=300, widths=100_000)
    executor = study.run()
    numbers = [number for number, _ in executor.submitted]
    assert len(numbers) == len(set(numbers)) == 300
    assert len({candidate.digest for _, candidate in executor.submitted}) == 300
    assert study.states == {"measured": 300}
    assert set(study.ledger.trials["try-1"]) == set(numbers)


def test_the_front_is_that_of_optuna_and_metrics_are_named(bench, tmp_path):
    study = bench(trials=25, storage=sqlite(tmp_path), limits={"model_bytes": 4000})
    study.run()
    loaded = optuna.load_study(study_name="try-1", storage=sqlite(tmp_path))
    assert loaded.metric_names == ["accuracy", "latency_ms", "model_bytes"]
    ours = {
        tuple(t.values[m] for m in loaded.metric_names)
        for t in front(study.record.trials, study.record.goals)
    }
    assert {tuple(trial.values) for trial in loaded.best_trials} == ours
    assert ours


def test_the_limits_are_in_the_study_as_constraints_always_all_and_in_order(bench):
    study = bench(trials=40, limits={"model_bytes": 2000, "accuracy": 0.8})
    study.run()
    told = [t for t in study.study.get_trials() if t.state in {TrialState.COMPLETE, TrialState.PRUNED}]
    assert {tuple(trial.constraints) for trial in told} == {METRICS}
    for trial in told:
        assert (trial.state == TrialState.COMPLETE) == (max(trial.constraints.values()) <= 0)
    assert study.states["infeasible"] > 0 and study.states["measured"] > 0


def test_duplicates_are_answered_from_the_record(bench):
    study = bench(trials=12, widths=6)
    executor = study.run()
    assert len({candidate.digest for _, candidate in executor.submitted}) == len(executor.submitted) <= 12
    repeated = [t for t in study.study.get_trials() if "duplicate_of" in t.user_attrs]
    assert repeated
    for trial in repeated:
        original = study.study.get_trials()[trial.user_attrs["duplicate_of"]]
        assert trial.values == original.values and trial.constraints == original.constraints
    assert all(trial.duplicate_of is None for trial in study.record.trials)


def test_a_space_searched_through_ends_the_study_with_a_word(bench):
    study = bench(trials=100, widths=3)
    executor = study.run()
    assert len(executor.submitted) == 6
    assert [text for text in study.screen.said if "repetitions" in text]


def test_a_space_searched_through_ends_well_whatever_its_last_candidate_was(bench):
    """Some did not fit; but what was asked for at the end was all known."""
    study = bench(trials=100, widths=3)
    study.run(lambda c: Failed(error="it became NaN") if units(c) == 3 else table()(c), capacity=1)
    assert study.states == {"measured": 4, "failed": 2}
    assert [text for text in study.screen.said if "repetitions" in text]


def test_nothing_fits_names_the_limit_that_binds_and_the_nearest(bench):
    study = bench(trials=1000, widths=1000, limits={"accuracy": 0.5, "model_bytes": 400})
    with pytest.raises(NothingFits) as caught:
        study.run(capacity=1)
    nearest = min(study.record.trials, key=lambda t: t.values["model_bytes"])
    assert str(caught.value) == (
        f"no new candidate fits after {PATIENCE} asks in a row: the limit model_bytes 400 binds, the nearest "
        f"was trial {nearest.number} with {nearest.values['model_bytes']:.6g}; "
        "relax the limit or widen the ranges"
    )
    assert len(study.study.get_trials()) == PATIENCE


def test_nothing_new_fits_although_something_did(bench):
    study = bench(trials=1000, widths=1000, limits={"model_bytes": 400})
    first = iter(range(3))

    def answer(candidate):
        if next(first, None) is None:
            return table(study.facts.plan.goals)(candidate)
        return Measured(evidence=measured({**figures(candidate), "model_bytes": 300}))

    with pytest.raises(NothingFits, match="the limit model_bytes 400 binds, the nearest was trial"):
        study.run(answer)
    assert study.states["measured"] == 3 and study.states["infeasible"] > PATIENCE / 2


def test_a_finite_space_of_which_nothing_fits_is_an_error_each_time(bench):
    study = bench(trials=100, widths=2, limits={"model_bytes": 100})
    for _ in range(2):
        with pytest.raises(NothingFits, match="the limit model_bytes 100 binds"):
            study.run()
    assert study.states == {"infeasible": 4}


def test_candidates_that_fail_count_for_nothing_and_are_not_tried_again(bench):
    def answer(candidate):
        return Failed(error="the loss became NaN") if units(candidate) % 2 else table()(candidate)

    study = bench(trials=20, widths=60)
    executor = study.run(answer)
    assert study.states["measured"] == 20 and study.states["failed"] > 0
    assert len({candidate.digest for _, candidate in executor.submitted}) == len(executor.submitted)
    failed = next(trial for trial in study.record.trials if trial.state == "failed")
    assert study.study.get_trials()[failed.number].state == TrialState.PRUNED
    assert failed.reason == "the loss became NaN"


def test_only_failures_end_the_study_with_where_to_look(bench):
    study = bench(trials=10)
    with pytest.raises(NothingFits, match=r"could be measured; `edgesearch trials try-1` says why"):
        study.run(lambda _: Failed(error="the loss became NaN"))


def test_stopped_counts_as_a_trial(bench):
    study = bench(trials=10)
    study.run(lambda c: Stopped(epoch=3, reason="too late") if units(c) % 2 else table()(c))
    assert study.states["stopped"] + study.states["measured"] == 10 and study.states["stopped"]


def test_a_worker_that_dies_costs_that_trial_alone(bench):
    deaths = Counter()

    def answer(candidate):
        if units(candidate) % 5 == 0 and candidate.compression.precision == "int8":
            deaths[candidate.digest] += 1
            return 1 // 0
        return table()(candidate)

    study = bench(trials=60, widths=60)
    study.run(answer)
    assert set(deaths.values()) == {MOST_RETRIES + 1}
    assert study.states == {"measured": 60, "failed": len(deaths)}
    failed = next(trial for trial in study.record.trials if trial.state == "failed")
    assert failed.reason == "the worker died: killed, 3 times"
    assert study.study.get_trials()[failed.number].state == TrialState.PRUNED


def test_a_worker_that_dies_once_is_forgiven(bench):
    died = set()

    def answer(candidate):
        if candidate.digest not in died:
            died.add(candidate.digest)
            return 1 // 0
        return table()(candidate)

    study = bench(trials=10)
    study.run(answer)
    assert study.states == {"measured": 10}


def test_workers_that_always_die_end_the_study_and_nothing_is_lost(bench):
    study = bench(trials=20)
    with pytest.raises(
        StudyError, match=f"{MOST_GIVEN_UP} candidates in a row failed 3 times each, .*killed"
    ):
        study.run(lambda _: 1 // 0)
    asked = {t.number for t in study.study.get_trials(states=(TrialState.RUNNING,))}
    assert len(asked) >= MOST_GIVEN_UP
    assert requeue(study.study, study.facts.plan, blame=False) == len(asked)
    study.run()
    assert study.states == {"measured": 20}
    assert {t.retry_of for t in study.record.trials} >= asked


def test_the_time_limit_is_kept(bench):
    class Ticking(FakeClock):
        def now(self) -> float:
            self.advance(1)
            return super().now()

    study = bench(trials=500, timeout_s=60)
    study.driver(TableExecutor(table(study.facts.plan.goals)), Ticking()).run()
    assert 0 < study.states["measured"] < 60


def test_a_worker_is_told_how_long_the_study_goes_on(bench):
    clock, executors = FakeClock(), []
    for limit_s in (60.0, None):
        study = bench(trials=5, timeout_s=limit_s)

        def answer(candidate, study=study):
            clock.advance(25)
            return table(study.facts.plan.goals)(candidate)

        executors.append(TableExecutor(answer, capacity=1))
        study.driver(executors[-1], clock, Strategy(harvest=True)).run()
    limited, endless = ([brief.within_s for brief in one.briefs.values()] for one in executors)
    assert limited == [60, 35, 10]
    assert endless == [TUNED_WITHIN * 3600] * 5


def test_a_fine_tuning_ends_before_its_trial_is_given_up(bench):
    study = bench(trials=3, timeout_s=60, trial_timeout_s=50)
    executor = TableExecutor(table(study.facts.plan.goals), capacity=1)
    study.driver(executor, FakeClock(), Strategy(harvest=True)).run()
    assert {brief.within_s for brief in executor.briefs.values()} == {40}


def test_the_status_counts_and_knows_the_best(bench):
    study = bench(trials=30, limits={"model_bytes": 5000})
    study.run()
    last = study.screen.shown[-1]
    states = study.states
    assert (last.done, last.wanted, last.running) == (30, 30, 0)
    assert (last.measured, last.infeasible) == (states["measured"], states["infeasible"])
    assert 0 < last.hypervolume < 1
    best = {point.measurement.metric: point.measurement.value for point in last.best}
    fitting = [trial.values for trial in study.record.trials if trial.state == "measured"]
    assert best == {
        "accuracy": max(values["accuracy"] for values in fitting),
        "latency_ms": min(values["latency_ms"] for values in fitting),
        "model_bytes": min(values["model_bytes"] for values in fitting),
    }


def test_a_space_that_fails_is_named(bench):
    study = bench()
    study.space.suggest = lambda pick, problem: pick.integer("units") // 0
    with pytest.raises(StudyError, match=r"the space 'small' cannot make a candidate \(ZeroDivisionError"):
        study.run()


def test_a_space_that_returns_something_else_is_named(bench):
    study = bench()
    study.space.suggest = lambda pick, problem: {"units": 3}
    with pytest.raises(StudyError, match="suggest returns a Candidate, got dict"):
        study.run()


# Kill points: the driver is cut off where it calls something, as `kill -9` would, and a new one takes over.


class Killed(BaseException):
    """Stands for `kill -9`: nothing catches it."""


@pytest.mark.parametrize("call", [3, 7, 20, 33, 34, 35, 36, 37, 38, 60])
@pytest.mark.parametrize(
    "where", ["create_new_trial", "set_trial_user_attr", "set_trial_system_attr", "set_trial_state_values"]
)
def test_a_kill_at_any_write_loses_nothing_that_was_finished(bench, monkeypatch, where, call):
    study = bench(trials=12, widths=40)
    storage, answered = study.study._storage, []
    write, calls = getattr(storage, where), iter(range(1000))

    def killing(*args, **kwargs):
        if next(calls) == call:
            raise Killed
        return write(*args, **kwargs)

    def answer(candidate):
        answered.append(candidate.digest)
        return table()(candidate)

    with monkeypatch.context() as patched:
        patched.setattr(storage, where, killing)
        with contextlib.suppress(Killed):
            study.run(answer)
    before = {t.number: t.outcome for t in study.record.trials if t.state == "measured"}
    requeue(study.study, study.facts.plan, blame=True)
    assert not study.study.get_trials(states=(TrialState.RUNNING,))
    study.run(answer)
    after = {t.number: t.outcome for t in study.record.trials if t.state == "measured"}
    assert len(after) == 12
    assert before.items() <= after.items()
    assert max(Counter(answered).values()) <= 2
    assert len(answered) <= 12 + 2  # what was in flight was done twice, and nothing else
    digests = [t.candidate.digest for t in study.record.trials]
    assert len(digests) == len(set(digests))


def test_a_result_that_was_stored_but_not_told_is_told_by_the_next(bench):
    study = bench(trials=1)
    trial = study.study.ask()
    candidate = Asker(study.space, study.facts).candidate(trial)
    outcome = table()(candidate)
    trial.set_user_attr("candidate", candidate.model_dump_json())
    trial.set_constraint("accuracy", 0.0)  # the kill came between the constraints
    trial.set_user_attr("outcome", outcome.model_dump_json())
    assert requeue(study.study, study.facts.plan, blame=True) == 0
    told = study.study.get_trials()[0]
    assert told.state == TrialState.COMPLETE and set(told.constraints) == set(METRICS)
    assert not study.run().submitted


def test_what_was_in_flight_is_asked_again_with_the_same_parameters(bench):
    study = bench(trials=4)
    trial = study.study.ask()
    candidate = Asker(study.space, study.facts).candidate(trial)
    trial.set_user_attr("candidate", candidate.model_dump_json())
    assert requeue(study.study, study.facts.plan, blame=True) == 1
    executor = study.run(capacity=1)
    number, again = executor.submitted[0]
    assert again == candidate
    record = {t.number: t for t in study.record.trials}
    assert record[number].retry_of == 0 and 0 not in record


def test_a_trial_with_which_the_driver_died_three_times_is_given_up(bench):
    study = bench(trials=4)
    for _ in range(MOST_RETRIES + 1):
        trial = study.study.ask()
        candidate = Asker(study.space, study.facts).candidate(trial)
        trial.set_user_attr("candidate", candidate.model_dump_json())
        requeue(study.study, study.facts.plan, blame=True)
    (given_up,) = study.record.trials
    assert given_up.state == "failed" and "3 times while this trial ran" in (given_up.reason or "")
    assert study.study.get_trials()[given_up.number].state == TrialState.PRUNED
    executor = study.run()
    assert candidate.digest not in {c.digest for _, c in executor.submitted}


def test_without_blame_a_trial_is_asked_again_as_often_as_it_takes(bench):
    study = bench(trials=4)
    for _ in range(6):
        trial = study.study.ask()
        Asker(study.space, study.facts).candidate(trial)
        assert requeue(study.study, study.facts.plan, blame=False) == 1


# Limits that change between calls.


def relimited(study: Bench, **limits: float) -> Facts:
    plan = study.facts.plan.model_copy(update={"limits": study.facts.plan.limits.model_copy(update=limits)})
    return study.facts.model_copy(update={"plan": plan})


def test_states_follow_the_limits_as_they_stand_now(bench):
    study = bench(trials=40, limits={"model_bytes": 3000})
    study.run()
    for limit in (1500, 6000):
        plan = relimited(study, model_bytes=limit).plan
        for trial in read_trials(study.study, plan):
            fits = figures(trial.candidate)["model_bytes"] <= limit
            assert trial.state == ("measured" if fits else "infeasible")


def test_what_was_screened_out_is_open_again_under_a_limit_that_it_keeps(bench):
    study = bench(trials=5, limits={"model_bytes": 1000})
    goal = next(goal for goal in study.facts.plan.goals if goal.metric == "model_bytes")

    def answer(candidate):
        size = figures(candidate)["model_bytes"]
        return screened(goal, size) if size > 1000 else table()(candidate)

    study.run(answer)
    out = [t for t in study.record.trials if t.state == "infeasible"]
    assert out
    wider = relimited(study, model_bytes=2000).plan
    left = {t.number: t for t in read_trials(study.study, wider)}
    for trial in out:
        size = figures(trial.candidate)["model_bytes"]
        assert (trial.number in left) == (size > 2000)
        if trial.number in left:
            violation = left[trial.number].outcome.violations[0]
            assert (violation.limit, violation.value) == (2000, size)
    tighter = relimited(study, model_bytes=600).plan
    assert {t.number for t in out} <= {t.number for t in read_trials(study.study, tighter)}


def test_an_infeasible_answer_without_a_file_keeps_its_state(bench):
    study = bench(trials=3, limits={"latency_ms": 0.002})
    goal = next(goal for goal in study.facts.plan.goals if goal.metric == "latency_ms")
    study.run(lambda _: screened(goal, 0.5))
    assert study.states == {"infeasible": 3}
    assert all(isinstance(t.outcome, Infeasible) for t in study.record.trials)


# A device that goes away.


def gone(after: int, goals: Any) -> Any:
    """Return a function that answers from the table, and after some trials as a device that is gone."""
    left = iter(range(after))
    known = table(goals)

    def answer(candidate: Any) -> Any:
        if next(left, None) is None:
            return Failed(error="ssh://board does not answer", fault="device")
        return known(candidate)

    return answer


def test_a_device_that_is_gone_pauses_the_study_and_loses_no_trial(bench):
    study = bench(trials=12)
    with pytest.raises(Paused, match="'try-1' pauses: ssh://board does not answer; everything") as paused:
        study.run(gone(5, study.facts.plan.goals))
    assert paused.value.exit_code == 3
    before = {t.number: t for t in study.record.trials if t.outcome}
    assert len(before) == 5 and study.states["running"] == 2, "what was under way is still to be settled"
    asked = {t.candidate.digest for t in study.record.trials if t.state == "running"}
    assert requeue(study.study, study.facts.plan, blame=False) == 2
    executor = study.run()
    assert {c.digest for _, c in executor.submitted} >= asked, "it is asked again"
    assert study.states["measured"] == 12 and not study.states["running"]
    assert before.items() <= {t.number: t for t in study.record.trials}.items()


def test_a_device_that_is_gone_is_no_candidates_fault(bench):
    study = bench(trials=6)
    for _ in range(MOST_RETRIES + 2):
        with pytest.raises(Paused):
            study.run(gone(0, ()))
        requeue(study.study, study.facts.plan, blame=False)
    study.run()
    assert study.states["measured"] == 6
    assert all(t.retry_of is None or t.state == "measured" for t in study.record.trials if t.outcome)
    assert not [t for t in study.record.trials if isinstance(t.outcome, Failed)]


def test_the_status_tells_what_limits_the_study_and_how_long_it_still_takes(bench):
    study, answer = bench(trials=12), table(())

    def timed(candidate):
        outcome = answer(candidate)
        spent = outcome.evidence.model_copy(update={"seconds": {"train": 3.0, "measure": 1.0}})
        return outcome.model_copy(update={"evidence": spent})

    study.run(timed, capacity=2)
    first, last = study.screen.shown[0], study.screen.shown[-1]
    assert first.limited_by is None and first.seconds_left is None
    assert last.limited_by is not None and last.limited_by.cause == "workers"
    assert last.seconds_left == 0
    middle = next(moment for moment in study.screen.shown if moment.done == 6)
    assert middle.seconds_left == pytest.approx(6 * 4.0 / 2, rel=0.2)


def test_a_study_that_is_taken_up_tells_its_time_at_once(bench):
    study, answer = bench(trials=4), table(())

    def timed(candidate):
        outcome = answer(candidate)
        spent = outcome.evidence.model_copy(update={"seconds": {"train": 5.0}})
        return outcome.model_copy(update={"evidence": spent})

    study.run(timed)
    study.facts = study.facts.model_copy(update={"plan": study.facts.plan.model_copy(update={"trials": 8})})
    write_facts(study.study, study.facts)
    study.screen.shown.clear()
    study.run(timed)
    assert study.screen.shown[0].seconds_left == pytest.approx(4 * 5.0 / 2, rel=0.2)
