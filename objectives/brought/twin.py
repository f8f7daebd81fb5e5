"""The twin of a brought network: the same network in tf_keras, which levers that train can work on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.agreement import disagreement
from objectives.brought.rebuild import rebuilt
from objectives.errors import ObjectiveError
from objectives.guard import first_line
from objectives.tensorflow import keras

if TYPE_CHECKING:
    import tf_keras

    from objectives.brought.reading import Loaded

Array = np.ndarray[Any, np.dtype[Any]]
LAYERS, WEIGHTS = "twin.json", "twin.npz"
CLOSE = 1e-4


def keep_twin(loaded: Loaded, samples: Array, expected: Array, folder: Path) -> str | None:
    """Write a network's twin to a folder; return None, or the reason why there is none.

    It is kept if what was written, read back, gives `expected` for the samples.
    """
    try:
        _write(_twin(loaded), folder)
        _refuse_other(np.asarray(read_twin(folder)(samples, training=False)), expected)
    except ObjectiveError as error:
        _remove(folder)
        return str(error)
    except Exception as error:  # noqa: BLE001 - Keras raises all kinds of them
        _remove(folder)
        return f"its layers cannot be written down and read back: {first_line(error)}"
    return None


def load_twin(root: Path, digest: str) -> tf_keras.Model:
    """Return the twin of an imported network, with its weights.

    Raises ObjectiveError where it has none: `BroughtModel.trainable` says why.
    """
    folder = root / digest
    if not (folder / LAYERS).exists():
        raise ObjectiveError(f"the network {digest} has no twin in {root} that could be trained")
    return read_twin(folder)


def read_twin(folder: Path) -> tf_keras.Model:
    """Return the twin that a folder holds, with no layer frozen."""
    network = keras().models.model_from_json((folder / LAYERS).read_text())
    with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
        network.set_weights([arrays[f"arr_{i}"] for i in range(len(arrays.files))])
    # Afterwards, for it orders the weights: what is compressed is the whole network, frozen layers too.
    network.trainable = True
    return network


def _twin(loaded: Loaded) -> tf_keras.Model:
    if loaded.network is None:
        raise ObjectiveError("a SavedModel holds a graph and no layers")
    if loaded.format == "keras-3":
        return rebuilt(loaded.network)
    keras()
    from tf_keras.src.engine.functional import Functional

    if not isinstance(loaded.network, Functional):
        raise ObjectiveError(
            f"it is a {type(loaded.network).__name__}, whose layers are known to its own code alone"
        )
    return loaded.network


def _write(twin: tf_keras.Model, folder: Path) -> None:
    (folder / LAYERS).write_text(twin.to_json())
    np.savez(folder / WEIGHTS, *twin.get_weights())


def _remove(folder: Path) -> None:
    for name in (LAYERS, WEIGHTS):
        (folder / name).unlink(missing_ok=True)


def _refuse_other(found: Array, expected: Array) -> None:
    if found.shape != expected.shape or not (apart := disagreement(found, expected)) <= CLOSE:
        detail = f"{apart:.2g} of their spread" if found.shape == expected.shape else "another shape"
        raise ObjectiveError(f"its layers, rebuilt in tf_keras, give other outputs ({detail})")
