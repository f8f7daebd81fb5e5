"""What the machine that this file runs on tells of itself. Stands alone, so that it can be sent to a device.

Needs nothing but Python 3.7. What a machine does not tell is None, or missing: no guess stands in for it.

Throttling is told by Raspberry Pis (the firmware's get_throttled: bits 0 to 3 hold now, 16 to 19 since boot
or since they were last read; Raspberry Pi documentation, "vcgencmd"), by Intel processors (counters in
cpu*/thermal_throttle; Linux documentation, "Intel thermal throttle events reporting"), and by whatever
has a cooling device of the kernel's thermal framework for its clock (sysfs-api for thermal zones).
"""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import re
import shutil
import subprocess
from typing import Any, NamedTuple

ROOT = "/"
"""Where /proc and /sys are."""
FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
FLAGS = (
    (0x1, "under-voltage"),
    (0x2, "clock capped by the firmware"),
    (0x4, "throttled by the firmware"),
    (0x8, "temperature limit of the firmware"),
)
SINCE_BOOT = 16
CLOCK_COOLERS = ("thermal-cpufreq", "cpufreq", "Processor")


class Refusal(Exception):
    """Why nothing can be measured here, whatever the model; `kind` is for whoever asked to tell apart."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class State(NamedTuple):
    """Bears on the clock: firmware flags, counters of throttling, highest clocks in kHz, coolers at work."""

    flags: int
    counters: dict[str, int]
    highest_khz: dict[str, int]
    coolers: tuple[str, ...]


def read(path: str) -> str:
    """Return a file's text without the white space around it, or nothing if it cannot be read."""
    try:
        with open(os.path.join(ROOT, path), errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def numbers(pattern: str) -> dict[str, int]:
    """Return the whole numbers in all files that match, by path."""
    found = {path: read(path) for path in glob.glob(os.path.join(ROOT, pattern))}
    return {path: int(text) for path, text in sorted(found.items()) if text.isdigit()}


def state() -> State:
    """Look at what bears on the clock. Flags are read twice, since reading may clear those since boot."""
    firmware_flags()
    cpus = "sys/devices/system/cpu/cpu[0-9]*/"
    return State(
        firmware_flags(),
        numbers(cpus + "thermal_throttle/*_throttle_count"),
        numbers(cpus + "cpufreq/scaling_max_freq"),
        coolers(),
    )


def firmware_flags() -> int:
    """Return a Raspberry Pi's throttling flags, 0 where there are none."""
    text = read(FIRMWARE)
    if not text and shutil.which("vcgencmd"):
        try:
            told = subprocess.run(
                ["vcgencmd", "get_throttled"], stdout=subprocess.PIPE, timeout=2, check=True
            )
            text = told.stdout.decode(errors="replace").strip().rpartition("=")[2]
        except (OSError, subprocess.SubprocessError):
            return 0
    return int(text, 16) if re.fullmatch("(0x)?[0-9a-fA-F]{1,8}", text) else 0


def coolers() -> tuple[str, ...]:
    """Return the cooling devices that hold the clock down at this moment."""
    at_work = []
    for path, level in numbers("sys/class/thermal/cooling_device*/cur_state").items():
        kind = read(os.path.join(os.path.dirname(path), "type"))
        if level > 0 and kind.startswith(CLOCK_COOLERS):
            at_work.append(kind)
    return tuple(at_work)


def throttling(before: State, after: State) -> list[str]:
    """Name what held the clock down in the time between two states, as far as the machine tells."""
    new_since_boot = (after.flags & ~before.flags) >> SINCE_BOOT
    flags = before.flags | after.flags | new_since_boot
    named = [name for bit, name in FLAGS if flags & bit]
    if any(count > before.counters.get(path, count) for path, count in after.counters.items()):
        named.append("thermal throttling of the processor")
    if any(khz < before.highest_khz.get(path, khz) for path, khz in after.highest_khz.items()):
        named.append("highest clock lowered")
    return named + sorted({f"cooling by {kind}" for kind in before.coolers + after.coolers})


def facts(arm_cores: dict[str, str], before: State, after: State) -> dict[str, Any]:
    """Return what a measurement's reader wants to know of the machine; `arm_cores` as for `processor`.

    Governor and present clock are those of the first processor that this process may use.
    """
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
    cpufreq = f"sys/devices/system/cpu/cpu{min(usable)}/cpufreq/"
    clock_khz = read(cpufreq + "scaling_cur_freq")
    return {
        "machine": machine_id(arm_cores),
        "processor": processor(arm_cores),
        "governor": read(cpufreq + "scaling_governor") or None,
        "clock_mhz": int(clock_khz) / 1000 if clock_khz.isdigit() and int(clock_khz) else None,
        "throttling": throttling(before, after),
    }


def machine_id(arm_cores: dict[str, str]) -> str:
    """Return the 12 hex digits that machine.machine_id gives on this machine, if it is a Linux one."""
    system = read("etc/machine-id") or read("var/lib/dbus/machine-id") or platform.node()
    parts = ("edgesearch", system, processor(arm_cores), str(os.sysconf("SC_NPROCESSORS_ONLN")))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def processor(arm_cores: dict[str, str]) -> str:
    """Return the processor's model, at least its instruction set.

    `arm_cores` gives the names of Arm's own cores by their part number, as a decimal.
    """
    fields = dict(re.findall(r"^([^:\n]+?)\s*:[ \t]*(.*)$", read("proc/cpuinfo"), re.MULTILINE))
    if fields.get("CPU implementer") == "0x41" and "CPU part" in fields:
        part = int(fields["CPU part"], 16)
        return arm_cores.get(str(part), f"Arm part {part:#x}")
    return str(fields.get("model name", "")).strip() or platform.processor() or platform.machine()
