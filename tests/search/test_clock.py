"""What a study tells the time by."""

import pytest

from search.clock import REAL, FakeClock, share_left


def test_a_fake_clock_goes_forward_only():
    clock = FakeClock(5.0)
    clock.advance(2.5)
    assert clock.now() == 7.5
    with pytest.raises(ValueError, match=r"got -1 s; advance it by 0 or more"):
        clock.advance(-1)


def test_the_share_that_is_left_shrinks_from_now_on():
    clock = FakeClock(100.0)
    left = share_left(40.0, clock)
    assert left() == 1.0
    clock.advance(10)
    assert left() == 0.75
    clock.advance(50)
    assert left() == 0.0


def test_without_a_limit_nothing_is_left_from_the_start():
    assert share_left(None)() == share_left(0.0)() == 0.0


def test_the_real_clock_goes_on():
    assert REAL.now() <= REAL.now()
