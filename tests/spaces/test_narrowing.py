"""How a plan narrows a space, and what it may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.chooser import Choices, Integers, RandomChooser, Reals
from spaces.errors import SpaceError
from spaces.space import narrow

RANGES = {
    "blocks": Integers(low=1, high=4),
    "filters": Integers(low=4, high=64, log=True),
    "kernel": Integers(low=3, high=9, step=2),
    "dropout": Reals(low=0.0, high=0.4, step=0.1),
    "learning_rate": Reals(low=1e-3, high=3e-2, log=True),
    "batch_size": Choices(options=(32, 64, 128)),
    "optimizer": Choices(options=("adam", "sgd")),
}


@pytest.mark.parametrize(
    ("name", "want", "narrowed"),
    [
        ("blocks", Integers(low=2, high=3), Integers(low=2, high=3)),
        ("blocks", Choices(options=(2,)), Integers(low=2, high=2)),
        ("blocks", Choices(options=(1, 4)), Choices(options=(1, 4))),
        ("blocks", Integers(low=1, high=3, step=2), Integers(low=1, high=3, step=2)),
        ("filters", Integers(low=8, high=16), Integers(low=8, high=16, log=True)),
        ("filters_1", Integers(low=8, high=16), Integers(low=8, high=16, log=True)),
        ("kernel", Integers(low=3, high=7), Integers(low=3, high=7, step=2)),
        ("kernel", Integers(low=3, high=7, step=4), Integers(low=3, high=7, step=4)),
        ("dropout", Reals(low=0.1, high=0.3), Reals(low=0.1, high=0.3, step=0.1)),
        ("dropout", Reals(low=0.0, high=0.4, step=0.2), Reals(low=0.0, high=0.4, step=0.2)),
        ("dropout", Integers(low=0, high=0), Reals(low=0.0, high=0.0, step=0.1)),
        ("dropout", Choices(options=(0,)), Reals(low=0.0, high=0.0, step=0.1)),
        ("learning_rate", Reals(low=2e-3, high=1e-2), Reals(low=2e-3, high=1e-2, log=True)),
        ("batch_size", Choices(options=(128, 32)), Choices(options=(32, 128))),
        ("optimizer", Choices(options=("sgd",)), Choices(options=("sgd",))),
    ],
)
def test_what_lies_inside_takes_the_place(name, want, narrowed):
    result = narrow(RANGES, {name: want})
    assert result[name] == narrowed
    assert {key: value for key, value in result.items() if key != name} == {
        key: value for key, value in RANGES.items() if key != name
    }


@pytest.mark.parametrize(
    ("name", "want", "rule"),
    [
        ("blocks", Integers(low=0, high=3), "'blocks' lies within 1 to 4, got 0 to 3"),
        ("blocks", Choices(options=(2, 9)), "lies within 1 to 4, got 2, 9"),
        ("blocks", Reals(low=1.5, high=2.5), "lies within 1 to 4"),
        ("kernel", Integers(low=4, high=6), "in steps of 2"),
        ("kernel", Integers(low=3, high=9, step=3), "multiples of 2, got 3"),
        ("dropout", Reals(low=0.0, high=0.4, step=0.15), "multiples of 0.1, got 0.15"),
        ("dropout", Reals(low=0.0, high=0.4, step=0.01), "multiples of 0.1, got 0.01"),
        ("filters", Integers(low=8, high=64, step=8), "log scale and so no steps; give a list"),
        ("learning_rate", Reals(low=1e-3, high=1e-2, step=1e-3), "log scale and so no steps"),
        ("learning_rate", Choices(options=("fast",)), "lies within 0.001 to 0.03, got fast"),
        ("batch_size", Choices(options=(16,)), "lies within 32, 64, 128"),
        ("batch_size", Integers(low=32, high=64), "a choice of 32, 64, 128; give a list"),
        ("filtres", Integers(low=8, high=16), "did you mean 'filters'"),
        ("depth_1", Integers(low=8, high=16), r"no range named 'depth_1'.*it has batch_size, blocks"),
    ],
)
def test_what_lies_outside_is_refused_with_the_rule(name, want, rule):
    with pytest.raises(SpaceError, match=rule) as caught:
        narrow(RANGES, {name: want})
    assert "\n" not in str(caught.value)


@given(st.randoms(use_true_random=False))
def test_narrowing_twice_is_narrowing_once(generator):
    """A study taken up again narrows what it stored with the plan that it stored."""
    choose = RandomChooser(generator)
    wanted = {}
    for name, whole in RANGES.items():
        low, high = sorted((choose(name, whole), choose(name, whole)))
        wanted[name] = (
            Choices(options=(low,)) if isinstance(whole, Choices) else type(whole)(low=low, high=high)
        )
    once = narrow(RANGES, wanted)
    assert narrow(once, wanted) == once
    assert narrow(once, once) == once
