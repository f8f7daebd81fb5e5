"""The tools here that a device is reached or told about with: which are found, and how the others are got."""

from importlib.util import find_spec

from hardware_profiles.profile import HardwareProfile
from hardware_profiles.runners.tool import find_tool
from hardware_profiles.value import Value

STATIC = "static only (bytes, arena)"


class Tool(Value):
    """A program, or a package (`module`) of Python's, that some devices need here.

    `gives` is what is known with it, `how` how it is got.
    """

    name: str
    gives: str
    how: str
    module: str | None = None

    @property
    def found(self) -> bool:
        """Whether it is on this machine."""
        return find_spec(self.module) is not None if self.module else find_tool(self.name) is not None


SSH = Tool(name="ssh", gives="latency, measured there", how="`apt-get install openssh-client`")
ADB = Tool(
    name="adb",
    gives="latency, measured there with --benchmark-model FILE",
    how="`apt-get install adb`, or Android's platform-tools",
)
VELA = Tool(name="vela", gives="latency and memory, estimated", how="`pip install 'edgesearch[vela]'`")
EDGETPU = Tool(
    name="edgetpu_compiler",
    gives="what runs on the Edge TPU (its published table of operations tells less without it)",
    how="`apt-get install edgetpu-compiler` from Coral's own repository, on x86-64 Linux",
)
MICRO = Tool(
    name="tflite-micro",
    gives="arena and accuracy as a microcontroller has them",
    how="`pip install 'edgesearch[micro]'`, on x86-64 Linux",
    module="tflite_micro",
)
TOOLS = (SSH, ADB, VELA, EDGETPU, MICRO)


def needed(profile: HardwareProfile) -> tuple[Tool, ...]:
    """Return the tools that something of a device is known with from here."""
    kind = profile.accelerator.kind if profile.accelerator else None
    wanted = {
        SSH: profile.reach == "ssh",
        ADB: profile.reach == "adb",
        VELA: kind == "ethos-u",
        EDGETPU: kind == "edge-tpu",
        MICRO: profile.runtime.name == "tflite-micro",
    }
    return tuple(tool for tool in TOOLS if wanted[tool])


def latency_from_here(profile: HardwareProfile) -> str:
    """Say what can be told of a device's latency on this machine, and with which option."""
    match profile.reach:
        case "local":
            return "measured"
        case "ssh":
            return _measured(SSH, "ssh://USER@HOST")
        case "adb":
            return _measured(ADB, "adb://SERIAL")
        case "command":
            return f"measured with --on command:PROGRAM, {_otherwise(profile)}"
        case "simulator":
            return _estimated(profile)


def _measured(tool: Tool, connection: str) -> str:
    return f"measured with --on {connection}" if tool.found else f"none until {tool.name} is here: {tool.how}"


def _estimated(profile: HardwareProfile) -> str:
    """Say how latency is estimated, if it can be."""
    if profile.accelerator and profile.accelerator.kind == "ethos-u":
        found = "estimated with --on estimated (Vela)"
        return found if VELA.found else f"none until {VELA.name} is here: {VELA.how}"
    if profile.runtime.kernels in profile.cycles_per_mac and profile.processor.clock_mhz:
        return "estimated with --on estimated (cycles per MAC)"
    return f"none: {STATIC}"


def _otherwise(profile: HardwareProfile) -> str:
    """Say what there is for a device that is not at hand."""
    told = _estimated(profile)
    return told if told.startswith("estimated") else f"else {STATIC}"
