"""The executor contract, kept by the one in this process and by the double that the other tests use."""

from pathlib import Path

import pytest
from executor_contract import ExecutorContract, back, small
from search_doubles import TableExecutor, setting_for, table

from objectives.setting import Setting
from search.executors.inprocess import InProcessExecutor
from search.executors.pools import Pools
from search.home import Home
from search.places import Places
from search.plan import make_plan


class TestTable(ExecutorContract):
    @pytest.fixture
    def executor(self) -> TableExecutor:
        return TableExecutor(table(), capacity=3)


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> InProcessExecutor:
    return InProcessExecutor(setting_for(tmp_path_factory.mktemp("home")))


@pytest.mark.slow  # TensorFlow takes its time to come up
class TestInProcess(ExecutorContract):
    @pytest.fixture
    def executor(self, in_process: InProcessExecutor) -> InProcessExecutor:
        return in_process


class Loud:
    def evaluate(self, candidate, brief):
        raise AssertionError("this must not be evaluated")


def test_what_waits_is_forgotten_at_the_end(tmp_path: Path) -> None:
    executor = InProcessExecutor(Setting.model_construct(), Loud())
    executor.submit(1, small(3))
    executor.close()
    assert executor.next(1.0) is None
    executor.close()


def test_an_answer_that_raises_is_a_workers_death() -> None:
    executor = TableExecutor(lambda _: 1 // 0)
    executor.submit(1, small(3))
    outcome = back(executor).outcome
    assert (outcome.state, outcome.fault) == ("failed", "infrastructure")


def test_a_pool_of_workers_is_as_the_plan_wants_it(monkeypatch, tmp_path: Path) -> None:
    made = []

    class Workers(TableExecutor):
        def __init__(self, setting: Setting, workers: int, trial_timeout_s: float) -> None:
            super().__init__(table(), workers)
            made.append((workers, trial_timeout_s))

        def wait_until_ready(self, timeout_s: float) -> None:
            pass

    monkeypatch.setattr("search.executors.on_ray.RayExecutor", Workers)
    monkeypatch.setattr(Pools, "_start_ray", lambda _: None)
    plan = make_plan({"data": "digits", "workers": 3, "trial_timeout_s": 7200})
    with Pools("ray", plan, Places(Home(tmp_path))) as pools, pools.open(Setting.model_construct()) as pool:
        assert pool.capacity == 3
    assert made == [(3, 7200)]
