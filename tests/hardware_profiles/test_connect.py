"""From a profile to a runner, or to what to do instead."""

import pytest

from hardware_profiles.connect import connect
from hardware_profiles.errors import DeviceError
from hardware_profiles.profile import load_profile, profile_names, this_machine
from hardware_profiles.runners.local import LocalRunner


def test_this_machine_is_measured_here() -> None:
    runner = connect(this_machine(), threads=2)
    assert isinstance(runner, LocalRunner)
    assert (runner.device, runner.threads) == ("this-machine", 2)


@pytest.mark.parametrize("name", [name for name in profile_names() if name != "this-machine"])
def test_what_is_elsewhere_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(DeviceError, match=rf"'{name}' is reached by .*--device this-machine") as caught:
        connect(load_profile(name))
    assert "\n" not in str(caught.value)


def test_threads_are_at_least_one() -> None:
    with pytest.raises(DeviceError, match="1 thread or more, got 0"):
        connect(this_machine(), threads=0)
