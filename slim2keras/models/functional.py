"""Functional models of any depth."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from slim2keras.models.overrides import process_overrides

if TYPE_CHECKING:
    import tf_keras

_DEEPEST = 10_000
"""Frames of Python; tf_keras and Keras 3 go back from the outputs by recursion, a layer a frame."""


def functional_model(inputs: Any, outputs: Any, name: str | None = None) -> tf_keras.Model:
    """``tf_keras.Model(inputs, outputs)``, also of networks of a thousand layers and more."""
    import tf_keras

    with deep_recursion():
        return tf_keras.Model(inputs, outputs, name=name)


@contextlib.contextmanager
def deep_recursion() -> Iterator[None]:
    """Within it a recursion may be as deep as networks are."""
    with process_overrides() as overrides:
        overrides.callback(sys.setrecursionlimit, sys.getrecursionlimit())
        sys.setrecursionlimit(max(_DEEPEST, sys.getrecursionlimit()))
        yield
