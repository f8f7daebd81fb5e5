"""From a device's profile to a runner that measures on it."""

from hardware_profiles.errors import DeviceError
from hardware_profiles.profile import HardwareProfile
from hardware_profiles.runners.base import Runner


def connect(profile: HardwareProfile, threads: int = 1) -> Runner:
    """Return the runner for a device.

    Raises DeviceError for a device that cannot be reached from here, and for fewer than 1 thread:
    nothing is ever measured elsewhere in a device's name.
    """
    if profile.reach != "local":
        raise DeviceError(
            f"device '{profile.name}' is reached by {profile.reach}, for which there is no runner, so "
            "nothing was measured: use '--device this-machine' to measure here, or run edgesearch there"
        )
    from hardware_profiles.runners.local import LocalRunner

    return LocalRunner(profile.name, threads)
