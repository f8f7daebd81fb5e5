"""Sizes, times and energies as people write them (`64K`, `1M`, `2ms`, `800us`) and read them.

Both readers raise ValueError for a text that is neither.
"""

import re

_NUMBER = r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*"
_BYTES = {"": 1, "B": 1, "K": 1024, "KB": 1024, "KIB": 1024, "M": 1024**2, "MB": 1024**2, "MIB": 1024**2}
_MOST_BYTES = 2.0**63
_MS = {"": 1.0, "ms": 1.0, "us": 1e-3, "s": 1e3}


def parse_bytes(text: object) -> object:
    """Read `64K`, `1.5M` or a plain number of bytes (K is 1024). What is no text passes as it is."""
    if not isinstance(text, str):
        return text
    match = re.fullmatch(_NUMBER + r"([A-Za-z]*)\s*", text)
    if not match or match[2].upper() not in _BYTES:
        raise ValueError(f"a size is a number of bytes, or one with K or M (64K), got '{text}'")
    size = float(match[1]) * _BYTES[match[2].upper()]
    if size >= _MOST_BYTES:
        raise ValueError(f"a size is less than 2^63 bytes, got '{text}'")
    return int(size)


def parse_ms(text: object) -> object:
    """Read `2`, `2ms`, `800us` or `1s` as milliseconds. What is no text passes as it is."""
    if not isinstance(text, str):
        return text
    match = re.fullmatch(_NUMBER + r"([a-z]*)\s*", text)
    if not match or match[2] not in _MS:
        raise ValueError(f"a time is a number of milliseconds, or one with us, ms or s (800us), got '{text}'")
    return float(match[1]) * _MS[match[2]]


def human_bytes(count: float) -> str:
    """Return a size in B, KiB or MiB, as limits count them (1 KiB is 1024 bytes)."""
    if count < 1024:
        return f"{count:.0f} B"
    return f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.2f} MiB"


def human_ms(milliseconds: float) -> str:
    """Return a time to three digits in us, ms or s."""
    amount, unit = time_unit(milliseconds)
    return f"{three_digits(milliseconds / amount)} {unit}"


def human_figure(metric: str, value: float) -> str:
    """Return a figure with the unit that the metric's name says."""
    if metric.endswith("_bytes"):
        return human_bytes(value)
    return human_energy(value) if metric == "energy_mj" else f"{value:.4g}"


def human_energy(millijoules: float) -> str:
    """Return an energy to three digits in nJ, uJ, mJ or J."""
    shown = float(f"{millijoules:.3g}")
    units = ((1e-3, 1e-6, "nJ"), (1.0, 1e-3, "uJ"), (1e3, 1.0, "mJ"))
    amount, unit = next(((a, u) for below, a, u in units if shown < below), (1e3, "J"))
    return f"{three_digits(millijoules / amount)} {unit}"


def time_unit(milliseconds: float) -> tuple[float, str]:
    """Return the unit that a time is written in: how many ms it has, and its name."""
    shown = float(f"{milliseconds:.3g}")  # what rounds up to 1000 us is 1 ms
    if shown < 1:
        return 1e-3, "us"
    return (1.0, "ms") if shown < 1000 else (1e3, "s")


def three_digits(number: float) -> str:
    """Return a number to three digits, `12.0`; of 1000 and more all that are before the point."""
    return f"{number:#.3g}".rstrip(".") if float(f"{number:.3g}") < 1000 else f"{number:.0f}"
