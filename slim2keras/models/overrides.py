"""What is set for a while and then put back as it was found."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from slim2keras.models.variables import all_layers

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras

_OF_PROCESS = threading.RLock()


class Overrides(contextlib.ExitStack):
    """Within it attributes and values are others; at its end everything is as it was found, the last set first.

    Whatever fails, the block itself or one of the steps back, all other steps back are taken. ``pop_all`` lets stand
    what was set.

    Examples:
        >>> from slim2keras.models.overrides import Overrides
        >>> layer = tf_keras.layers.Dropout(0.5)
        >>> with Overrides() as overrides:
        ...     overrides.set(layer, "rate", 0.0)
        >>> layer.rate
        0.5
    """

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute; one that only the class of ``owner`` has, or none has, is deleted at the end."""
        if inspect.isdatadescriptor(inspect.getattr_static(type(owner), name, None)):
            self.callback(setattr, owner, name, getattr(owner, name))
        elif name in vars(owner):
            # Not by getattr: of a class method it gives one that is bound.
            self.callback(setattr, owner, name, vars(owner)[name])
        else:
            self.callback(_delete, owner, name)
        setattr(owner, name, value)

    def keep(self, variables: Iterable[tf.Variable]) -> None:
        """Give variables at the end the values that they have now, whatever the block assigns to them."""
        for variable in variables:
            self.callback(variable.assign, variable.numpy())


def _delete(owner: Any, name: str) -> None:
    # Where setting it failed there is nothing to delete.
    if name in vars(owner):
        delattr(owner, name)


@contextlib.contextmanager
def process_overrides() -> Iterator[Overrides]:
    """Overrides of what all threads share, by one of them at a time: two would put back what the other had set."""
    with _OF_PROCESS, Overrides() as overrides:
        yield overrides


@contextlib.contextmanager
def dropout_off(model: tf_keras.Model) -> Iterator[None]:
    """Within it nothing is dropped in training mode, neither values nor paths."""
    with Overrides() as overrides:
        for layer in all_layers(model):
            if hasattr(layer, "rate"):
                overrides.set(layer, "rate", 0.0)
        yield
