"""Layers of a configuration that wait for each other, or for an output that there will not be, are not waited for.

tf_keras calls each layer as soon as there are the outputs that it takes, and looks for such a layer again and again: in
a damaged file for ever. How many outputs a layer has is known only when it was called, so that it is watched, and not
foretold from the configuration.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slim2keras.models.overrides import process_overrides
from slim2keras.slim.runtime import functional_module


@contextlib.contextmanager
def connections_end() -> Iterator[None]:
    """Within it functional models, at any depth, are made of their configurations or refused, in every format.

    Raises:
        ValueError: With the first layer that gets no input.

    Source: ``reconstruct_from_config`` in tf_keras/src/engine/functional.py.
    """
    module = functional_module()

    def reconstruct(config: Any, custom_objects: Any = None, created_layers: Any = None) -> Any:
        made = _Made(created_layers or {})
        if isinstance(config["layers"], list | tuple):
            config = {**config, "layers": _Layers(config["layers"], made)}
        return reconstruct_from_config(config, custom_objects, made)

    with process_overrides() as overrides:
        reconstruct_from_config = module.reconstruct_from_config
        overrides.set(module, "reconstruct_from_config", reconstruct)
        yield


class _Made(dict[str, Any]):
    """Layers by name; tf_keras would take another dictionary in the place of one that is false."""

    def __bool__(self) -> bool:
        return True


class _Layers(list[Any]):
    """Layers of a configuration; whoever goes through them makes them at first, and then, each time, calls some.

    A time without a call is refused, since all that follow would be the same.
    """

    def __init__(self, layers: Sequence[Any], made: Mapping[str, Any]) -> None:
        super().__init__(layers)
        self._made = made
        self._times = 0
        self._calls: dict[str, int] = {}
        self._calls_at_first: dict[str, int] = {}

    def __iter__(self) -> Iterator[Any]:
        before = self._calls
        self._calls = {name: len(getattr(layer, "inbound_nodes", ())) for name, layer in self._made.items()}
        self._times += 1
        if self._times == 2:
            self._calls_at_first = self._calls
        elif self._times > 2 and self._calls == before:
            raise ValueError(f"{self._waiting()} waits for an output that there will not be")
        return super().__iter__()

    def _waiting(self) -> str:
        """The first layer with fewer calls than it is to have."""
        wanted = Counter[str]()
        for layer in super().__iter__():
            wanted[layer["name"]] += len(layer["inbound_nodes"])
        waiting = [name for name in wanted if self._calls[name] - self._calls_at_first[name] < wanted[name]]
        # One of two names of a shared layer is not told from the other.
        return f"its layer {waiting[0]}" if waiting else "one of its layers"
