"""Foreign networks as the files that their trainers leave, and what TensorFlow 1 itself computes of them."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow.compat.v1 as tf

from slim2keras.slim.runtime import op_by_op_session, slim_graph
from tests.importing import foreign_plain_networks  # noqa: F401 - enters its networks
from tests.importing.foreign_networks import NETWORKS, ForeignNetwork, slim, switchable
from tests.reference import images, value

MODES = ("training", "inference", "switchable", "frozen", "saved_model")
BATCH, OPEN_SIZE, STEPS = 3, 16, 4
RATE, MOMENTUM, EMA_DECAY = 0.01, 0.9, 0.99

_POSITIVE = re.compile(r"variance|gamma|Squeeze_1")
_BIASED = re.compile(r"(.+)/\1/(moving_mean)/biased")
"""Of a zero-debiased mean; TensorFlow puts the scope in front of the variable's name, which has it already."""


@dataclass(frozen=True)
class WrittenGraph:
    """A network in files.

    Attributes:
        path: Prefix of the checkpoint, the frozen ``.pb``, or the directory of the SavedModel.
        meta: The graph beside a checkpoint.
        input_tensors: Names of what takes the images.
        output_tensors: Names of what the function gave.
    """

    path: Path
    meta: Path | None
    input_tensors: tuple[str, ...]
    output_tensors: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """What TensorFlow computes of a network op by op, nothing dropped.

    Attributes:
        images: Of each input.
        inference: Each output, on moving statistics.
        training: Each output, on those of the batch.
        moved: Variables after that one run of training with its updates.
        regularization_loss: 0 where nothing is regularized.
        trainable: Names of the trainable variables.
        values: Of all variables of the network, by name.
    """

    images: Sequence[np.ndarray]
    inference: Sequence[np.ndarray]
    training: Sequence[np.ndarray]
    moved: Mapping[str, np.ndarray]
    regularization_loss: float
    trainable: frozenset[str]
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class BuiltNetwork:
    """A network in a graph, with loss and train op where it trains.

    Attributes:
        inputs: Placeholders, or what a pipeline gives.
        switch: The placeholder ``is_training``, if it has one.
        variables: Of the network, by name.
        targets: One placeholder an output.
    """

    graph: Any
    inputs: Sequence[Any]
    outputs: Sequence[Any]
    switch: Any
    variables: Mapping[str, Any]
    targets: Sequence[Any] = ()
    train_op: Any = None
    others: Sequence[Any] = field(default_factory=tuple)

    def fed(self, batches: Sequence[np.ndarray], *, is_training: bool) -> dict[Any, Any]:
        return dict(zip(self.inputs, batches, strict=True)) | (
            {} if self.switch is None else {self.switch: is_training}
        )


# Building


@contextlib.contextmanager
def first_tensorflow() -> Iterator[None]:
    """Conditions by Switch and Merge, and reference variables, as TensorFlow 1 made them."""
    tf.disable_control_flow_v2()
    tf.disable_resource_variables()
    try:
        yield
    finally:
        tf.enable_control_flow_v2()
        tf.enable_resource_variables()


@contextlib.contextmanager
def nothing_dropped() -> Iterator[None]:
    """Dropout and rounding give what they get, so that runs can be compared."""

    def same(x: Any, *args: Any, **kwargs: Any) -> Any:
        return tf.identity(x)

    with (
        mock.patch.object(slim, "dropout", same),
        mock.patch.object(tf.nn, "dropout", same),
        mock.patch.object(tf.quantization, "fake_quant_with_min_max_vars", same),
    ):
        yield


@contextlib.contextmanager
def built(network: ForeignNetwork, mode: str, *, as_written: bool) -> Iterator[BuiltNetwork]:
    """A graph with the network, and with what trains it in the modes that train.

    Args:
        as_written: With dropout, input pipeline and shadows, as its author's program has it.
    """
    clean = contextlib.nullcontext() if as_written else nothing_dropped()
    with first_tensorflow(), slim_graph() as graph, clean:
        tf.set_random_seed(1)
        found = _built_in(
            graph, network, mode, pipeline=network.pipeline if as_written and mode == "training" else None
        )
        if mode in ("training", "switchable"):
            found = _with_training(found, has_ema=network.has_ema and as_written)
        yield found


