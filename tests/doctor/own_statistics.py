"""A network of somebody's own in health, to be made sick."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import slim2keras
from slim2keras.doctor.findings import Diagnosis, Finding
from tests.reference import write_checkpoint

LAYERS = ("net/conv1/BatchNorm", "net/conv2/BatchNorm", "net/conv3/BatchNorm")
CHANNELS = 8
Values = dict[str, Any]


def values(seed: int = 0, *, step: int | None = 100_000) -> Values:
    """A network of somebody's own, in health."""
    random = np.random.RandomState(seed)
    found: Values = {} if step is None else {"global_step": np.int64(step)}
    for layer in LAYERS:
        found[f"{layer}/gamma"] = random.uniform(0.5, 1.5, CHANNELS).astype("float32")
        found[f"{layer}/beta"] = random.normal(0.0, 0.1, CHANNELS).astype("float32")
        found[f"{layer}/moving_mean"] = random.normal(0.0, 1.0, CHANNELS).astype("float32")
        found[f"{layer}/moving_variance"] = random.uniform(0.5, 2.0, CHANNELS).astype("float32")
        found[layer.replace("BatchNorm", "weights")] = random.normal(0.0, 0.1, (3, 3, 4, CHANNELS)).astype("float32")
    return found


def diagnose(tmp_path: Path, changes: Mapping[str, Any] | None = None, **options: Any) -> Diagnosis:
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", {**values(), **(changes or {})})
    return slim2keras.diagnose(checkpoint, **{"decay": 0.99, **options})


def findings(diagnosis: Diagnosis) -> dict[str, tuple[Finding, ...]]:
    return {layer.name: layer.findings for layer in diagnosis.layers if layer.findings}


def statistics(mean: Any, variance: Any, layer: str = LAYERS[1]) -> Values:
    full = {"moving_mean": mean, "moving_variance": variance}
    return {
        f"{layer}/{name}": np.broadcast_to(value, CHANNELS).astype("float32").copy() for name, value in full.items()
    }
