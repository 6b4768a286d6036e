"""The README's table of networks: each against slim itself and against TensorFlow 1.15, in Markdown.

Weights are those of the golden recipe, images three of noise at the sizes of the parity tests. The environment variable
SLIM_SOURCE names a checkout of research/slim; without it only the networks of ``tf_slim`` are judged live.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gc
import json
import sys
from pathlib import Path

import numpy as np

from slim2keras.models.building import build_model
from slim2keras.nets import list_nets
from slim2keras.nets.spec import NetSpec
from slim2keras.parity.comparing import compare_with_slim
from tests.parity.cases import JUDGED, SHAPES, SLIM_SOURCE
from tests.reference import assign_values, images, values_of

RUNGS = ("inference", "training", "moving statistics")
GOLDEN = Path(__file__).parents[1] / "tests" / "golden"


def live_differences(net: str) -> dict[str, float]:
    spec = NetSpec.make(net, SHAPES[net], {"num_classes": 5})
    values = values_of(spec.trace().variables())
    model = build_model(spec)
    assign_values(model, values)
    report = compare_with_slim(spec, model, values, images(3, (3, *spec.input_shape)), slim_source=SLIM_SOURCE)
    return {rung: comparison.difference for rung, comparison in report.worst_by_rung().items()}


def golden_difference(net: str) -> float:
    arrays = np.load(GOLDEN / f"{net}.npz")
    meta = json.loads(str(arrays["meta"]))
    config = meta["config"][-1] if "config" in meta else {}
    spec = NetSpec.make(net, tuple(meta["input"][1:]), {"num_classes": meta["num_classes"], **config})
    model = build_model(spec)
    assign_values(model, values_of(spec.trace().variables()))
    logits = model(images(meta["seed"], tuple(meta["input"])), training=False)
    logits = (logits[0] if isinstance(logits, list) else logits).numpy()
    return float(np.max(np.abs(logits - arrays["logits"])) / np.max(np.abs(arrays["logits"])))


def cell(difference: float | None) -> str:
    if difference is None:
        return "-"
    return "0" if difference == 0 else f"{difference:.0e}"


def main() -> int:
    print("| net | end points, inference | end points, training | moving statistics | logits, TensorFlow 1.15 |")
    print("|---|---|---|---|---|")
    for net in list_nets():
        live = live_differences(net) if net in JUDGED else {}
        columns = [*(live.get(rung) for rung in RUNGS), golden_difference(net)]
        print(f"| `{net}` | {' | '.join(map(cell, columns))} |", flush=True)
        gc.collect()
    return 0


if __name__ == "__main__":
    sys.exit(main())
