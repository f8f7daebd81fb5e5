"""Runners that hold another one, seen from outside: what is within, and the same around something else."""

import copy

from hardware_profiles.runners.base import Runner
from hardware_profiles.runners.locked import LockedRunner
from hardware_profiles.runners.replay import Recorder
from hardware_profiles.runners.retrying import RetryingRunner


def unwrapped(runner: Runner) -> Runner:
    """Return the runner that measures, without those that hold it."""
    while isinstance(runner, LockedRunner | RetryingRunner | Recorder):
        runner = runner.runner
    return runner


def rewrapped(runner: Runner, innermost: Runner) -> Runner:
    """Return runners like those that hold the one that measures, around another one."""
    if not isinstance(runner, LockedRunner | RetryingRunner | Recorder):
        return innermost
    like = copy.copy(runner)
    like.runner = rewrapped(runner.runner, innermost)
    return like
