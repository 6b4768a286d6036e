"""Which models tell classes, and by what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.models.networks import find_network

if TYPE_CHECKING:
    import tf_keras


def check_classifier(model: tf_keras.Model) -> bool:
    """Refuse a model that tells no classes of images that exclude each other.

    Returns:
        Whether it gives probabilities, and not logits.

    Raises:
        UnsupportedArgumentError: If it has several inputs or outputs, or gives features, a map, one number, or
            probabilities that do not exclude each other.
    """
    fault = _fault_of_ends(model) or _fault_of_classes(model)
    activation = None if fault else _final_activation(model)
    if activation == "sigmoid":
        fault = "gives a probability for each class by itself (sigmoid), so an image may have several or none"
    if fault:
        raise UnsupportedArgumentError(
            f"{model.name} {fault}. What is evaluated is one class an image: a model from images, (batch, height, "
            "width, channels), to logits or a softmax of two classes or more, (batch, classes)."
        )
    return activation is not None


def _fault_of_ends(model: tf_keras.Model) -> str | None:
    inputs = len(getattr(model, "inputs", None) or ())
    if inputs != 1:
        return f"has {inputs} inputs"
    others = [name for name in model.output_names[1:] if name.rpartition("/")[2] != "AuxLogits"]
    return f"has more outputs than logits and auxiliary ones: {', '.join(others)}" if others else None


def _fault_of_classes(model: tf_keras.Model) -> str | None:
    network, shape = find_network(model), model.outputs[0].shape
    if network is not None and not network.num_classes:
        return "ends in its features, without classes"
    if shape[1:-1].num_elements() not in (None, 1):
        return f"gives a map, {tuple(shape)}, a class for each pixel"
    return "gives one number an image" if shape[-1] == 1 else None


def _final_activation(model: tf_keras.Model) -> str | None:
    """``softmax`` or ``sigmoid`` where the model gives probabilities."""
    network = find_network(model)
    if network is not None:
        return network.final_activation
    layer = model.get_layer(model.get_config()["output_layers"][0][0])
    activation = getattr(getattr(layer, "activation", None), "__name__", type(layer).__name__.lower())
    return activation if activation in ("softmax", "sigmoid") else None
