"""The recipe of the golden files: weights and images that any test can make again, and checkpoints that hold them."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from slim2keras.graphs.graph import Variable
from slim2keras.nets import NETS, resnet
from slim2keras.nets.spec import NetSpec

STAND_IN_SLIM = Path(__file__).parent / "stand_in_slim"
"""A directory laid out like research/slim, with two networks."""

SMALL_NET = "resnet_v1_50"
SMALL_ARGUMENTS = {"num_classes": 7, "depth_multiplier": 0.125}
SMALL_SHAPE = (33, 36, 3)
SHALLOW_NET = "resnet_v1_14"
SHALLOW_NETS = (SHALLOW_NET, "resnet_v2_14")

TRAINED_VALUES = {
    "net/weights": np.arange(24, dtype="float32").reshape(2, 3, 4),
    "net/weights/Momentum": np.ones((2, 3, 4), "float32"),
    "net/weights/ExponentialMovingAverage": np.zeros((2, 3, 4), "float32"),
    "global_step": np.int64(42),
}
"""A variable with a slot and a shadow, and the step, where a checkpoint's form is the matter."""


def value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Value of a variable, by its slim name: never trivial, the same on every machine."""
    random = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF)
    leaf = name.rsplit("/", 1)[-1]
    if leaf in ("moving_variance", "gamma"):
        drawn = random.uniform(0.5, 1.5, shape)
    elif leaf in ("moving_mean", "beta", "biases", "bias"):
        drawn = 0.1 * random.standard_normal(shape)
    else:
        fan_in = np.prod(shape[:2] if leaf == "depthwise_weights" else shape[:-1]) if len(shape) > 1 else 1
        drawn = random.standard_normal(shape) * np.sqrt(2 / fan_in)
    return drawn.astype("float32")


def images(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype("float32")


def labels(seed: int, num_classes: int, batch: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, num_classes, batch)


def values_of(variables: Iterable[Variable]) -> dict[str, np.ndarray]:
    return {variable.name: value(variable.name, variable.shape) for variable in variables}


def small_spec(net: str = SMALL_NET, **arguments: Any) -> NetSpec:
    """A ResNet of an eighth of the width: every kind of layer, half a million numbers."""
    return NetSpec.make(net, SMALL_SHAPE, {**SMALL_ARGUMENTS, **arguments})


def small_values(net: str = SMALL_NET, **arguments: Any) -> dict[str, np.ndarray]:
    return values_of(small_spec(net, **arguments).trace().variables())


@contextlib.contextmanager
def shallow_resnets() -> Iterator[None]:
    """ResNets of one unit a block among the networks: a quarter of a ResNet-50's time where depth does not matter."""
    rows = resnet.rows({"14": replace(resnet.CONFIGS["50"], units=(1, 1, 1, 1))})
    with mock.patch.dict(NETS, {row.name: row for row in rows}):
        yield


def write_checkpoint(path: Path, values: Mapping[str, np.ndarray], version: str = "V2") -> Path:
    """Write a checkpoint with the ops that slim's ``Saver`` uses."""
    import tensorflow as tf

    names = list(values)
    tensors = [tf.constant(item) for item in values.values()]
    if version == "V2":
        tf.raw_ops.SaveV2(prefix=str(path), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)
    else:
        tf.raw_ops.SaveSlices(filename=str(path), tensor_names=names, shapes_and_slices=[""] * len(names), data=tensors)
    return path


def write_meta(prefix: Path, spec: NetSpec) -> None:
    """Write the ``.meta`` beside a checkpoint as slim's trainer does: of the graph that trains."""
    import tensorflow as tf

    from slim2keras.slim.networks import open_judge

    with open_judge() as judge:
        graph = judge.build(spec, (2, *spec.input_shape), is_training=True).graph
    with graph.as_default():
        tf.compat.v1.train.export_meta_graph(f"{prefix}.meta")


def write_meta_of_first_layer(prefix: Path, first_weights: str, input_shape: tuple[int | None, ...]) -> None:
    """Write a ``.meta`` with images and the first convolution alone."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, (2, *input_shape))
        weights = tf.compat.v1.get_variable(first_weights, (3, 3, input_shape[-1], 4), use_resource=False)
        tf.nn.conv2d(images, weights, 2, "SAME")
        tf.compat.v1.train.export_meta_graph(f"{prefix}.meta", graph=graph)


def assign_values(model: Any, values: Mapping[str, np.ndarray]) -> None:
    from slim2keras.models.variables import assign_stored, slim_variables

    for name, variable in slim_variables(model).items():
        assign_stored(variable, values[name])


def files_of(prefix: Path) -> dict[str, bytes]:
    """Names and contents of the files of a checkpoint."""
    return {path.name: path.read_bytes() for path in prefix.parent.glob(f"{prefix.name}*") if path.is_file()}


def convert_small(
    checkpoint: Path, output: Path, *, arguments: Mapping[str, Any] | None = None, load: Any = None, **options: Any
) -> Any:
    """Convert a checkpoint to a file, at the size of the small networks."""
    from slim2keras.checkpoints.load_plan import LoadOptions
    from slim2keras.conversion.converting import convert_to_file
    from slim2keras.conversion.request import CheckpointRequest

    request = CheckpointRequest(None, arguments or {}, SMALL_SHAPE, load or LoadOptions())
    return convert_to_file(checkpoint, output, request, **options)


def first_quick(first: Any, *others: Any) -> list[Any]:
    """Parameters of which the quick tests take the first; the others are near to it."""
    return [first, *(pytest.param(other, marks=pytest.mark.slow) for other in others)]
