"""From a device's profile, and where mine is, to a runner that measures on it."""

import platform
from collections.abc import Callable

from hardware_profiles.connection import Adb, Command, Connection, Estimated, Local, Replay, Ssh
from hardware_profiles.errors import DeviceError
from hardware_profiles.profile import THIS_MACHINE, HardwareProfile
from hardware_profiles.runners.base import Runner
from hardware_profiles.ways import latency_from_here

WAIT_S = 600.0
"""How long somebody else's measurement on the device is waited for."""


def silent(text: str) -> None:
    """Say nothing."""


def connect(
    profile: HardwareProfile,
    threads: int = 1,
    connection: Connection | None = None,
    say: Callable[[str], None] = silent,
) -> Runner:
    """Return the runner for a device, which has it to itself while it measures and tries again.

    Without a connection it is this machine, if the profile is of it. `say` is told whom is waited for.
    Raises DeviceError for a device that cannot be reached so, and for fewer than 1 thread: nothing is ever
    measured elsewhere in a device's name.
    """
    where = connection or _here(profile)
    from hardware_profiles.runners.replay import Recorder, ReplayRunner

    if isinstance(where, Replay):
        return ReplayRunner.from_file(where.path)
    if isinstance(where, Estimated):
        raise DeviceError(f"nothing is measured with --on {where}: name a device that can be reached")
    from hardware_profiles.runners.locked import LockedRunner, lock_path
    from hardware_profiles.runners.retrying import RetryingRunner

    runner = _runner(profile, threads, where, say)
    locked = LockedRunner(runner, lock_path(where), WAIT_S, say, place=str(where))
    reached = locked if isinstance(where, Local) else RetryingRunner(locked, say=say)
    return reached if where.record is None else Recorder(reached, where.record)


def _here(profile: HardwareProfile) -> Local:
    if profile.reach == "local":
        return Local()
    raise DeviceError(
        f"device '{profile.name}' is not this machine, and nothing is measured in its name: its latency is "
        f"{latency_from_here(profile)}; give --on, or '--device {THIS_MACHINE}' to measure here"
    )


def _runner(
    profile: HardwareProfile, threads: int, where: Local | Ssh | Adb | Command, say: Callable[[str], None]
) -> Runner:
    match where:
        case Local():
            return _local(profile, threads, where, say)
        case Ssh():
            from hardware_profiles.runners.ssh import SshRunner

            return SshRunner(where, profile.name, threads, wait_s=WAIT_S, say=say, python=where.python)
        case Adb():
            from hardware_profiles.runners.adb import AdbRunner

            return AdbRunner(where, profile.name, threads)
        case Command():
            from hardware_profiles.runners.command import CommandRunner

            return CommandRunner(where, profile.name, threads)


def _local(profile: HardwareProfile, threads: int, where: Local, say: Callable[[str], None]) -> Runner:
    from hardware_profiles.runners.local import LocalRunner

    ours, its = platform.machine(), profile.processor.isa
    if profile.name != THIS_MACHINE and ours.lower() != its.lower():
        raise DeviceError(
            f"--on local says that this machine is a '{profile.name}', whose processor is {its}, but this "
            f"one's is {ours}: name where the device is (--on ssh://user@host)"
        )
    return LocalRunner(profile.name, threads, delegate=where.delegate, wait_s=WAIT_S, say=say)


def from_anywhere(connection: Connection) -> Connection:
    """Return a connection that holds from any folder: workers have another one than whoever typed it.

    Raises DeviceError for a program that is not there.
    """
    from hardware_profiles.runners.command import resolved

    if isinstance(connection, Command):
        return connection.model_copy(update={"argv": resolved(connection.argv)})
    if isinstance(connection, Adb) and connection.benchmark_model is not None:
        return connection.model_copy(update={"benchmark_model": connection.benchmark_model.absolute()})
    return connection


def is_estimated(connection: Connection | None) -> bool:
    """Tell whether the user chose to do without the device."""
    return isinstance(connection, Estimated)
