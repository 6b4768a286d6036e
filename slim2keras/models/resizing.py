"""The same network for images of another size."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.models.building import build_model
from slim2keras.models.folding import refuse_folded
from slim2keras.models.networks import network_of
from slim2keras.models.variables import slim_variables
from slim2keras.nets.spec import NetSpec

if TYPE_CHECKING:
    import tf_keras


def resized_model(model: tf_keras.Model, size: tuple[int, int]) -> tf_keras.Model:
    """The network of a model for images of another height and width, with the same values.

    Raises:
        UnsupportedArgumentError: If it is none of slim's zoo, or has variables whose shapes go by the size.
    """
    network = network_of(model)
    if network.input_shape[-3:-1] == size:
        return model
    refuse_folded(network, "given another size")
    if not isinstance(network, NetSpec):
        raise UnsupportedArgumentError(
            f"{network.name} takes images of {network.input_shape}, as its graph says; another size is for networks of "
            "slim's zoo. Import it with that size: convert CHECKPOINT --input-shape H,W,C."
        )
    resized = build_model(replace(network, input_shape=(*network.input_shape[:-3], *size, network.input_shape[-1])))
    ours, theirs = slim_variables(resized), slim_variables(model)
    if {name: item.shape for name, item in ours.items()} != {name: item.shape for name, item in theirs.items()}:
        raise UnsupportedArgumentError(
            f"{network.name} of images of {network.input_shape} has other variables than with {size[0]} x {size[1]} "
            "pixels, so it cannot be used at that size."
        )
    for name, variable in ours.items():
        variable.assign(theirs[name])
    return resized
