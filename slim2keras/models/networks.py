"""Which network a model is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slim2keras.errors import Slim2KerasError
from slim2keras.graphs.network import Network
from slim2keras.models.variables import slim_variables
from slim2keras.recognition.from_layers import recover_spec

if TYPE_CHECKING:
    import tf_keras


def network_of(model: tf_keras.Model) -> Network:
    """The network of a model: what it was built from, or told from its layers when it comes from a plain file.

    Raises:
        UnrecognisedNetError: If it is not a network of slim2keras.
    """
    network: Network | None = getattr(model, "slim_network", None)
    if network is None:
        shapes = {name: tuple(variable.shape) for name, variable in slim_variables(model).items()}
        network = model.slim_network = recover_spec(shapes, _layer_configs(model), tuple(model.input_shape[1:]))
    return network


def knows_network(model: tf_keras.Model) -> bool:
    """Whether a model comes with its network, so that it need not be told from the layers."""
    return getattr(model, "slim_network", None) is not None


def find_network(model: tf_keras.Model) -> Network | None:
    """The network of slim2keras that a model is, ``None`` if it is somebody's own."""
    if hasattr(model, "slim_network"):
        return model.slim_network  # type: ignore[no-any-return]
    if len(getattr(model, "inputs", None) or ()) != 1:
        return None
    try:
        return network_of(model)
    except Slim2KerasError:
        return None


def is_network(model: tf_keras.Model, network: Network) -> bool:
    """Whether a model has the layers of a network, by name and class, and its variables."""
    used = network.graph.layers_to(network.graph.outputs)
    kinds = {name: layer.kind for name, layer in network.graph.layers.items() if name in used}
    shapes = {name: tuple(variable.shape) for name, variable in slim_variables(model).items()}
    return kinds == {layer.name: type(layer).__name__ for layer in model.layers} and shapes == {
        variable.name: variable.shape for variable in network.graph.variables()
    }


def _layer_configs(model: tf_keras.Model) -> dict[str, dict[str, Any]]:
    """Configuration, class (``kind``) and input layers (``inputs``) of every layer of a functional model, by name."""
    configs = {}
    for layer in model.get_config()["layers"]:
        inputs = [name for node in layer.get("inbound_nodes", ())[:1] for name, *_ in node]
        kind = layer["class_name"].rpartition(">")[2]
        configs[layer["config"]["name"]] = {**layer["config"], "kind": kind, "inputs": inputs}
    return configs