def _built_in(graph: Any, network: ForeignNetwork, mode: str, pipeline: str | None) -> BuiltNetwork:
    inputs = _PIPELINES[pipeline](network)
    function = switchable(network.function) if mode == "switchable" else network.function
    result = function(inputs[0] if len(inputs) == 1 else inputs, mode == "training")
    result = result[0] if isinstance(result, tuple) else result
    outputs = result if isinstance(result, list) else [result]
    switch = graph.get_tensor_by_name("is_training:0") if mode == "switchable" else None
    return BuiltNetwork(graph, inputs, outputs, switch, {item.op.name: item for item in tf.global_variables()})


def _placeholders(network: ForeignNetwork) -> list[Any]:
    return [
        tf.placeholder(tf.float32, (network.batch, *shape), name=f"images_{index}")
        for index, shape in enumerate(network.shapes)
    ]


def _queue(network: ForeignNetwork) -> list[Any]:
    shapes = [(network.batch or BATCH, *_closed(shape)) for shape in network.shapes]
    queue = tf.FIFOQueue(4, [tf.float32] * len(shapes), shapes, name="prefetch_queue")
    tf.train.add_queue_runner(
        tf.train.QueueRunner(queue, [queue.enqueue([tf.random_uniform(shape) for shape in shapes])])
    )
    dequeued = queue.dequeue()
    return dequeued if isinstance(dequeued, list) else [dequeued]


def _iterator(network: ForeignNetwork) -> list[Any]:
    examples = tuple(tf.random_uniform(_closed(shape)) for shape in network.shapes)
    batches = tf.data.Dataset.from_tensors(examples).repeat().batch(network.batch or BATCH, drop_remainder=True)
    iterator = tf.data.make_initializable_iterator(batches)
    tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
    return list(iterator.get_next())


_PIPELINES = {None: _placeholders, "queue": _queue, "iterator": _iterator}


def _closed(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(OPEN_SIZE if size is None else size for size in shape)


def _with_training(network: BuiltNetwork, *, has_ema: bool) -> BuiltNetwork:
    """The network with a loss on every output and slim's train op of momentum."""
    targets = [tf.placeholder(tf.float32, output.shape, name="target") for output in network.outputs]
    for target, output in zip(targets, network.outputs, strict=True):
        tf.losses.mean_squared_error(target, output)
    step = tf.train.get_or_create_global_step()
    if has_ema:
        average = tf.train.ExponentialMovingAverage(EMA_DECAY, step)
        tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, average.apply(slim.get_model_variables()))
    loss = tf.losses.get_total_loss()
    train_op = slim.learning.create_train_op(loss, tf.train.MomentumOptimizer(RATE, MOMENTUM))
    tf.summary.scalar("total_loss", loss)
    tf.summary.merge_all()
    known = network.variables
    others = [item for item in tf.global_variables() if item.op.name not in known]
    return BuiltNetwork(
        network.graph, network.inputs, network.outputs, network.switch, known, targets, train_op, others
    )


# Values


_KNOWN = {"min": -3.0, "max": 3.0, "local_step": 1000.0}


def value_of(name: str, variable: Any) -> np.ndarray:
    """Value of a variable: as in ``tests.reference``, and sensible where other names are in use."""
    shape = tuple(variable.shape)
    leaf = name.rpartition("/")[2]
    if leaf in _KNOWN:
        return np.float32(_KNOWN[leaf])
    if biased := _BIASED.fullmatch(name):
        # After many steps nothing is left to be corrected.
        return value_of("/".join(biased.groups()), variable)
    if _POSITIVE.search(name):
        return (0.5 + np.abs(value(name, shape)) % 1.0).astype("float32")
    found = value(name, shape)
    return found if len(shape) > 1 else found % np.float32(1.0)


@contextlib.contextmanager
def session_of(network: BuiltNetwork) -> Iterator[Any]:
    """A session op by op in which the network has its values, and the trainer's own variables their first."""
    with op_by_op_session(network.graph) as session:
        values = {item.initial_value: value_of(name, item) for name, item in network.variables.items()}
        session.run([item.initializer for item in (*network.variables.values(), *network.others)], values)
        yield session


