"""Models whose BatchNorm is in the weights of other layers, for inference."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import NonFiniteError, UnsupportedArgumentError
from slim2keras.files.reports import plural
from slim2keras.graphs.folding import Fold, Folding, fold_graph, folded_network
from slim2keras.graphs.network import Network
from slim2keras.models.building import build_model
from slim2keras.models.networks import check_tf_keras, network_of
from slim2keras.models.precision import in_float32, precision_of
from slim2keras.models.variables import all_layers, assign_stored, keras_leaves, slim_variables

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray

_LEAST_OF_CUDNN = 1.001e-5
"""The least epsilon of a cuDNN of old, which some TensorFlows heed on every device."""


@dataclass(frozen=True, eq=False)
class FoldedModel:
    """A folded model, and what became of which BatchNorm layer."""

    model: tf_keras.Model
    folding: Folding


def fold_batch_norm(model: tf_keras.Model) -> tf_keras.Model:
    """A model for inference whose BatchNorm is in the weights of the layers before it, computed in float64.

    What cannot be folded stays: BatchNorm that follows an activation, a sum or a pool, as in ResNet v2; that of a layer
    whose output goes elsewhere too. Layers keep their slim names; those that take up a BatchNorm have biases. Penalties
    on weights, and end points between a layer and its BatchNorm, are gone.

    Args:
        model: Of ``build``, ``convert``, ``finetune`` or ``load_model``; it stays as it is.

    Returns:
        Another model, of the same inputs and outputs, in float32.

    Raises:
        UnsupportedArgumentError: If there is no BatchNorm that can be folded, or the model is none of tf_keras.
        NonFiniteError: If a variance is negative, or weights are no numbers.
        UnrecognisedNetError: If it is not a network of slim2keras.

    Examples:
        >>> model = slim2keras.convert("train_dir/")
        >>> slim2keras.fold_batch_norm(model).save("folded.keras")
    """
    return folded(model).model


def folded(model: tf_keras.Model) -> FoldedModel:
    """As ``fold_batch_norm``, with what became of which BatchNorm layer."""
    check_tf_keras(model, "Fold first: slim2keras.to_keras3 takes the folded model.")
    network = network_of(model)
    folding = plan_folding(network)
    values = _folded_values(model, folding)
    made = build_model(folded_network(network, folding))
    for name, variable in slim_variables(made).items():
        assign_stored(variable, values[name])
    if hasattr(model, "slim_load_options"):
        made.slim_load_options = model.slim_load_options
    return FoldedModel(made if precision_of(made) == "float32" else in_float32(made), folding)


def plan_folding(network: Network) -> Folding:
    """What ``fold_batch_norm`` would make of a network.

    Raises:
        UnsupportedArgumentError: If there is no BatchNorm that can be folded.
    """
    folding = fold_graph(network.graph)
    if network.is_folded or not folding.folds:
        raise UnsupportedArgumentError(_nothing_to_fold(network, folding))
    return folding


def refuse_folded(network: Network | None, what: str, path: str | Path | None = None) -> None:
    """Refuse a folded network where BatchNorm is needed.

    Args:
        what: That cannot be done, for the message: ``"trained"``.
        path: Of the file that it was read from, if any.

    Raises:
        UnsupportedArgumentError: If it is folded.
    """
    if network is not None and network.is_folded:
        raise UnsupportedArgumentError(
            f"{path or network.name} is folded: its BatchNorm lies in the weights of other layers, for inference only, "
            f"so it cannot be {what}. Take the model, or the checkpoint, that it was folded from."
        )


def _nothing_to_fold(network: Network, folding: Folding) -> str:
    if network.is_folded:
        return f"{network.name} is folded already: leave fold_batch_norm (--fold-batch-norm) out."
    if not folding.kept:
        return f"{network.name} has no BatchNorm that could be folded: leave fold_batch_norm (--fold-batch-norm) out."
    name, reason = next(iter(folding.kept.items()))
    return (
        f"None of the {len(folding.kept)} BatchNorm layers of {network.name} can be folded; {name}: {reason}. Leave "
        "fold_batch_norm (--fold-batch-norm) out."
    )


def _folded_values(model: tf_keras.Model, folding: Folding) -> dict[str, NDArray[np.float32]]:
    """Values of the folded model's variables, by slim name."""
    layers = {layer.name: layer for layer in all_layers(model)}
    values = {name: variable.numpy() for name, variable in slim_variables(model).items()}
    broken = []
    for fold in folding.folds:
        found = _folded(layers[fold.layer], layers[fold.batch_norm], fold)
        if not all(np.isfinite(value).all() for value in found.values()):
            broken.append(fold.batch_norm)
        graph_layer = folding.graph.layers[fold.layer]
        values |= {graph_layer.variable_name(leaf): value for leaf, value in found.items()}
    if broken:
        raise NonFiniteError(
            f"{plural(len(broken), 'BatchNorm layer')} cannot be folded, first {broken[0]}: the variance is negative, "
            "or statistics or weights are NaN or infinite. `slim2keras doctor` says which."
        )
    return values


def _folded(layer: Any, batch_norm: Any, fold: Fold) -> dict[str, NDArray[np.float32]]:
    """Weights and biases of a layer that does what it and its BatchNorm did, by Keras' leaf names."""
    scale, shift = _scale_and_shift(batch_norm)
    kernel = _wide(keras_leaves(layer)[fold.kernel])
    along = [size if axis - kernel.ndim in fold.axes else 1 for axis, size in enumerate(kernel.shape)]
    bias = _wide(layer.bias) if layer.use_bias else 0.0
    with np.errstate(over="ignore"):
        return {
            fold.kernel: (kernel * scale.reshape(along)).astype("float32"),
            "bias": (bias * scale + shift).astype("float32"),
        }


def _scale_and_shift(batch_norm: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a BatchNorm layer multiplies each channel with at inference, and adds."""
    epsilon = max(batch_norm.epsilon, least_fused_epsilon()) if batch_norm.fused else batch_norm.epsilon
    gamma = 1.0 if batch_norm.gamma is None else _wide(batch_norm.gamma)
    beta = 0.0 if batch_norm.beta is None else _wide(batch_norm.beta)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = gamma / np.sqrt(_wide(batch_norm.moving_variance) + epsilon)
    return scale, beta - _wide(batch_norm.moving_mean) * scale


@functools.cache
def least_fused_epsilon() -> float:
    """What the fused kernel adds to a variance at least, in the TensorFlow that is installed: told by trying it.

    Source: tensorflow/python/ops/nn_impl.py, ``fused_batch_norm``, which raises epsilon in some versions.
    """
    import tensorflow as tf

    asked, of_zero = 1e-7, {"mean": [0.0], "variance": [0.0]}
    normalise = functools.partial(tf.compat.v1.nn.fused_batch_norm, **of_zero, epsilon=asked, is_training=False)
    one, *_ = normalise(tf.ones((1, 1, 1, 1)), [1.0], [0.0])
    added = float(one[0, 0, 0, 0]) ** -2
    return _LEAST_OF_CUDNN if added > 2 * asked else 0.0


def _wide(variable: Any) -> NDArray[np.float64]:
    return np.asarray(variable.numpy(), "float64")
