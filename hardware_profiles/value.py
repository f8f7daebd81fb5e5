"""The base of every value in this room: frozen, validated at construction."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value. Unknown fields, NaN and infinities are refused when it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
