"""The same loop, simulated: workers of a clock that is moved."""

import hashlib
import math

import optuna
import pytest
from executor_contract import ExecutorContract, small
from hypothesis import given
from hypothesis import strategies as st
from search_doubles import Screen, SmallSpace, facts_of, figures, measured, table, units

from objectives.outcome import Measured
from search.asking import Asker
from search.book import Book
from search.clock import FakeClock
from search.driver import Driver
from search.executors.simulated import SimulatedExecutor
from search.ledger import NullLedger
from search.pace import spare
from search.samplers import sampler_of
from search.storage import create, read_study, write_facts
from search.telling import requeue

TrialState = optuna.trial.TrialState


class TestTheContract(ExecutorContract):
    @pytest.fixture
    def executor(self):
        return SimulatedExecutor(
            lambda candidate, _: (table()(candidate), 1.0 / units(candidate)), 2, FakeClock()
        )


def lasting(seconds):
    """Return a function that answers from the table, after the given times in turn."""
    left = iter(seconds)
    return lambda candidate, _: (table()(candidate), next(left))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_trials_come_back_in_the_order_in_which_they_end(seconds):
    clock = FakeClock()
    executor = SimulatedExecutor(lasting(seconds), len(seconds), clock)
    for number in range(len(seconds)):
        executor.submit(number, small(3))
    order = []
    while finished := executor.next(1.0):
        order.append(finished.number)
        assert clock.now() == pytest.approx(seconds[finished.number])
    assert order == sorted(range(len(seconds)), key=lambda number: seconds[number])


def test_who_does_not_wait_sees_the_clock_stand_still():
    clock = FakeClock()
    executor = SimulatedExecutor(lasting([5.0]), 1, clock)
    executor.submit(1, small(3))
    assert executor.next(0.0) is None and clock.now() == 0
    clock.advance(5)
    assert executor.next(0.0).number == 1


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="1 worker or more, got 0"):
        SimulatedExecutor(lasting([]), 0, FakeClock())
    with pytest.raises(ValueError, match="0 seconds or more, got nan for trial 3"):
        SimulatedExecutor(lasting([math.nan]), 1, FakeClock()).submit(3, small(3))
    with pytest.raises(ValueError, match="goes forward, got -1 s"):
        FakeClock().advance(-1)


class Simulation:
    """A study of the small space on simulated workers; trials take 10 to 100 s, by their digests."""

    def __init__(self, record, trials, workers, widths=100_000, sampler="random", seed=1, **plan):
        facts = facts_of(record, widths)
        self.facts = facts.model_copy(
            update={"plan": facts.plan.model_copy(update={"trials": trials, **plan})}
        )
        self.clock, self.starts = FakeClock(), []
        self.study = create(None, "try-1", self.facts.plan.goals)
        self.study.sampler = sampler_of(sampler, seed)
        write_facts(self.study, self.facts)
        self.space, self.workers = SmallSpace(widths), workers

    def answer(self, candidate, _):
        share = int(hashlib.sha256(candidate.digest.encode()).hexdigest()[:8], 16) / 2**32
        seconds = 10 * 10**share
        self.starts.append((self.clock.now(), seconds))
        evidence = measured({**figures(candidate), "accuracy": round(figures(candidate)["accuracy"], 2)})
        return Measured(evidence=evidence), seconds

    def run(self, book=Book, **kwargs):
        executor = SimulatedExecutor(self.answer, self.workers, self.clock)
        asked = book(self.study, self.facts, Asker(self.space, self.facts))
        Driver(asked, executor, NullLedger(), Screen(), clock=self.clock, **kwargs).run()
        return self

    @property
    def trials(self):
        return [(trial.params, trial.values) for trial in self.study.get_trials(deepcopy=False)]


@pytest.fixture
def simulate(make_study):
    record = make_study([], data={"kind": "table", "input_shape": (4,)})
    return lambda *args, **kwargs: Simulation(record, *args, **kwargs)


@pytest.mark.slow
def test_10000_trials_on_64_workers_take_seconds_and_are_the_same_again(simulate):
    first, second = (simulate(10_000, 64).run() for _ in range(2))
    assert len(first.trials) >= 10_000
    assert first.trials == second.trials
    assert first.clock.now() == second.clock.now() > 10_000 * 10 / 64


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_the_same_seed_is_the_same_study(simulate, sampler):
    runs = [simulate(40, 4, sampler=sampler, seed=seed).run().trials for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


class Slow(Book):
    """Every ask takes a second of the clock that is simulated."""

    clock = None

    def ask(self):
        self.clock.advance(1.0)
        return super().ask()


def idle(simulation):
    """Return the worker seconds between the first start and the last in which nothing was done."""
    last = max(start for start, _ in simulation.starts)
    busy = sum(min(seconds, last - start) for start, seconds in simulation.starts)
    return simulation.workers * last - busy


def test_a_seat_that_becomes_free_is_filled_at_once(simulate, monkeypatch):
    class Charged(Slow):
        pass

    def run():
        simulation = simulate(60, 2)
        Charged.clock = simulation.clock
        return simulation.run(Charged)

    ahead = run()
    assert idle(ahead) < 10, "but for the first ask, and where both workers end within a second"
    monkeypatch.setattr(Driver, "_may_ask", never_ahead(Driver._may_ask))
    assert idle(run()) > 50, "without it every trial but the first two waits for its ask"


def never_ahead(may_ask):
    return lambda driver, most: may_ask(driver, min(most, driver._executor.capacity))


@pytest.mark.parametrize("workers", [1, 2, 8, 16])
def test_no_more_is_asked_ahead_than_is_good(simulate, workers):
    simulation, most = simulate(50, workers), []

    class Watching(Book):
        def begin(self, asked):
            super().begin(asked)
            running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            most.append(len(running) + len(self._unwritten))

    simulation.run(Watching)
    assert max(most) == workers + spare(workers) <= 2 * workers
    assert len(simulation.starts) == 50, "and not more trials than were wanted"
    assert not simulation.study.get_trials(states=(TrialState.RUNNING,))


def test_what_was_asked_ahead_when_the_time_was_up_is_not_begun_but_asked_again(simulate):
    simulation = simulate(500, 8, timeout_s=200).run()
    assert max(start for start, _ in simulation.starts) < 200
    begun = len(simulation.starts)
    ahead = simulation.study.get_trials(states=(TrialState.RUNNING,))
    assert len(ahead) == 1
    assert requeue(simulation.study, simulation.facts.plan, blame=False) == 1
    simulation.run()
    assert len(simulation.starts) > begun
    record = read_study(simulation.study)
    assert ahead[0].number in {trial.retry_of for trial in record.trials}


def test_a_small_space_is_searched_through_although_asks_go_ahead(simulate):
    simulation = simulate(100, 4, widths=5).run()
    assert len(simulation.starts) == 10
