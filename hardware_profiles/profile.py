"""Devices as data: what a device is, never where mine stands (that is a connection)."""

import platform
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import psutil
import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from hardware_profiles.errors import DeviceError
from hardware_profiles.machine import clock_mhz, processor_core, usable_cores
from hardware_profiles.micro_ops import OPS as MICRO_OPS
from hardware_profiles.value import Value

Precision = Literal["float32", "float16", "dynamic-int8", "int8", "int16x8", "int4"]
InputType = Literal["float32", "int8"]
Reach = Literal["local", "ssh", "adb", "command", "simulator"]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]

THIS_MACHINE = "this-machine"
CATALOG = Path(__file__).parent / "catalog"
_SUFFIXES = (".yaml", ".yml")
# What a runtime has no kernels for, whatever the board: TensorFlow Lite Micro refuses such a file.
_NEVER_RUN: dict[str, frozenset[str]] = {"tflite-micro": frozenset({"dynamic-int8", "float16"})}
_OPS_OF_RUNTIMES: dict[str, frozenset[str]] = {"tflite-micro": MICRO_OPS}


class Processor(Value):
    """The processor: instruction set, core, how many cores (and threads of them), clock."""

    isa: str
    core: str
    cores: PositiveInt | None = None
    logical_cores: PositiveInt | None = None
    clock_mhz: PositiveFloat | None = None


class Memory(Value):
    """Working memory, and what programs and models are stored in (a microcontroller's flash)."""

    ram_bytes: PositiveInt | None = None
    storage_bytes: PositiveInt | None = None


class Runtime(Value):
    """What executes a `.tflite` there, such as 'litert', and with which kernels, such as 'xnnpack'.

    `code_bytes` is the flash that a microcontroller's interpreter takes without its operators, where its
    linker map tells (see firmware.py for what is taken otherwise).
    """

    name: str
    kernels: str | None = None
    code_bytes: PositiveInt | None = None


class CyclesPerMac(Value):
    """What a multiply-accumulate costs the processor with some kernels, as runs of models or kernels show."""

    low: PositiveFloat
    high: PositiveFloat

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"cycles per MAC are low to high, got {self.low:g} to {self.high:g}")
        return self


class Accelerator(Value):
    """An accelerator beside the processor.

    `kind` says who can tell about it: Vela for an 'ethos-u' (`vela_config` is its --accelerator-config,
    such as 'ethos-u55-128', `vela_system` and `vela_memory` its --system-config and --memory-mode), the
    Edge TPU's compiler or its published table of ops for an 'edge-tpu'.
    """

    name: str
    kind: Literal["ethos-u", "edge-tpu", "gpu"]
    vela_config: str | None = None
    vela_system: str | None = None
    vela_memory: str | None = None
    tera_ops_per_s: PositiveFloat | None = None
    power_w: PositiveFloat | None = None


class Power(Value):
    """What the whole device draws; `meter` is a command that prints watts, one a line, until it is ended."""

    idle_w: PositiveFloat | None = None
    active_w: PositiveFloat | None = None
    meter: Annotated[tuple[str, ...], Field(min_length=1)] | None = None


class DefaultLimits(Value):
    """Limits of a study for this device, unless its user sets others."""

    latency_ms: PositiveFloat | None = None
    model_bytes: PositiveInt | None = None
    arena_bytes: PositiveInt | None = None


