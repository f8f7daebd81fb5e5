"""What every executor has to keep; a suite per executor supplies the fixture `executor`."""

import time

import pytest

from search.executors.base import Executor, Finished
from spaces.candidate import Candidate, Compression, Training
from spaces.layers import Dense, Flatten

DEADLINE_S = 300


def small(units: int) -> Candidate:
    """Return a candidate that is trained in no time."""
    return Candidate(
        architecture=(Flatten(), Dense(units=units)),
        training=Training(epochs=1),
        compression=Compression(precision="float32"),
    )


def back(executor: Executor) -> Finished:
    """Return the next trial that comes back."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if finished := executor.next(1.0):
            return finished
    raise TimeoutError("nothing came back")


class ExecutorContract:
    """Every submitted number comes back once; capacity is respected; close ends it."""

    def test_every_number_comes_back_once(self, executor: Executor) -> None:
        waiting, seen = list(range(5)), []
        under_way = 0
        while waiting or under_way:
            while waiting and under_way < executor.capacity:
                number = waiting.pop(0)
                executor.submit(number, small(4 + number))
                under_way += 1
            finished = back(executor)
            under_way -= 1
            seen.append(finished.number)
            assert finished.outcome.state == "measured", finished.outcome
        assert sorted(seen) == [0, 1, 2, 3, 4]
        assert executor.next(0.01) is None

    def test_nothing_under_way_is_nothing_back_at_once(self, executor: Executor) -> None:
        assert executor.next(0.01) is None

    def test_more_than_the_capacity_is_refused(self, executor: Executor) -> None:
        for number in range(executor.capacity):
            executor.submit(number, small(3))
        with pytest.raises(
            RuntimeError, match=f"at most {executor.capacity} trials? may be under way, got 99"
        ):
            executor.submit(99, small(3))
        numbers = {back(executor).number for _ in range(executor.capacity)}
        assert numbers == set(range(executor.capacity))

    def test_a_number_that_came_back_may_be_submitted_again(self, executor: Executor) -> None:
        for _ in range(2):
            executor.submit(7, small(5))
            assert back(executor).number == 7

    def test_what_a_candidate_does_wrong_costs_it_alone(self, executor: Executor) -> None:
        executor.submit(1, small(5).model_copy(update={"training": Training(epochs=1, learning_rate=1e30)}))
        assert back(executor).number == 1
        executor.submit(2, small(6))
        assert back(executor).outcome.state == "measured"
