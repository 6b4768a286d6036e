"""Whether the layers of a configuration feed each other in an order: tf_keras looks for one of a circle for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def check_connections(config: Any) -> None:
    """Refuse functional models, at any depth, with layers that wait for each other.

    Raises:
        ValueError: With the first layer that gets no input.

    Source: ``reconstruct_from_config`` in tf_keras/src/engine/functional.py.
    """
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            _check_layers(item.get("layers"))
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _check_layers(layers: Any) -> None:
    if not isinstance(layers, list):
        return
    if not all(isinstance(layer, Mapping) and isinstance(layer.get("inbound_nodes"), list) for layer in layers):
        return
    calls = {str(layer.get("name")): list(layer["inbound_nodes"]) for layer in layers}
    # A model has a call of its own, from when it was made, and so have layers without any here.
    models = {str(layer.get("name")) for layer in layers if _is_model(layer)}
    made = Counter(name for name, its_calls in calls.items() if not its_calls or name in models)
    before, left = -1, sum(map(len, calls.values()))
    while left != before:
        for name, its_calls in calls.items():
            while its_calls and all(index < made[of] for of, index in _inputs(its_calls[0], calls)):
                its_calls.pop(0)
                made[name] += 1
        before, left = left, sum(map(len, calls.values()))
    if left:
        first = next(name for name, its_calls in calls.items() if its_calls)
        raise ValueError(f"its layer {first} waits for an output that there will not be")


def _is_model(layer: Mapping[str, Any]) -> bool:
    return isinstance(layer.get("config"), Mapping) and "layers" in layer["config"]


def _inputs(call: Any, names: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Layers that a call takes outputs of, each with the number of the layer's own call."""
    waiting = [call]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            waiting.extend(item.values())
        elif isinstance(item, Sequence) and not isinstance(item, str):
            if len(item) >= 3 and isinstance(item[0], str) and item[0] in names and isinstance(item[1], (int, float)):
                yield item[0], item[1]
            waiting.extend(item)
