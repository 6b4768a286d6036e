"""BatchNorm in training: the three modes and their truth table.

| slim | normalises with | moving statistics | mode |
|---|---|---|---|
| ``is_training=True``, update ops run | batch | move by ``1 - decay`` | ``"update"`` |
| ``is_training=True``, update ops not run (pit one), or ``trainable=False`` | batch | stay | ``"batch"`` |
| ``is_training=False`` | moving | stay | ``"frozen"`` |

Whether gamma and beta learn is none of the three's business. In stock Keras it is: ``layer.trainable = False`` freezes
them and switches to the moving statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.models.variables import all_layers
from slim2keras.scopes import first_matches

if TYPE_CHECKING:
    import tf_keras
    from numpy.typing import NDArray


class BatchNormMode(Enum):
    """What a BatchNorm layer does in training; the module's docstring has the truth table."""

    UPDATE = "update"
    BATCH = "batch"
    FROZEN = "frozen"


ModeArgument = str | Mapping[str, str]
"""One mode for all layers, or pattern to mode, where the first match wins."""


def batch_norm_layers(model: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """BatchNorm layers of a model, in its order, those of models within it too."""
    import tf_keras

    # The class of SyncBatchNormalization and of TensorFlow 1's layer derive from it, and are refused by name.
    base = tf_keras.layers.BatchNormalization.__bases__[0]
    return [layer for layer in all_layers(model) if isinstance(layer, base)]


def moving_statistics(layer: tf_keras.layers.Layer) -> tuple[NDArray[Any], NDArray[Any]]:
    """Moving mean and variance of a layer, (channels,) each."""
    return layer.moving_mean.numpy(), layer.moving_variance.numpy()


def plan_modes(layers: Sequence[tf_keras.layers.Layer], batch_norm: ModeArgument | None) -> dict[str, BatchNormMode]:
    """Choose the mode of every layer.

    Returns:
        Layer name to mode.

    Raises:
        UnsupportedArgumentError: If a mode is unknown, a pattern matches no layer or a layer no pattern, if a layer is
            none that can be given a mode, or if its ``trainable`` flag contradicts its mode.
    """
    modes = match_modes([layer.name for layer in layers], batch_norm)
    for layer in layers:
        check_layer(layer, modes[layer.name])
    return modes


def check_mode(mode: Any, argument: str = "mode", where: str = "") -> None:
    """Refuse what is no mode, and say what the three are.

    Args:
        argument: What the user calls it.
        where: End of the message's first half.

    Raises:
        UnsupportedArgumentError: If it is none.
    """
    known = [mode.value for mode in BatchNormMode]
    if mode not in known:
        raise UnsupportedArgumentError(
            f"{argument} must be one of {', '.join(known)}{where}. Received: {mode!r}. update: batch statistics, "
            "moving ones follow; batch: batch statistics, moving ones stay; frozen: moving statistics."
        )


def match_modes(names: Sequence[str], batch_norm: ModeArgument | None) -> dict[str, BatchNormMode]:
    """Choose the mode of every layer by the name that it has in slim.

    Returns:
        Name to mode.

    Raises:
        UnsupportedArgumentError: If a mode is unknown, or not said, a pattern matches no layer or a layer no pattern.
    """
    patterns = batch_norm if isinstance(batch_norm, Mapping) else {".*": batch_norm}
    for pattern, mode in patterns.items():
        check_mode(mode, "batch_norm", f" for {pattern!r}" if isinstance(batch_norm, Mapping) else "")
    if not names and not isinstance(batch_norm, Mapping):
        return {}
    matches = first_matches(patterns, names, "batch_norm")
    unmatched = [name for name in names if name not in matches]
    if unmatched:
        raise UnsupportedArgumentError(
            f"batch_norm says nothing of {len(unmatched)} of {len(names)} BatchNorm layers, first {unmatched[0]!r}. "
            'Add a last pattern for the rest, such as ".*": "update".'
        )
    return {name: BatchNormMode(patterns[pattern]) for name, pattern in matches.items()}


def check_layer(layer: tf_keras.layers.Layer, mode: BatchNormMode) -> None:
    """Refuse a layer that cannot be in a mode.

    Raises:
        UnsupportedArgumentError: If it is not a stock layer over the last axis, or if ``layer.trainable`` is false,
            which in Keras means the moving statistics, and the mode is another.
    """
    import tf_keras

    rank = layer.input_spec.ndim
    stock = type(layer) is tf_keras.layers.BatchNormalization and not getattr(layer, "synchronized", False)
    if not stock or list(layer.axis) != [rank - 1]:
        raise UnsupportedArgumentError(
            f"{layer.name!r} is a {type(layer).__name__} over axis {list(layer.axis)} of rank {rank}; only a stock, "
            "unsynchronized BatchNormalization over the last axis can be given a mode."
        )
    check_flag(layer, mode)


def check_flag(layer: Any, mode: BatchNormMode) -> None:
    """Refuse a layer, of tf_keras or of Keras 3, that is not trainable and is to have another mode than ``"frozen"``.

    Raises:
        UnsupportedArgumentError: With what to do instead.
    """
    if not layer.trainable and mode is not BatchNormMode.FROZEN:
        raise UnsupportedArgumentError(
            f"{layer.name!r} has trainable = False, which in Keras means moving statistics and a fixed gamma and beta, "
            f"but batch_norm says {mode.value!r}. Say 'frozen' of it, or set trainable = True and keep gamma and beta "
            "fixed with exclude_from_training."
        )