class HardwareProfile(Value):
    """A kind of device. What is not known is None.

    `precisions` and `input_types` are what its runtime executes, `slow_precisions` those for which it has
    reference kernels alone, many times slower than the rest; `ops` are the operators that it has, by
    their names in the `.tflite` schema ('CONV_2D'), where it has fewer than its runtime could; `counts`
    says whether a model's stored or compressed bytes matter; `cycles_per_mac` has, by the name of the
    kernels, what a latency can be estimated with; `reach` is how such a device is reached. `sources` gives,
    for published figures by their dotted name ('processor.clock_mhz'), where they were published.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: str
    processor: Processor
    memory: Memory = Memory()
    runtime: Runtime
    precisions: Annotated[tuple[Precision, ...], Field(min_length=1)]
    slow_precisions: tuple[Precision, ...] = ()
    input_types: Annotated[tuple[InputType, ...], Field(min_length=1)]
    ops: tuple[str, ...] | None = None
    counts: Literal["stored", "compressed"] = "stored"
    accelerator: Accelerator | None = None
    cycles_per_mac: dict[str, CyclesPerMac] = Field(default_factory=dict)
    power: Power = Power()
    default_limits: DefaultLimits = DefaultLimits()
    reach: Reach
    sources: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sources_of_figures(self) -> Self:
        if strangers := set(self.sources) - set(self.figures):
            raise ValueError(f"a source belongs to a figure of the profile, but '{min(strangers)}' is none")
        return self

    @model_validator(mode="after")
    def _precisions_that_run(self) -> Self:
        if slow := set(self.slow_precisions) - set(self.precisions):
            raise ValueError(f"slow_precisions are among precisions, but '{min(slow)}' is not")
        if never := _NEVER_RUN.get(self.runtime.name, frozenset()) & set(self.precisions):
            raise ValueError(f"the runtime '{self.runtime.name}' does not run {min(never)}: leave it out")
        return self

    @property
    def figures(self) -> dict[str, float]:
        """The numbers that are known, by their dotted name."""
        return dict(_numbers(self.model_dump(exclude={"sources"}), ""))

    @property
    def unsourced(self) -> tuple[str, ...]:
        """The figures of which is not said where they come from."""
        return tuple(sorted(set(self.figures) - set(self.sources)))


def profile_names(folders: Sequence[Path] = ()) -> tuple[str, ...]:
    """Return the names of all profiles: this machine, then the rest in alphabetical order.

    `folders` hold the user's own `NAME.yaml`, which go before ours of the same name. Files beside them
    that describe no processor are something else (a plan, mostly) and passed over.
    """
    shipped = {path.stem for path in CATALOG.glob("*.yaml")}
    own = {path.stem for folder in folders for path in folder.glob("*.yaml") if _describes_a_device(path)}
    return (THIS_MACHINE, *sorted((shipped | own) - {THIS_MACHINE}))


def unsupported_ops(profile: HardwareProfile, kinds: Iterable[str]) -> tuple[str, ...]:
    """Return which operators (as the schema names them, 'CONV_2D') the device has no kernel for, in order.

    Of a runtime whose operators are not known here, nothing is said: the answer is empty.
    """
    has = profile.ops if profile.ops is not None else _OPS_OF_RUNTIMES.get(profile.runtime.name)
    return () if has is None else tuple(sorted(set(kinds) - set(has)))


def load_profile(name: str, folders: Sequence[Path] = ()) -> HardwareProfile:
    """Return the profile of that name, or of a file that is named by its path ('./my-board.yaml').

    Raises DeviceError, on one line, if there is none (with the nearest name), or if its file cannot
    be read, is not YAML, has unknown keys or values that are not allowed.
    """
    if name == THIS_MACHINE:
        return this_machine()
    if name.endswith(_SUFFIXES):
        return read_profile(Path(name).expanduser())
    for folder in (*reversed(folders), CATALOG):
        path = folder / f"{name}.yaml"
        if name == path.stem and path.is_file():
            return read_profile(path)
    hint = get_close_matches(name, profile_names(folders), n=1)
    meant = f"; did you mean '{hint[0]}'?" if hint else ""
    raise DeviceError(f"no device profile named '{name}'{meant} (`edgesearch devices` lists all)")


def read_profile(path: Path) -> HardwareProfile:
    """Read one profile's file. Raises DeviceError, on one line, if it is not a valid profile."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        profile = HardwareProfile.model_validate(document)
    except OSError as error:
        raise DeviceError(f"cannot read the device profile {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DeviceError(f"the device profile {path} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise DeviceError(f"the device profile {path}: {_explain(error)}") from error
    if profile.name != path.stem:
        raise DeviceError(
            f"the device profile {path} is named '{profile.name}'; a profile has the name of its file: "
            f"rename the file to {profile.name}{path.suffix} or write 'name: {path.stem}'"
        )
    return profile


def this_machine() -> HardwareProfile:
    """Write the profile of the machine that we run on, from what is found (Linux and macOS)."""
    core = processor_core()
    physical, logical = usable_cores()
    return HardwareProfile(
        name=THIS_MACHINE,
        title=f"This machine ({core})",
        processor=Processor(
            isa=platform.machine() or "unknown",
            core=core,
            cores=physical,
            logical_cores=logical,
            clock_mhz=clock_mhz(),
        ),
        memory=Memory(ram_bytes=psutil.virtual_memory().total),
        runtime=Runtime(name="litert", kernels="xnnpack"),
        precisions=("float32", "float16", "dynamic-int8", "int8", "int4", "int16x8"),
        slow_precisions=("int16x8",),
        input_types=("float32", "int8"),
        reach="local",
    )


def _numbers(document: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float):
            yield f"{prefix}{key}", value


def _describes_a_device(path: Path) -> bool:
    try:
        return re.search(r"^processor\s*:", path.read_text(encoding="utf-8"), re.MULTILINE) is not None
    except (OSError, UnicodeDecodeError):
        return False


def _explain(error: ValidationError) -> str:
    """Put the first thing that is wrong into one sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        hint = get_close_matches(str(first["loc"][-1]), _keys_at(first["loc"][:-1]), n=1)
        return f"unknown key '{where}'" + (f"; did you mean '{hint[0]}'?" if hint else "")
    if first["type"] == "missing":
        return f"key '{where}' is missing"
    message = " ".join(str(first["msg"]).split()).removeprefix("Value error, ")
    return f"'{where}': {message}, got {first['input']!r}" if where else message


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    """Return the keys that are known at a place in a profile's document."""
    model: Any = HardwareProfile
    for part in place:
        if str(part) not in model.model_fields:  # a name of the user's own, such as that of the kernels
            continue
        annotation = model.model_fields[str(part)].annotation
        choices = getattr(annotation, "__args__", (annotation,))
        model = next(
            choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)
        )
    return list(model.model_fields)
