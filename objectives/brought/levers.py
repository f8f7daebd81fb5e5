"""Which levers that train can be used on a brought network, and why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from objectives.aware import aware
from objectives.build import prunable
from spaces.candidate import Lever

if TYPE_CHECKING:
    import tf_keras

Array = np.ndarray[Any, np.dtype[Any]]
NO_KERNEL = "it has no convolution or fully connected layer whose weights could be trained"
NOT_OURS = "slimming follows edgesearch's own layers, and this network has others"


def without_twin(reason: str) -> dict[Lever, str | None]:
    """Return the levers of a network whose layers cannot be trained, for that reason."""
    return dict.fromkeys(get_args(Lever), reason)


def levers_of(twin: tf_keras.Model, samples: Array) -> dict[Lever, str | None]:
    """Return for each lever None if it can be used on a twin, else the reason why not."""
    none = None if any(True for _ in prunable(twin)) else NO_KERNEL
    if twin.inputs[0].dtype.name != "float32":
        none = f"its input is {twin.inputs[0].dtype.name}, and what is trained on here takes float32"
    return {"slim": NOT_OURS, "prune": none, "cluster": none, "aware": none or _why_not_aware(twin, samples)}


def _why_not_aware(twin: tf_keras.Model, samples: Array) -> str | None:
    """Return what TFMOT says against the network, None if it takes it."""
    try:
        aware(twin, ())(samples, training=False)
    except Exception as error:  # noqa: BLE001 - TFMOT raises all kinds of them
        return " ".join(str(error).split()) or type(error).__name__
    return None
