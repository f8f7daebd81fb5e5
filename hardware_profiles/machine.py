"""What can be found out about the machine that we run on."""

import hashlib
import os
import platform
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import psutil

ARM_CORES = {
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD40: "Neoverse-V1",
    0xD49: "Neoverse-N2",
}
"""Main ID Register part numbers of implementer 0x41, from Arm's technical reference manuals."""


@cache
def machine_id() -> str:
    """Return 12 hex digits that stay with this machine and do not tell which one it is.

    A hash of the system's machine id (or the host name where there is none), the processor and the
    number of its logical cores.
    """
    parts = ("edgesearch", system_id() or platform.node(), processor_core(), str(psutil.cpu_count()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def system_id() -> str | None:
    """Return the operating system's id of this installation, or None if it has none."""
    if sys.platform == "darwin":
        found = re.search(
            r'"IOPlatformUUID" = "([^"]+)"', output_of("ioreg", "-rd1", "-c", "IOPlatformExpertDevice")
        )
        return found[1] if found else None
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            if text := path.read_text().strip():
                return text
        except OSError:
            continue
    return None


def processor_core() -> str:
    """Return the processor's model, such as 'Cortex-A72'; at least its instruction set."""
    if sys.platform == "darwin":
        found = output_of("sysctl", "-n", "machdep.cpu.brand_string").strip()
    else:
        found = core_from_cpuinfo(cpuinfo())
    return found or platform.processor() or platform.machine()


def cpuinfo() -> str:
    """Return Linux's description of the processors, or nothing."""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def core_from_cpuinfo(text: str) -> str:
    """Return the first processor's model from /proc/cpuinfo's text, or nothing if it does not tell."""
    fields = dict(re.findall(r"^([^:\n]+?)\s*:[ \t]*(.*)$", text, re.MULTILINE))
    if fields.get("CPU implementer") == "0x41" and "CPU part" in fields:
        part = int(fields["CPU part"], 16)
        return ARM_CORES.get(part, f"Arm part {part:#x}")
    return str(fields.get("model name", "")).strip()


def usable_cores() -> tuple[int, int]:
    """Return how many physical and logical cores this process may use."""
    logical = psutil.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        logical = len(os.sched_getaffinity(0))
    return min(psutil.cpu_count(logical=False) or logical, logical), logical


def clock_mhz() -> float | None:
    """Return the highest clock that the system tells, else the present one, else None."""
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError, AttributeError, RuntimeError):
        return None
    if frequency is None:
        return None
    return float(frequency.max or frequency.current) or None


def output_of(*command: str) -> str:
    """Return what a command prints, or nothing if it cannot be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
