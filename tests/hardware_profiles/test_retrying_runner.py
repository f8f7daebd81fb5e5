"""What is worth another try gets it, and nothing else does."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runner_contract import RunnerContract

from hardware_profiles.errors import DeviceError, MeasuringFailed, Unreachable
from hardware_profiles.measurement import Latency
from hardware_profiles.runners.base import Anchor, Array, Computes
from hardware_profiles.runners.local import LocalRunner
from hardware_profiles.runners.retrying import RetryingRunner


class TestRetryingRunner(RunnerContract):
    @pytest.fixture
    def runner(self) -> RetryingRunner:
        return RetryingRunner(LocalRunner("this-machine", budget_s=0.05, patience_s=0.1))

    @pytest.fixture
    def models(self, small_model: Path, large_model: Path) -> tuple[Path, Path]:
        return small_model, large_model


class Flaky:
    """Raises what it is given, one after the other, and then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return ()


class Calculator(Flaky):
    def compute(self, model: Path, inputs: Sequence[Array]) -> tuple[Array, ...]:
        self.measure((), None)
        return tuple(inputs)


@given(failures=st.integers(0, 6), attempts=st.integers(1, 5), first_pause_s=st.floats(0, 100))
def test_it_is_tried_so_often_with_pauses_that_double(
    failures: int, attempts: int, first_pause_s: float
) -> None:
    inner, pauses, told = Flaky(*[Unreachable("away")] * failures), [], []
    runner = RetryingRunner(inner, attempts, first_pause_s, pauses.append, told.append)
    if failures < attempts:
        assert runner.measure((), None) == ()
    else:
        with pytest.raises(Unreachable, match="away"):
            runner.measure((), None)
    assert inner.calls == min(failures + 1, attempts)
    assert pauses == [first_pause_s * 2**n for n in range(inner.calls - 1)]
    assert len(told) == len(pauses)


@pytest.mark.parametrize("error", [MeasuringFailed("crash"), DeviceError("no key"), ValueError("a bug")])
def test_anything_else_is_passed_on_at_once(error: Exception) -> None:
    inner, pauses = Flaky(error), []
    with pytest.raises(type(error), match=str(error)):
        RetryingRunner(inner, 5, sleep=pauses.append).measure((), None)
    assert (inner.calls, pauses) == (1, [])


def test_the_pause_is_told_with_its_reason() -> None:
    told: list[str] = []
    RetryingRunner(Flaky(Unreachable("no route")), 2, 3.0, lambda _: None, told.append).measure((), None)
    assert told == ["no route; trying again in 3 s"]


def test_it_computes_if_the_one_within_does() -> None:
    assert not isinstance(RetryingRunner(Flaky()), Computes)
    runner = RetryingRunner(Calculator(Unreachable("away")), sleep=lambda _: None)
    assert isinstance(runner, Computes)
    (same,) = runner.compute(Path("x"), [np.arange(3)])
    assert same.tolist() == [0, 1, 2]
    assert runner.runner.calls == 2


@pytest.mark.parametrize("settings", [{"attempts": 0}, {"first_pause_s": -1}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(DeviceError, match="got"):
        RetryingRunner(Flaky(), **settings)
