"""Errors of this room.

DeviceError(ValueError)       a profile, a connection or a runner that cannot be used as asked
├── MeasuringFailed           the device was reached, but this model could not be measured on it
└── Unreachable               the device does not answer now, or is taken: worth another try later
"""


class DeviceError(ValueError):
    """A profile, a connection or a runner that cannot be used as asked; the message names the way out."""


class MeasuringFailed(DeviceError):
    """The device was reached, but this model could not be measured on it (crash, time limit, bad answer)."""


class Unreachable(DeviceError):
    """The device does not answer now (unplugged, rebooting, connection stalled), or somebody else has it."""