def images_of(network: ForeignNetwork, seed: int = 0) -> list[np.ndarray]:
    """A batch for each input; a second image of open size is twice as large, as super-resolution wants it."""
    shapes = [_closed(shape) for shape in network.shapes]
    if len(shapes) > 1 and None in network.shapes[1]:
        shapes[1] = (2 * OPEN_SIZE, 2 * OPEN_SIZE, *shapes[1][2:])
    return [images(seed + index, (network.batch or BATCH, *shape)) for index, shape in enumerate(shapes)]


def inference_of(network: ForeignNetwork, batches: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What TensorFlow computes of a network on moving statistics."""
    with built(network, "inference", as_written=False) as still, session_of(still) as session:
        found: list[np.ndarray] = session.run(still.outputs, still.fed(batches, is_training=False))
        return found


@functools.cache
def reference(name: str) -> Reference:
    """What TensorFlow computes of a network."""
    network = NETWORKS[name]
    batches = images_of(network)
    inference = inference_of(network, batches)
    with built(network, "training", as_written=False) as moving, session_of(moving) as session:
        values = session.run(dict(moving.variables))
        losses = tf.losses.get_regularization_losses()
        training, regularization, _ = session.run(
            (moving.outputs, losses, tf.get_collection(tf.GraphKeys.UPDATE_OPS)), moving.fed(batches, is_training=True)
        )
        moved = session.run(dict(moving.variables))
        trainable = frozenset(item.op.name for item in tf.trainable_variables())
    return Reference(batches, inference, training, moved, float(np.sum(regularization)), trainable, values)


def targets_of(outputs: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """A target for each output."""
    random = np.random.RandomState(seed)
    return [random.standard_normal(output.shape).astype("float32") for output in outputs]


@functools.cache
def trained(name: str, steps: int = STEPS) -> tuple[list[float], dict[str, np.ndarray]]:
    """Total losses of steps of the network's own train op, and all variables after the last."""
    network, shapes, losses = NETWORKS[name], reference(name).inference, []
    with built(network, "training", as_written=False) as found, session_of(found) as session:
        for step in range(steps):
            feeds = found.fed(images_of(network, seed=10 * step), is_training=True)
            feeds |= dict(zip(found.targets, targets_of(shapes, step), strict=True))
            losses.append(float(session.run(found.train_op, feeds)))
        return losses, session.run({item.op.name: item for item in tf.global_variables()})


# Writing


def write_graph(network: ForeignNetwork, mode: str, directory: Path) -> WrittenGraph:
    """Write a network's files.

    Args:
        network: Any of ``NETWORKS``, or one of that kind.
        mode: One of ``MODES``: a checkpoint with the ``.meta`` of a graph that trains, that infers, or that a
            placeholder switches between the two; a frozen ``.pb``; a SavedModel of TensorFlow 1.
    """
    with built(network, mode, as_written=True) as found, session_of(found) as session:
        path = {"frozen": _write_frozen, "saved_model": _write_saved_model}.get(mode, _write_checkpoint)(
            found, session, directory
        )
        meta = path.with_name(f"{path.name}.meta")
        return WrittenGraph(
            path, meta if meta.exists() else None, *(_names(tensors) for tensors in (found.inputs, found.outputs))
        )


def _names(tensors: Sequence[Any]) -> tuple[str, ...]:
    return tuple(tensor.name.removesuffix(":0") for tensor in tensors)


def _write_checkpoint(network: BuiltNetwork, session: Any, directory: Path) -> Path:
    saver = tf.train.Saver()
    step = tf.train.get_global_step()
    return Path(saver.save(session, str(directory / "model.ckpt"), global_step=step))


def _write_frozen(network: BuiltNetwork, session: Any, directory: Path) -> Path:
    outputs = [tensor.op.name for tensor in network.outputs]
    frozen = tf.graph_util.convert_variables_to_constants(session, network.graph.as_graph_def(), outputs)
    path = directory / "frozen.pb"
    path.write_bytes(frozen.SerializeToString())
    return path


def _write_saved_model(network: BuiltNetwork, session: Any, directory: Path) -> Path:
    path = directory / "saved_model"
    signature = [
        {f"{kind}_{index}": tensor for index, tensor in enumerate(tensors)}
        for kind, tensors in (("input", network.inputs), ("output", network.outputs))
    ]
    tf.saved_model.simple_save(session, str(path), *signature)
    return path
