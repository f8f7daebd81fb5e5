"""What a firmware leaves for a model: flash and RAM, less the user's own part, less the runtime's.

The runtime's part is TensorFlow Lite Micro's and estimated from the operators used, as a range, with whose
middle is counted what is left.
"""

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from hardware_profiles.errors import DeviceError
from hardware_profiles.micro_ops import (
    CORE_FLASH_BYTES,
    GROWTH,
    KERNELS,
    OTHER_KERNEL,
    RAM_BYTES_PER_OP,
    SIMPLE,
    SIMPLE_KERNEL,
)
from hardware_profiles.profile import HardwareProfile
from hardware_profiles.value import Value

Bytes = Annotated[int, Field(gt=0)]
Reserve = Annotated[int, Field(ge=0)]


class Budget(Value):
    """The flash and RAM of a microcontroller, and what of each the user's own program takes."""

    flash_bytes: Bytes
    ram_bytes: Bytes
    reserve_flash_bytes: Reserve = 0
    reserve_ram_bytes: Reserve = 0

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        for what in ("flash", "ram"):
            has, reserved = getattr(self, f"{what}_bytes"), getattr(self, f"reserve_{what}_bytes")
            if reserved >= has:
                raise ValueError(
                    f"what is reserved is less than there is, got {human_bytes(reserved)} of "
                    f"{human_bytes(has)} of {_NAMES[what]}: lower --reserve-{what}"
                )
        return self


class Left(Value):
    """What remains: for the `.tflite` in flash, for its arena in RAM, and both in one sentence."""

    model_bytes: Bytes
    arena_bytes: Bytes
    sentence: str


_NAMES = {"flash": "flash", "ram": "RAM"}


def budget_of(
    profile: HardwareProfile,
    *,
    flash_bytes: int | None = None,
    ram_bytes: int | None = None,
    reserve_flash_bytes: int = 0,
    reserve_ram_bytes: int = 0,
) -> Budget:
    """Return the budget of a microcontroller: what the user says of it, else what its profile knows.

    Raises DeviceError where neither knows the flash or the RAM, and where all of it is reserved.
    """
    flash = profile.memory.storage_bytes if flash_bytes is None else flash_bytes
    ram = profile.memory.ram_bytes if ram_bytes is None else ram_bytes
    if flash is None or ram is None:
        what = "flash" if flash is None else "ram"
        raise DeviceError(
            f"how much {_NAMES[what]} '{profile.name}' has is not in its profile, so nothing is known of "
            f"what remains for a model: say it with --{what} (--{what} 256K)"
        )
    try:
        return Budget(
            flash_bytes=flash,
            ram_bytes=ram,
            reserve_flash_bytes=reserve_flash_bytes,
            reserve_ram_bytes=reserve_ram_bytes,
        )
    except ValidationError as error:
        raise DeviceError(_reason(error)) from error


def runtime_flash_bytes(kinds: Iterable[str], code_bytes: int | None = None) -> tuple[int, int]:
    """Return the least and the most flash that TensorFlow Lite Micro takes with these operators.

    `kinds` are operators as the schema names them ('CONV_2D'), each counted once; `code_bytes` is what the
    interpreter takes without them, where the user's own linker map tells. Sources: micro_ops.py.
    """
    used = set(kinds)
    measured = [kernel for kernel in KERNELS if used & set(kernel.ops)]
    others = used - {op for kernel in measured for op in kernel.ops}
    assumed = [SIMPLE_KERNEL if op in SIMPLE else OTHER_KERNEL for op in others]
    known = sum(kernel.flash_bytes for kernel in measured)
    least, most = CORE_FLASH_BYTES if code_bytes is None else (code_bytes, code_bytes)
    low, high = (known + sum(bounds[end] for bounds in assumed) for end in (0, 1))
    return least + low, most + round(GROWTH * high)


def left_for_model(budget: Budget, kinds: Iterable[str], code_bytes: int | None = None) -> Left:
    """Return what remains for a model of these operators, the runtime counted with the middle of its range.

    Only the linker knows for sure; a user who has its map gives `code_bytes` or reserves more.
    Raises DeviceError if nothing remains of the flash or of the RAM.
    """
    used = frozenset(kinds)
    least, most = runtime_flash_bytes(used, code_bytes)
    runtime = f"{human_bytes(least)} to {human_bytes(most)} of TensorFlow Lite Micro (estimated)"
    flash = budget.flash_bytes - budget.reserve_flash_bytes - (least + most) // 2
    ram_taken = RAM_BYTES_PER_OP * len(used)
    ram = budget.ram_bytes - budget.reserve_ram_bytes - ram_taken
    _check("flash", flash, budget.flash_bytes, budget.reserve_flash_bytes, runtime)
    _check("ram", ram, budget.ram_bytes, budget.reserve_ram_bytes, f"{human_bytes(ram_taken)} of the runtime")
    return Left(
        model_bytes=flash,
        arena_bytes=ram,
        sentence=(
            f"{human_bytes(budget.flash_bytes)} of flash less {human_bytes(budget.reserve_flash_bytes)} of "
            f"yours and {runtime} leave {human_bytes(flash)} for the model; "
            f"{human_bytes(budget.ram_bytes)} of RAM less {human_bytes(budget.reserve_ram_bytes)} of yours "
            f"and {human_bytes(ram_taken)} of the runtime leave {human_bytes(ram)} for its arena"
        ),
    )


def human_bytes(count: int) -> str:
    """Return a size in B, KiB, MiB or GiB (1 KiB is 1024 bytes)."""
    if count < 1024:
        return f"{count} B"
    for unit, power in (("KiB", 1), ("MiB", 2)):
        if count < 1024 ** (power + 1):
            return f"{count / 1024**power:.1f} {unit}"
    return f"{count / 1024**3:.1f} GiB"


def _check(what: str, left: int, has: int, reserved: int, runtime: str) -> None:
    if left <= 0:
        raise DeviceError(
            f"nothing remains for a model: {human_bytes(has)} of {_NAMES[what]} less {human_bytes(reserved)} "
            f"of yours and {runtime}; raise --{what}, lower --reserve-{what} or use fewer kinds of operators"
        )


def _reason(error: ValidationError) -> str:
    """Put the first thing that is wrong on one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"'{where}': {message}, got {first['input']!r}" if where else message
