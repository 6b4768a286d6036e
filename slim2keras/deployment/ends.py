"""What the inputs and outputs of a network are called where a file names them."""

from __future__ import annotations

from collections import Counter

from slim2keras.graphs.network import Network

IMAGES = "images"
"""The input of every file."""
LOGITS, PROBABILITIES, FEATURES = "logits", "probabilities", "features"

_AXES = {3: ("height", "width"), 4: ("frames", "height", "width")}
"""Axes between batch and channels, by the rank of an image, or of a video."""


def output_names(network: Network) -> tuple[str, ...]:
    """Names of a network's outputs, in order: what the first one is, and the last scopes of others (``AuxLogits``).

    Where two would have the same name, they are called by their whole scopes.
    """
    others = [output.layer_name for output in network.graph.outputs[1:]]
    wholes = [_first_output(network), *others]
    names = [name.rpartition("/")[2] for name in wholes]
    counts = Counter(names)
    return tuple(name if counts[name] == 1 else whole for name, whole in zip(names, wholes, strict=True))


def _first_output(network: Network) -> str:
    if not network.num_classes:
        return FEATURES
    return LOGITS if network.gives_logits else PROBABILITIES


def axis_names(network: Network) -> tuple[str, ...]:
    """Names of the axes of the input, as far as they may be open."""
    return ("batch", *_AXES.get(len(network.input_shape), ()))
