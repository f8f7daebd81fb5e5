"""What limits a study, with a clock of our own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.limiting import WINDOW, Limiting, Utilisation


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def after(workers, trials, *, every_s, driven_s=0.0, **stages):
    """Return who was busy after some trials that came back one after the other."""
    clock = Clock()
    use = Utilisation(workers, clock)
    for _ in range(trials):
        with use.driving():
            clock.now_s += driven_s
        clock.now_s += every_s - driven_s
        use.came_back(stages, every_s * workers)
    return use


@pytest.mark.parametrize(
    ("workers", "every_s", "driven_s", "stages", "cause", "share"),
    [
        (1, 10, 1, {"train": 8, "measure": 1}, "workers", 0.8),
        (2, 5, 0.5, {"train": 4, "convert": 4, "score": 1}, "workers", 0.9),
        (16, 0.1, 0.09, {"train": 0.8}, "driver", 0.9),
        (4, 5, 1, {"train": 5, "measure": 13}, "device", 13 / 20),
        (2, 5, 1, {"reduce": 6, "train": 3}, "data", 0.6),
        (2, 5, 1, {}, "workers", 1.0),  # nothing tells more than how long it was under way
    ],
)
def test_the_largest_share_is_named(workers, every_s, driven_s, stages, cause, share):
    told = after(workers, 20, every_s=every_s, driven_s=driven_s, **stages).limiting()
    assert told is not None
    assert told.cause == cause and told.share == pytest.approx(share)


def test_nothing_is_named_before_each_worker_had_its_turn():
    assert after(2, 0, every_s=5).limiting() is None
    begun = after(3, 2, every_s=5, train=5)
    assert begun.limiting() is None and begun.busy() == 3
    assert after(3, 3, every_s=5, train=5).limiting() is not None


def test_only_the_last_trials_count():
    clock = Clock()
    use = Utilisation(1, clock)
    for stage, trials in (("train", 3 * WINDOW), ("measure", WINDOW)):
        for _ in range(trials):
            clock.now_s += 10
            use.came_back({stage: 9.0}, 10.0)
        told = use.limiting()
        assert told == Limiting(cause="workers" if stage == "train" else "device", share=told.share)
        assert told.share == pytest.approx(0.9)


def test_how_many_are_at_it_at_once():
    assert after(8, 30, every_s=1, train=4).busy() == pytest.approx(4)
    assert after(2, 30, every_s=1, train=9).busy() == 2, "no more than there are workers"


@given(
    st.integers(1, 8),
    st.lists(
        st.tuples(
            st.floats(0, 9),
            st.floats(0, 3),
            st.dictionaries(st.sampled_from(["train", "measure"]), st.floats(0, 99)),
        ),
        max_size=80,
    ),
)
def test_a_share_is_a_share_whatever_the_clocks_say(workers, trials):
    clock = Clock()
    use = Utilisation(workers, clock)
    for waited_s, driven_s, stages in trials:
        with use.driving():
            clock.now_s += driven_s
        clock.now_s += waited_s
        use.came_back(stages, waited_s)
    told = use.limiting()
    assert told is None or 0 <= told.share <= 1
    assert 0 <= use.busy() <= workers


def test_what_is_not_back_yet_counts_for_the_part_of_it_that_was_in_the_window():
    clock = Clock()
    use = Utilisation(2, clock)
    for _ in range(10):  # one worker has had a single long trial all the while
        clock.now_s += 10
        use.came_back({"train": 10.0}, 10.0)
    clock.now_s += 50
    assert use.busy() == 1 and use.limiting().share == 0.5
    assert use.busy([150.0]) == 2, "of 150 s, the last 50 came after the window"
    assert use.limiting([150.0]) == Limiting(cause="workers", share=1.0)
    assert use.busy([75.0]) == pytest.approx(1.25)
    assert use.busy([30.0, 20.0]) == 1, "these began after it"
