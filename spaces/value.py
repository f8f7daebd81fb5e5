"""The base of every value in this room: frozen, validated at construction, with a digest."""

import hashlib
import json

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value. Unknown fields, NaN and infinities are refused when it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def digest(*parts: Value | str | int | None) -> str:
    """Name what the parts say: 16 hex digits of the SHA-256 of their canonical JSON."""
    plain = [p.model_dump(mode="json") if isinstance(p, Value) else p for p in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
