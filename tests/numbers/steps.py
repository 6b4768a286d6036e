"""One training step, and inference, of a small network in slim and here, from equal values on equal images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from slim2keras.errors import Slim2KerasError
from slim2keras.graphs import layers
from slim2keras.graphs.graph import LayerGraph
from slim2keras.graphs.layers import BatchNorm
from slim2keras.graphs.network import GraphNetwork
from slim2keras.models.building import build_model
from slim2keras.models.variables import slim_variables
from slim2keras.slim.runtime import import_tf_slim, op_by_op_session, slim_graph
from tests.reference import assign_values

CLASSES, CHANNELS, RATE, DECAY, EPSILON = 3, 4, 0.01, 0.9, 1e-3
Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Found:
    """What came of a step, or of inference.

    Attributes:
        values: ``loss`` and every variable after a step; ``logits`` of inference.
        error: That was raised instead.
    """

    values: Values
    error: Exception | None = None

    @property
    def nonfinite(self) -> list[str]:
        return [name for name, value in self.values.items() if not np.isfinite(value).all()]


def network(size: int) -> GraphNetwork:
    x = layers.inputs((size, size, 3))
    graph: LayerGraph = x.graph
    normalised = BatchNorm(decay=DECAY, epsilon=EPSILON, scale=True)
    x = layers.conv2d(x, CHANNELS, 3, stride=2, name="net/conv", batch_norm=normalised)
    x = layers.global_avg_pool(x, name="net/pool", keepdims=False)
    graph.outputs.append(layers.fully_connected(x, CLASSES, activation=None, name="net/logits"))
    return GraphNetwork("net", graph, "inception", num_classes=CLASSES)


def ours(values: Values, images: np.ndarray, labels: np.ndarray, mode: str) -> Found:
    """By ``finetune`` op by op; inference where the mode is ``"inference"``."""
    import slim2keras

    model = build_model(network(images.shape[1]))
    assign_values(model, dict(values))
    if mode == "inference":
        return Found({"logits": model(images, training=False).numpy()})
    tuned = slim2keras.finetune(model, batch_norm=mode)
    optimizer, loss = slim2keras.optimizers.GradientDescent(RATE), slim2keras.losses.SoftmaxCrossEntropy()
    tuned.compile(optimizer, loss, run_eagerly=True)
    try:
        found = {"loss": np.asarray(tuned.train_on_batch(images, labels))}
    except Slim2KerasError as error:
        return Found({name: item.numpy() for name, item in slim_variables(model).items()}, error)
    return Found(found | {name: item.numpy() for name, item in slim_variables(model).items()})


class Slim:
    """slim's own network in a session, training in a mode or for inference."""

    def __init__(self, mode: str, shape: tuple[int, ...], **options: Any) -> None:
        self._mode, self._shape, self._options = mode, shape, options

    @contextlib.contextmanager
    def opened(self) -> Iterator[Slim]:
        slim = import_tf_slim()
        import tensorflow as tf

        v1 = tf.compat.v1
        with slim_graph() as graph:
            v1.train.get_or_create_global_step()
            self._images = v1.placeholder(tf.float32, self._shape)
            self._labels = v1.placeholder(tf.int64, self._shape[:1])
            logits = self._lay(slim, self._images)
            self._asked: dict[str, Any] = {"logits": logits}
            if self._mode != "inference":
                v1.losses.softmax_cross_entropy(tf.one_hot(self._labels, CLASSES), logits)
                train = slim.learning.create_train_op(
                    v1.losses.get_total_loss(),
                    v1.train.GradientDescentOptimizer(RATE),
                    update_ops=None if self._mode == "update" else [],
                )
                self._asked = {"loss": train}
            self._variables = {variable.op.name: variable for variable in slim.get_model_variables()}
            with op_by_op_session(graph) as self._session:
                self._session.run(v1.global_variables_initializer())
                yield self

    def _lay(self, slim: Any, x: Any) -> Any:
        import tensorflow as tf

        is_training = self._mode in ("update", "batch")
        params = {"decay": DECAY, "epsilon": EPSILON, "scale": True, "is_training": is_training, **self._options}
        normalised = {"normalizer_fn": slim.batch_norm, "normalizer_params": params}
        x = slim.conv2d(x, CHANNELS, 3, stride=2, scope="net/conv", **normalised)
        return slim.fully_connected(tf.reduce_mean(x, [1, 2]), CLASSES, None, scope="net/logits")

    def run(self, values: Values, images: np.ndarray, labels: np.ndarray) -> Found:
        """From these values."""
        import tensorflow as tf

        items = self._variables.items()
        self._session.run(
            [item.initializer for _, item in items], {item.initial_value: values[name] for name, item in items}
        )
        error = None
        try:
            found = self._session.run(self._asked, {self._images: images, self._labels: labels})
        except tf.errors.InvalidArgumentError as raised:
            found, error = {}, raised
        if self._mode != "inference":
            found |= self._session.run(self._variables)
        return Found({name: np.asarray(item) for name, item in found.items()}, error)
