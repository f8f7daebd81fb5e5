"""What a device can offer a study: its own goals, whether it answers, what its firmware leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from search.limits import Firmware
from search.plan import StudyPlan
from spaces.candidate import Precision
from spaces.chooser import Choices

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
    plan = with_input_type(plan, device.profile)
    own = {name: load_objective(name).direction for name in plan.own_objectives}
    plan = plan.model_copy(update={"own_directions": own})
    refuse_untold(device, [goal.metric for goal in plan.goals])
    if plan.limits.latency_ms is not None and plan.limit_on != "min" and device.runner is None:
        raise DeviceError(
            f"--limit-on {plan.limit_on} bounds what runs of a model have shown, and the latency on "
            f"'{device.profile.name}' is estimated: leave it out (the limit is on the estimate then), or "
            "give --on with a connection to the device"
        )
    if "energy_mj" in plan.objectives and (meter_of(device.profile) is None or device.runner is None):
        raise DeviceError(
            "energy_mj is an objective only where it is measured, by a command that reads a power meter "
            "(power.meter in a profile of your own) on a device that is reached; as a limit "
            "(--max-energy-mj) an estimate will do"
        )
    return plan


def with_input_type(plan: StudyPlan, profile: HardwareProfile) -> StudyPlan:
    """Return the plan with an input type that the device takes. Raises StudyError if it asks for another."""
    taken = profile.input_types
    if plan.input_type in taken:
        return plan
    if "input_type" in plan.model_fields_set:
        raise StudyError(
            f"device '{profile.name}' takes {' or '.join(taken)} as input, got --input-type "
            f"{plan.input_type}; leave it out"
        )
    return plan.model_copy(update={"input_type": taken[0]})


def refuse_precisions(plan: StudyPlan, device: Device, usable: Sequence[Precision]) -> None:
    """Raise StudyError, by name, for a precision that the plan asks for and that cannot be had here."""
    asked = plan.ranges.get("precision")
    wrong = next((p for p in asked.options if p not in usable), None) if isinstance(asked, Choices) else None
    if wrong is None:
        return
    name, has = device.profile.name, ", ".join(usable)
    if wrong not in device.profile.precisions:
        why = f"'{name}' does not run it"
    elif wrong not in device.precisions:
        why = f"its latency cannot be estimated on '{name}'"
    else:
        why = f"it does not take --input-type {plan.input_type}"
    raise StudyError(f"precision {wrong} cannot be searched, for {why}; here there is {has}")


def probe(device: Device, threads: int, say: Callable[[str], None]) -> Source | None:
    """Run the anchor once where there is a device to run it on; return which machine and runtime answered.

    Raises DeviceError where it does not answer, or what answers (a recording) is of another device.
    """
    if device.runner is None:
        say(f"no device at hand: latency on {device.profile.name} is {_told(device.provenance)}")
        return None
    anchor = device.calibrated(processes=1)
    assert anchor is not None  # there is a runner
    found = anchor.source
    if found.device != device.profile.name:
        raise DeviceError(
            f"what --on leads to is of the device '{found.device}', not of '{device.profile.name}': give "
            f"--device {found.device}"
        )
    if found.threads not in (None, threads):
        raise DeviceError(
            f"what --on leads to ran with {found.threads} threads, and {threads} are asked for: give "
            f"--threads {found.threads}"
        )
    return found


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
        return plan.fitted(None, None)
    asked = plan.firmware or Firmware()
    if plan.firmware is None and None in (profile.memory.storage_bytes, profile.memory.ram_bytes):
        return plan.fitted(None, None)  # nothing is known and nobody asked
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


def refuse_another_provenance(name: str, then: str, now: str) -> None:
    """Raise StudyError where latency came about otherwise when the study was begun."""
    if then != now:
        raise StudyError(
            f"the study '{name}' was begun with latency {_told(then)}, and now it is {_told(now)}: such "
            "figures are never ranked together; use another --name, or --on as it was"
        )


def _told(provenance: str) -> str:
    return "not known" if provenance == "none" else provenance


def refuse_another_runtime(name: str, then: Source, now: Source) -> None:
    """Raise StudyError: values of different provenance, runtime or machine are never ranked together."""
    changed = next(f for f in type(then).model_fields if getattr(then, f) != getattr(now, f))
    raise StudyError(
        f"the study '{name}' was measured with {changed} '{getattr(then, changed)}', and now it is "
        f"'{getattr(now, changed)}', whose figures do not compare; use another --name"
    )
