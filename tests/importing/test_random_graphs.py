"""Random small networks of slim's layers: whatever is laid, its graph becomes a model with the same numbers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import slim2keras
from tests.importing.foreign_networks import ForeignNetwork, slim
from tests.importing.writing_graphs import images_of, inference_of, write_graph

BAR = 1e-6
QUICK_EXAMPLES, SLOW_EXAMPLES = 4, 80
MODES = ("training", "inference", "switchable", "frozen")
SHAPES = ((12, 12, 3), (11, 13, 1), (8, 9, 4))

Step = tuple[str, dict[str, Any]]
Steps = Sequence[Any]


# The grammar: steps as plain data, so that what fails can be read


ACTIVATIONS: dict[str, Callable[[Any], Any] | None] = {
    "none": None,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "elu": tf.nn.elu,
    "tanh": tf.nn.tanh,
    "sigmoid": tf.nn.sigmoid,
    "softplus": tf.nn.softplus,
    "leaky": lambda x: tf.maximum(0.1 * x, x),
    "leaky op": lambda x: tf.nn.leaky_relu(x, 0.3),
    "swish": lambda x: x * tf.nn.sigmoid(x),
}

activations = st.sampled_from(list(ACTIVATIONS))
paddings = st.sampled_from(["SAME", "VALID"])
norms = st.none() | st.fixed_dictionaries(
    {
        "decay": st.sampled_from([0.9, 0.96, 0.9997]),
        "epsilon": st.sampled_from([1e-3, 1e-5]),
        "center": st.booleans(),
        "scale": st.booleans(),
        "fused": st.booleans(),
        "updates_collections": st.sampled_from([None, "update_ops"]),
    }
)
strides_and_rates = st.sampled_from([(1, 1), (2, 1), (1, 2)])


def step(kind: str, /, **strategies: Any) -> Any:
    return st.tuples(st.just(kind), st.fixed_dictionaries(strategies))


def convolutions(padding: Any, strides: Any) -> Any:
    common = {"strides": strides, "padding": padding, "activation": activations, "norm": norms}
    kernels = st.sampled_from([1, 2, 3, (1, 3)])
    return (
        step("conv2d", depth=st.integers(1, 5), kernel=kernels, **common)
        | step("separable", depth=st.integers(1, 4), multiplier=st.integers(1, 2), **common)
        | step("depthwise", multiplier=st.integers(1, 2), **common)
    )


pools = step(
    "pool",
    kind=st.sampled_from(["max", "avg"]),
    kernel=st.integers(2, 3),
    stride=st.integers(1, 2),
    padding=paddings,
)
between = (
    step("norm", norm=norms.filter(bool), activation=activations)
    | step("activation", activation=activations)
    | step("pad", mode=st.sampled_from(["CONSTANT", "REFLECT", "SYMMETRIC"]))
)
keeping_size = st.lists(convolutions(st.just("SAME"), st.just((1, 1))), min_size=1, max_size=2)
branches = step(
    "branches", join=st.sampled_from(["concat", "add", "multiply", "maximum"]), left=keeping_size, right=keeping_size
)
transposed = step("transposed", depth=st.integers(1, 4), norm=norms, activation=activations)
bodies = st.lists(
    convolutions(paddings, strides_and_rates) | pools | between | branches | transposed, min_size=1, max_size=5
)
heads = st.sampled_from(["map", "mean", "flat", "flat with norm", "softmax", "two"])


def normalised(norm: dict[str, Any] | None, is_training: Any) -> dict[str, Any]:
    if norm is None:
        return {}
    return {"normalizer_fn": slim.batch_norm, "normalizer_params": {**norm, "is_training": is_training}}


def is_small(net: Any) -> bool:
    return min(net.shape[1:3]) < 4


def convolved(net: Any, kind: str, facts: dict[str, Any], is_training: Any) -> Any:
    stride, rate = facts["strides"]
    options = {
        "stride": 1 if is_small(net) else stride,
        "rate": 1 if is_small(net) else rate,
        "padding": "SAME" if min(net.shape[1:3]) < 6 else facts["padding"],
        "activation_fn": ACTIVATIONS[facts["activation"]],
        **normalised(facts["norm"], is_training),
    }
    if kind == "conv2d":
        return slim.conv2d(net, facts["depth"], facts["kernel"], **options)
    depth = facts["depth"] if kind == "separable" else None
    return slim.separable_conv2d(net, depth, 3, depth_multiplier=facts["multiplier"], **options)


def pooled(net: Any, facts: dict[str, Any]) -> Any:
    pool = slim.max_pool2d if facts["kind"] == "max" else slim.avg_pool2d
    padding = "SAME" if is_small(net) else facts["padding"]
    return pool(net, facts["kernel"], facts["stride"], padding=padding)


def joined(net: Any, facts: dict[str, Any], is_training: Any) -> Any:
    left, right = (laid(net, facts[side], is_training) for side in ("left", "right"))
    if facts["join"] == "concat":
        return tf.concat([left, right, net], 3)
    if left.shape[3] != right.shape[3]:
        right = slim.conv2d(right, left.shape[3], 1, activation_fn=None)
    return {"add": tf.add, "multiply": tf.multiply, "maximum": tf.maximum}[facts["join"]](left, right)


def laid(net: Any, steps: Steps, is_training: Any) -> Any:
    for kind, facts in steps:
        if kind in ("conv2d", "separable", "depthwise"):
            net = convolved(net, kind, facts, is_training)
        elif kind == "pool":
            net = pooled(net, facts)
        elif kind == "norm":
            net = slim.batch_norm(
                net, activation_fn=ACTIVATIONS[facts["activation"]], is_training=is_training, **facts["norm"]
            )
        elif kind == "activation":
            net = (ACTIVATIONS[facts["activation"]] or tf.identity)(net)
        elif kind == "pad":
            net = net if is_small(net) else tf.pad(net, [[0, 0], [1, 2], [2, 1], [0, 0]], facts["mode"])
        elif kind == "branches":
            net = joined(net, facts, is_training)
        else:
            net = slim.conv2d_transpose(
                net,
                facts["depth"],
                3,
                stride=2,
                activation_fn=ACTIVATIONS[facts["activation"]],
                **normalised(facts["norm"], is_training),
            )
    return net


def headed(net: Any, head: str, is_training: Any) -> Any:
    if head == "map":
        return slim.conv2d(net, 2, 1, activation_fn=None, scope="map")
    features = tf.reduce_mean(net, [1, 2]) if head in ("mean", "two") else slim.flatten(net)
    norm = {"decay": 0.9, "scale": True} if head == "flat with norm" else None
    logits = slim.fully_connected(features, 3, activation_fn=None, scope="logits", **normalised(norm, is_training))
    if head == "two":
        return [logits, slim.conv2d(net, 2, 1, activation_fn=tf.nn.sigmoid, scope="map")]
    return tf.nn.softmax(logits) if head == "softmax" else logits


def network_of(shape: tuple[int, ...], steps: Steps, head: str) -> ForeignNetwork:
    def function(images: Any, is_training: Any) -> Any:
        return headed(laid(images, steps, is_training), head, is_training)

    return ForeignNetwork(function, (shape,))


def check(shape: tuple[int, ...], steps: Steps, head: str, mode: str) -> None:
    network = network_of(shape, steps, head)
    batches = images_of(network)
    with tempfile.TemporaryDirectory() as directory:
        written = write_graph(network, mode, Path(directory))
        model = slim2keras.convert(
            written.path,
            graph=written.meta,
            input_tensors=list(written.input_tensors),
            output_tensors=list(written.output_tensors),
        )
    ours = [output.numpy() for output in tf.nest.flatten(model(batches[0], training=False))]
    for output, theirs in zip(ours, inference_of(network, batches), strict=True):
        assert output.shape == theirs.shape
        assert np.max(np.abs(output - theirs)) <= BAR * np.max(np.abs(theirs))


networks = given(st.sampled_from(SHAPES), bodies, heads, st.sampled_from(MODES))
COMMON = {"derandomize": True, "deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=QUICK_EXAMPLES, phases=[Phase.generate], **COMMON)
@networks
def test_a_random_network_has_the_same_numbers(shape: Any, steps: Steps, head: str, mode: str) -> None:
    """At inference, whether its graph trains, infers, is switched or frozen."""
    check(shape, steps, head, mode)


@pytest.mark.slow
@settings(max_examples=SLOW_EXAMPLES, phases=[Phase.generate, Phase.shrink], **COMMON)
@networks
def test_many_random_networks_have_the_same_numbers(shape: Any, steps: Steps, head: str, mode: str) -> None:
    """As above, and the smallest network that fails is shown."""
    check(shape, steps, head, mode)
