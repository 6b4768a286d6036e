"""The configuration of a model that is not made."""

from __future__ import annotations

import json
from typing import Any

from slim2keras.graphs.graph import Layer, LayerGraph
from slim2keras.models.building import make_layer
from slim2keras.models.precision import wide_layers


def model_config(graph: LayerGraph, name: str) -> dict[str, Any]:
    """What tf_keras writes into the ``config.json`` of ``model_of(graph, name)``; no model is made.

    The graph must be plain. A layer knows its configuration before it is called, but for the shape it is built with.

    Source: tf_keras/src/engine/functional.py, ``get_network_config``.
    """
    wide = wide_layers(graph)
    images = graph.input_layers[0]
    known: dict[str, dict[str, Any]] = {}
    layers = [_layer_config(layer, "float32" if layer.name in wide else None, known) for layer in graph.model_layers()]
    config = {
        "name": name,
        "trainable": True,
        "layers": layers,
        "input_layers": [[images.name, 0, 0]],
        "output_layers": [[output.layer_name, 0, 0] for output in graph.outputs],
    }
    return {
        "module": "tf_keras.src.engine.functional",
        "class_name": "Functional",
        "config": config,
        "registered_name": "Functional",
        "build_config": {"input_shape": (None, *images.config["input_shape"])},
    }


def _layer_config(layer: Layer, dtype: str | None, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Entry of a layer, made from that of an equal one of another name where it is known."""
    import tf_keras

    key = json.dumps([layer.kind, layer.config, dtype])
    if key not in known:
        known[key] = tf_keras.saving.serialize_keras_object(make_layer(layer, dtype))
    entry = {**known[key], "config": {**known[key]["config"], "name": layer.name}}
    if layer.inputs:
        shapes = [(None, *tensor.shape) for tensor in layer.inputs]
        if layer.kind == "BatchNormalization":
            axis, rank = layer.config.get("axis", -1), len(shapes[0])
            entry["config"]["axis"] = [item % rank for item in ([axis] if isinstance(axis, int) else axis)]
        entry["build_config"] = {"input_shape": shapes[0] if len(shapes) == 1 else shapes}
    nodes = [[[tensor.layer_name, 0, 0, {}] for tensor in layer.inputs]] if layer.inputs else []
    return {**entry, "name": layer.name, "inbound_nodes": nodes}
