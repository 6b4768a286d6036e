"""Graphs that strangers published: the environment variable ``GRAPHS`` tells where their files are."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import slim2keras
from slim2keras.models.overrides import Overrides, dropout_off

BARS = {"values.npz": 1e-4, "values_training.npz": 1e-3}
"""Relative to the largest magnitude: the design's for values of another processor.

On this one TensorFlow's own session is 2e-5 off; what ``verify`` compares with is computed here.
"""

GRAPHS = Path(os.environ.get("GRAPHS", "no graphs given"))

pytestmark = pytest.mark.skipif(
    not GRAPHS.is_dir(), reason="GRAPHS names no folder of strangers' graphs, one folder each with values.npz"
)


@dataclass(frozen=True)
class GivenGraph:
    """A published graph.

    Attributes:
        file: Checkpoint or frozen graph, in the folder of the graph.
        shapes: Of the images in ``values.npz``, drawn one after the other from one generator.
        decay: Of its BatchNorms, where its graph trains.
    """

    file: str
    shapes: tuple[tuple[int, ...], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    decay: float | None = None
    placeholder_values: Mapping[str, float] = field(default_factory=dict)

    def images(self) -> Any:
        random = np.random.RandomState(0)
        found = [random.uniform(-1, 1, shape).astype("float32") for shape in self.shapes]
        return found if len(found) > 1 else found[0]


GIVEN = {
    "kws_purice_dscnn1": GivenGraph(
        "ds_cnn_9339.ckpt-20800", ((2, 490),), ("fingerprint_input",), ("DS-CNN/fc1/BiasAdd",), decay=0.96
    ),
    "mnv1_025_128": GivenGraph("retrained_graph.pb", ((1, 128, 128, 3),), ("input",), ("final_result",)),
    "posemobile_cpm": GivenGraph(
        "model.pb", ((1, 192, 192, 3),), ("image",), ("Convolutional_Pose_Machine/stage_5_out",)
    ),
    "dcscn": GivenGraph(
        "L7_Sc4_PS.ckpt",
        ((1, 16, 16, 1), (1, 64, 64, 1)),
        ("x", "x2"),
        ("add",),
        placeholder_values={"dropout_keep_rate": 1.0},
    ),
    "siamese_v2": GivenGraph("model.ckpt", ((2, 28, 28, 1),), ("left",), ("model/Flatten/flatten/Reshape",)),
}


@pytest.fixture(scope="module", name="imported")
def _imported() -> Callable[[str], Any]:
    """The model of a given graph, by the first test that asks; not to be changed."""

    @functools.cache
    def make(name: str) -> Any:
        given = GIVEN[name]
        path = GRAPHS / name / given.file
        meta = path.with_name(f"{path.name}.meta")
        return slim2keras.convert(
            path,
            graph=meta if meta.exists() else None,
            input_tensors=list(given.inputs),
            output_tensors=list(given.outputs),
            placeholder_values=dict(given.placeholder_values),
        )

    return make


def difference(model: Any, given: GivenGraph, values: Path, *, training: bool) -> float:
    """Largest difference of an output, relative to its largest magnitude; the model is left as it was."""
    theirs = np.load(values)
    with Overrides() as overrides, dropout_off(model):
        overrides.keep(model.weights)
        ours = [output.numpy() for output in tf.nest.flatten(model(given.images(), training=training))]
    pairs = [(output, theirs[f"out_{index}"]) for index, output in enumerate(ours)]
    return max(float(np.max(np.abs(output - wanted)) / np.max(np.abs(wanted))) for output, wanted in pairs)


@pytest.mark.parametrize("name", GIVEN)
def test_its_values_are_computed(imported: Any, name: str) -> None:
    """As TensorFlow computed them of the graph."""
    assert difference(imported(name), GIVEN[name], GRAPHS / name / "values.npz", training=False) <= BARS["values.npz"]


@pytest.mark.parametrize("name", [name for name, given in GIVEN.items() if given.decay])
def test_it_trains_on_the_statistics_of_the_batch(imported: Any, name: str) -> None:
    """As its graph, which knows no other, and with its decay."""
    model, values = imported(name), GRAPHS / name / "values_training.npz"
    assert difference(model, GIVEN[name], values, training=True) <= BARS[values.name]
    decays = [layer.momentum for layer in model.layers if hasattr(layer, "momentum")]
    assert decays
    assert decays == pytest.approx([GIVEN[name].decay] * len(decays))


@pytest.mark.parametrize("name", GIVEN)
def test_its_graph_judges_the_model(imported: Any, name: str) -> None:
    """``verify`` needs nothing but the files."""
    report = slim2keras.verify(GRAPHS / name / GIVEN[name].file, imported(name), images=GIVEN[name].images())
    assert report.passed, report.first_failure
