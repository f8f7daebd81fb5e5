"""What a device can offer a study: its own goals, whether it answers, what its firmware leaves."""

from __future__ import annotations

from collections.abc import Callable

from hardware_profiles.device import Device, objectives_of, refuse_untold
from hardware_profiles.energy import meter_of
from hardware_profiles.errors import DeviceError
from hardware_profiles.firmware import budget_of, left_for_model
from hardware_profiles.measurement import Source
from hardware_profiles.micro import RUNTIME as MICRO
from hardware_profiles.profile import HardwareProfile
from objectives.datasets.spec import Kind
from objectives.own import load_objective
from search.errors import StudyError
from search.plan import Firmware, StudyPlan

INLET_OPS = ("SUB", "MUL", "MAXIMUM", "MINIMUM", "QUANTIZE", "DEQUANTIZE", "FULLY_CONNECTED")
NETWORK_OPS = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "ADD",
    "MEAN",
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
    "RESHAPE",
    "PAD",
)
"""What networks of the spaces are made of; the runtime's part of a firmware is reckoned with all of it."""


def suited(plan: StudyPlan, device: Device) -> StudyPlan:
    """Return the plan with the device's own goals where it names none.

    Raises DeviceError for a goal that nothing tells of this device, ObjectiveError for an objective of the
    user's own that cannot be loaded.
    """
    plan = plan.suited_to(objectives_of(device), device.profile.default_limits.model_dump())
    for name in plan.own_objectives:
        load_objective(name)
    refuse_untold(device, [goal.metric for goal in plan.goals])
    if "energy_mj" in plan.objectives and (meter_of(device.profile) is None or device.runner is None):
        raise DeviceError(
            "energy_mj is an objective only where it is measured, by a command that reads a power meter "
            "(power.meter in a profile of your own) on a device that is reached; as a limit "
            "(--max-energy-mj) an estimate will do"
        )
    return plan


def probe(device: Device, say: Callable[[str], None]) -> Source | None:
    """Run the anchor once where there is a device to run it on; return which machine and runtime answered.

    Raises DeviceError where it does not answer.
    """
    if device.runner is None:
        known = "not known" if device.provenance == "none" else device.provenance
        say(f"no device at hand: latency on {device.profile.name} is {known}")
        return None
    anchor = device.calibrated(processes=1)
    assert anchor is not None  # there is a runner
    return anchor.source


def within_firmware(
    plan: StudyPlan, profile: HardwareProfile, kind: Kind, say: Callable[[str], None]
) -> StudyPlan:
    """Return the plan with what a microcontroller's firmware leaves as limits, and say what that is.

    Raises DeviceError where nothing is left, and StudyError for a budget of what is no microcontroller.
    """
    if profile.runtime.name != MICRO:
        if plan.firmware is not None:
            raise StudyError(
                "--flash, --ram and what is reserved of them are for microcontrollers, and "
                f"'{profile.name}' is none; limit a model by --max-model-bytes"
            )
        return plan
    asked = plan.firmware or Firmware()
    if plan.firmware is None and None in (profile.memory.storage_bytes, profile.memory.ram_bytes):
        return plan  # nothing is known and nobody asked
    budget = budget_of(
        profile,
        flash_bytes=asked.flash,
        ram_bytes=asked.ram,
        reserve_flash_bytes=asked.reserve_flash,
        reserve_ram_bytes=asked.reserve_ram,
    )
    kinds = INLET_OPS if kind == "table" else (*INLET_OPS, *NETWORK_OPS)
    left = left_for_model(budget, kinds, profile.runtime.code_bytes)
    say(left.sentence)
    return plan.fitted(left.model_bytes, left.arena_bytes)


def refuse_another_runtime(name: str, then: Source, now: Source) -> None:
    """Raise StudyError: values of different provenance, runtime or machine are never ranked together."""
    changed = next(f for f in type(then).model_fields if getattr(then, f) != getattr(now, f))
    raise StudyError(
        f"the study '{name}' was measured with {changed} '{getattr(then, changed)}', and now it is "
        f"'{getattr(now, changed)}', whose figures do not compare; use another --name"
    )
