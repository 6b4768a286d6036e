"""Small models with values that are never trivial, for all that is written of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slim2keras
from tests.reference import assign_values, values_of

NAMES = ("daisy", "rose", "tulip", "Löwenzahn", "sunflower")


def valued(model: Any) -> Any:
    """The model, with values whose logits are neither zero nor large."""
    assign_values(model, values_of(model.slim_network.graph.variables()))
    return model


def small_model(net: str = "mobilenet_v1_025", shape: tuple[int | None, ...] = (64, 64, 3), **arguments: Any) -> Any:
    return valued(slim2keras.build(net, input_shape=shape, **{"num_classes": len(NAMES), **arguments}))


def write_labels(path: Path) -> Path:
    path.write_text("".join(f"{number}:{name}\n" for number, name in enumerate(NAMES)), encoding="utf-8")
    return path
