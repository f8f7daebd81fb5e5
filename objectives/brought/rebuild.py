"""A Keras 3 network, layer by layer once more in tf_keras, where it can be trained and made smaller.

Follows the configuration that Keras itself saves: layers by name, and for each of their calls which
tensors it takes. What this makes is only kept if it computes the same (see `twin`).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from objectives.errors import ObjectiveError
from objectives.guard import first_line
from objectives.tensorflow import keras

if TYPE_CHECKING:
    import tf_keras

Key = tuple[str, int, int]
_NETWORKS = ("Sequential", "Functional")
_RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
"""What a layer's setting is called in Keras 3, and in tf_keras."""


def rebuilt(network: Any) -> tf_keras.Model:
    """Return the tf_keras network of a Keras 3 one, with its weights.

    Raises ObjectiveError, with the reason, where tf_keras has not what it takes.
    """
    twin = _network(type(network).__name__, network.get_config())
    _copy_weights(network, twin)
    return twin


def _network(kind: str, config: dict[str, Any]) -> tf_keras.Model:
    if kind == "Functional":
        return _functional(config)
    if kind == "Sequential":
        return _sequential(config)
    raise ObjectiveError(f"it is a {kind}, whose layers are known to its own code alone")


def _sequential(config: dict[str, Any]) -> tf_keras.Model:
    model = keras().Sequential([_layer(entry) for entry in config["layers"]], name=config["name"])
    if not model.built:
        model.build(config["build_input_shape"])
    return model


def _functional(config: dict[str, Any]) -> tf_keras.Model:
    made: dict[Key, Any] = {}
    calls = []
    for entry in config["layers"]:
        layer, name = _layer(entry), entry["name"]
        if entry["class_name"] == "InputLayer":
            made[name, 0, 0] = layer.output
        calls += [_Call(layer, name, number, node) for number, node in enumerate(entry["inbound_nodes"])]
    while calls:
        waiting = [call for call in calls if not call.done(made)]
        if len(waiting) == len(calls):
            raise ObjectiveError(f"what its layer {calls[0].name} takes is made by none of its layers")
        calls = waiting
    inputs, outputs = _picked(config["input_layers"], made), _picked(config["output_layers"], made)
    return keras().Model(inputs, outputs, name=config["name"])


class _Call:
    """One call of a layer: a shared layer has several."""

    def __init__(self, layer: Any, name: str, number: int, node: dict[str, Any]) -> None:
        self.name = name
        self._layer, self._number, self._node = layer, number, node

    def done(self, made: dict[Key, Any]) -> bool:
        """Call the layer, if all that it takes is made."""
        try:
            args, kwargs = _filled(self._node["args"], made), _filled(self._node["kwargs"], made)
        except _NotYetError:
            return False
        given = {name: value for name, value in kwargs.items() if value is not None}
        try:
            outputs = self._layer(*args, **given)
        except Exception as error:  # noqa: BLE001 - whatever it is, this network has no twin
            raise ObjectiveError(f"tf_keras cannot call its layer {self.name}: {first_line(error)}") from None
        tensors = outputs if isinstance(outputs, list | tuple) else [outputs]
        made.update({(self.name, self._number, i): tensor for i, tensor in enumerate(tensors)})
        return True


class _NotYetError(Exception):
    """A tensor that no call has made so far."""


def _filled(value: Any, made: dict[Key, Any]) -> Any:
    """Return a call's arguments with tensors in the place of their names."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return _tensor(value["config"]["keras_history"], made)
        if value.get("class_name") == "__tuple__":
            return tuple(_filled(item, made) for item in value["items"])
        return {name: _filled(item, made) for name, item in value.items()}
    return [_filled(item, made) for item in value] if isinstance(value, list | tuple) else value


def _tensor(history: Any, made: dict[Key, Any]) -> Any:
    name, node, index = history
    if (name, node, index) not in made:
        raise _NotYetError
    return made[name, node, index]


def _picked(places: Any, made: dict[Key, Any]) -> Any:
    """Return tensors for places such as ["dense", 0, 0], in the structure that they are given in."""
    if isinstance(places, dict):
        return {name: _picked(place, made) for name, place in places.items()}
    if isinstance(places[0], str):
        return _tensor(places, made)
    return [_picked(place, made) for place in places]


def _layer(entry: dict[str, Any]) -> Any:
    kind, config, module = entry["class_name"], entry["config"], str(entry.get("module"))
    if kind in _NETWORKS:
        return _network(kind, config)
    found = getattr(keras().layers, kind, None)
    if found is None or not module.startswith("keras.layers"):
        raise ObjectiveError(f"tf_keras has no layer for its {kind} ({module})")
    if kind == "InputLayer":
        shape = config["batch_shape"]
        return found(input_shape=tuple(shape[1:]), dtype=_plain(config["dtype"]), name=config["name"])
    try:
        return found.from_config(_config(found, config))
    except Exception as error:  # noqa: BLE001 - whatever it is, this network has no twin
        named = f"{config.get('name')} ({kind})"
        raise ObjectiveError(f"tf_keras cannot build its layer {named}: {first_line(error)}") from None


def _config(found: type, config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a layer's class in tf_keras takes, as it takes them.

    Initializers are left out: the weights are copied.
    """
    renamed, accepted = _RENAMED.get(found.__name__, {}), _accepted(found)
    plain = {renamed.get(name, name): _plain(value) for name, value in config.items()}
    return {name: plain[name] for name in plain if name in accepted and not name.endswith("_initializer")}


def _accepted(found: type) -> set[str]:
    """Return the names of a constructor's parameters, and of those that it passes on to."""
    names = {"activity_regularizer"}  # which the base of all layers takes without naming it
    for base in found.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters  # type: ignore[misc]
            names |= set(parameters)
            if all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
                break
    return names


def _plain(value: Any) -> Any:
    """Return a setting as tf_keras writes it: without modules, and types by their names."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "class_name" in value:
        return _plain_object(value)
    return {name: _plain(item) for name, item in value.items()}


def _plain_object(value: dict[str, Any]) -> Any:
    match value:
        case {"class_name": "__tuple__", "items": items}:
            return tuple(_plain(item) for item in items)
        case {"class_name": "DTypePolicy", "config": {"name": name}}:
            return name
        case {"class_name": "function", "config": name}:
            return name
    kind, config = value["class_name"], value["config"]
    found = getattr(keras().layers, kind, None)
    return {"class_name": kind, "config": _plain(config) if found is None else _config(found, config)}


def _copy_weights(network: Any, twin: tf_keras.Model) -> None:
    for layer in network.layers:
        other = twin.get_layer(layer.name) if layer.weights else None
        if other is None:
            continue
        if type(layer).__name__ in _NETWORKS:
            _copy_weights(layer, other)
            continue
        try:
            other.set_weights(layer.get_weights())
        except ValueError as error:
            reason = first_line(error)
            raise ObjectiveError(
                f"tf_keras keeps other weights in its layer {layer.name}: {reason}"
            ) from None
