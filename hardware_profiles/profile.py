"""Devices as data: what a device is, never where mine stands (that is a connection)."""

import platform
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import psutil
import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from hardware_profiles.errors import DeviceError
from hardware_profiles.machine import clock_mhz, processor_core, usable_cores
from hardware_profiles.value import Value

Precision = Literal["float32", "float16", "dynamic-int8", "int8", "int16x8", "int4"]
InputType = Literal["float32", "int8"]
Reach = Literal["local", "ssh", "adb", "serial", "simulator"]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]

THIS_MACHINE = "this-machine"
CATALOG = Path(__file__).parent / "catalog"


class Processor(Value):
    """The processor: instruction set, core, how many cores (and threads of them), clock."""

    isa: str
    core: str
    cores: PositiveInt | None = None
    logical_cores: PositiveInt | None = None
    clock_mhz: PositiveFloat | None = None


class Memory(Value):
    """Working memory, and what programs and models are stored in."""

    ram_bytes: PositiveInt | None = None
    storage_bytes: PositiveInt | None = None


class Runtime(Value):
    """What executes a `.tflite` there, such as 'litert', and with which kernels, such as 'xnnpack'."""

    name: str
    kernels: str | None = None


class Accelerator(Value):
    """An accelerator beside the processor."""

    name: str
    tera_ops_per_s: PositiveFloat | None = None
    power_w: PositiveFloat | None = None


class Power(Value):
    """What the whole device draws."""

    idle_w: PositiveFloat | None = None
    active_w: PositiveFloat | None = None


class HardwareProfile(Value):
    """A kind of device. What is not known is None.

    `precisions` and `input_types` are what its runtime executes, `slow_precisions` those for which it has
    reference kernels alone, many times slower than the rest; `counts` says whether a model's
    stored or compressed bytes matter; `reach` is how such a device is reached. `sources` gives, for
    published figures by their dotted name ('processor.clock_mhz'), where they were published.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: str
    processor: Processor
    memory: Memory = Memory()
    runtime: Runtime
    precisions: Annotated[tuple[Precision, ...], Field(min_length=1)]
    slow_precisions: tuple[Precision, ...] = ()
    input_types: Annotated[tuple[InputType, ...], Field(min_length=1)]
    counts: Literal["stored", "compressed"] = "stored"
    accelerator: Accelerator | None = None
    power: Power = Power()
    reach: Reach
    sources: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sources_of_figures(self) -> Self:
        if strangers := set(self.sources) - set(self.figures):
            raise ValueError(f"a source belongs to a figure of the profile, but '{min(strangers)}' is none")
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

    `folders` hold the user's own `NAME.yaml`, which go before ours of the same name.
    """
    found = {path.stem for folder in (CATALOG, *folders) for path in folder.glob("*.yaml")}
    return (THIS_MACHINE, *sorted(found - {THIS_MACHINE}))


def load_profile(name: str, folders: Sequence[Path] = ()) -> HardwareProfile:
    """Return the profile of that name.

    Raises DeviceError, on one line, if there is none (with the nearest name), or if its file cannot
    be read, is not YAML, has unknown keys or values that are not allowed.
    """
    if name == THIS_MACHINE:
        return this_machine()
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
            f"rename the file to {profile.name}.yaml or write 'name: {path.stem}'"
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
        annotation = model.model_fields[str(part)].annotation
        choices = getattr(annotation, "__args__", (annotation,))
        model = next(
            choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)
        )
    return list(model.model_fields)
