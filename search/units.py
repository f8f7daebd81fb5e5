"""Sizes and times as people write them: `64K`, `1M`, `2ms`, `800us`.

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
