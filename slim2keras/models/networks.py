"""Which network a model is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slim2keras.errors import Slim2KerasError, UnsupportedArgumentError
from slim2keras.graphs.network import Network
from slim2keras.models.variables import (
    all_layers,
    keep_stored_variables,
    odd_variables,
    slim_variables,
    variables_as_in,
)
from slim2keras.recognition.from_layers import is_network, recover_network

if TYPE_CHECKING:
    import tf_keras


def network_of(model: tf_keras.Model) -> Network:
    """The network of a model: what it was built from, or told from its layers when it comes from a plain file.

    Raises:
        UnrecognisedNetError: If it is not a network of slim2keras.

    Examples:
        >>> from slim2keras.models.networks import network_of
        >>> network = network_of(slim2keras.build("mobilenet_v1_025"))
        >>> network.name, network.usual_shape, network.preprocessing, network.labels_offset
        ('mobilenet_v1_025', (224, 224, 3), 'inception', 0)
    """
    network: Network | None = getattr(model, "slim_network", None)
    if network is None:
        shapes = {name: tuple(variable.shape) for name, variable in slim_variables(model).items()}
        shape = tuple(model.input_shape[1:]) if len(model.inputs) == 1 else ()
        network = model.slim_network = recover_network(shapes, _layer_configs(model), shape)
    return network


def check_tf_keras(model: Any, advice: str) -> None:
    """Refuse what is no model of tf_keras where one is needed: a model of Keras 3 knows its network too.

    Args:
        advice: What is to be done with one of Keras 3.

    Raises:
        UnsupportedArgumentError: With the advice.
    """
    import tf_keras

    if not isinstance(model, tf_keras.Model):
        package = type(model).__module__.partition(".")[0]
        raise UnsupportedArgumentError(
            f"A model of tf_keras is wanted. Received: {type(model).__name__} of {package}. {advice}"
        )


def knows_network(model: tf_keras.Model) -> bool:
    """Whether a model comes with its network, so that it need not be told from the layers."""
    return getattr(model, "slim_network", None) is not None


def find_network(model: tf_keras.Model) -> Network | None:
    """The network of slim2keras that a model is, ``None`` if it is somebody's own; from its layers one of tf_keras."""
    import tf_keras

    if hasattr(model, "slim_network"):
        return model.slim_network  # type: ignore[no-any-return]
    if not isinstance(model, tf_keras.Model) or len(getattr(model, "inputs", None) or ()) != 1:
        return None
    try:
        return network_of(model)
    except Slim2KerasError:
        return None


def with_its_decay(model: tf_keras.Model, network: Network) -> Network:
    """A network with the decay of a model's BatchNorm layers, if they have one and the same."""
    decays = {float(layer.momentum) for layer in all_layers(model) if hasattr(layer, "momentum")}
    return network.with_decay(decays.pop()) if len(decays) == 1 and decays != {*network.decays.values()} else network


def keep_network(model: tf_keras.Model, network: Network) -> None:
    """Have a model that was loaded know its network, unless it is of another."""
    layers = {layer: network.graph.layers.get(layer.name) for layer in all_layers(model)}
    theirs = [variables_as_in(layer, known) for layer, known in layers.items() if known is not None]
    shapes = {item.name: item.shape for found in theirs for item in found.values()}
    if None in layers.values() or not is_network(network.graph, shapes, _layer_configs(model)):
        return
    for layer, known in layers.items():
        if known is not None and (odd := odd_variables(layer, known)):
            keep_stored_variables(layer, odd)
    model.slim_network = with_its_decay(model, network)


def _layer_configs(model: tf_keras.Model) -> dict[str, dict[str, Any]]:
    """Configuration, class (``kind``) and inputs (of each of its ``calls``) of a functional model's layers, by name."""
    configs = {}
    for layer in model.get_config()["layers"]:
        calls = [[(name, call) for name, call, *_ in node] for node in layer.get("inbound_nodes", ())]
        kind = layer["class_name"].rpartition(">")[2]
        configs[layer["config"]["name"]] = {**layer["config"], "kind": kind, "calls": calls}
    return configs
