"""The decay in a ``.meta``, in the shapes that slim and its users give it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slim2keras.errors import CheckpointReadError
from slim2keras.importing.meta_graph import decays_of_graph, input_shape_of_graph, read_decays, read_input_shape
from slim2keras.slim.runtime import import_tf_slim, slim_graph

DECAYS = (0.9997, 0.997, 0.999, 0.9, 0.5)


def slims_graph(decay: float, *, condition: bool = False, control_flow_v2: bool = True, **params: Any) -> Any:
    """What slim makes of two convolutions with BatchNorm and an EMA over everything."""
    slim = import_tf_slim()
    import tensorflow as tf

    v1 = tf.compat.v1
    (v1.enable_control_flow_v2 if control_flow_v2 else v1.disable_control_flow_v2)()
    try:
        with slim_graph() as graph:
            x = v1.placeholder(tf.float32, (4, 8, 8, 3))
            is_training = v1.placeholder_with_default(True, ()) if condition else True
            params = {"decay": decay, "is_training": is_training, **params}
            for scope in ("net/conv1", "net/conv2"):
                x = slim.conv2d(x, 4, 3, normalizer_fn=slim.batch_norm, normalizer_params=params, scope=scope)
            v1.train.ExponentialMovingAverage(0.25).apply(slim.get_model_variables())
            return v1.train.export_meta_graph(graph=graph).graph_def
    finally:
        v1.enable_control_flow_v2()


SHAPES: dict[str, Callable[[float], Any]] = {
    "a constant rate": lambda decay: slims_graph(decay, updates_collections=None),
    "one minus a constant": slims_graph,
    "unfused": lambda decay: slims_graph(decay, fused=False),
    "a condition, by merge": lambda decay: slims_graph(decay, condition=True, control_flow_v2=False),
    "a condition, by functions": lambda decay: slims_graph(decay, condition=True),
}


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_slims_own_graphs(shape: str, decay: float) -> None:
    """Every layer's decay is read from what slim builds, whatever builds it."""
    assert decays_of_graph(SHAPES[shape](decay)) == {"net/conv1/BatchNorm": decay, "net/conv2/BatchNorm": decay}


def hand_made(rate: Callable[[Any], Any], *, under_condition: bool = False) -> Any:
    """A moving average as TensorFlow 1 wrote it, with a reference variable; ``rate`` makes its last operand."""
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef()

    def node(name: str, op: str, *inputs: str, value: float | None = None) -> str:
        made = graph.node.add(name=name, op=op, input=inputs)
        if value is not None:
            made.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.float32))
        return name

    scope = "net/conv1/BatchNorm/cond" if under_condition else "net/conv1/BatchNorm"
    variable = node("net/conv1/BatchNorm/moving_mean", "VariableV2")
    if under_condition:
        variable = (
            node(f"{scope}/AssignMovingAvg/Switch", "Switch", variable, node(f"{scope}/pred_id", "Identity")) + ":1"
        )
    node(f"{scope}/AssignMovingAvg/mul", "Mul", node(f"{scope}/AssignMovingAvg/difference", "Sub"), rate(node))
    node(f"{scope}/AssignMovingAvg", "AssignSub", variable, f"{scope}/AssignMovingAvg/mul")
    return graph


def one_minus(node: Any, operand: str) -> str:
    return str(node("BatchNorm/AssignMovingAvg/sub", "Sub", node("sub/x", "Const", value=1.0), operand))


STRANGERS: dict[str, Any] = {
    "AssignMovingAvg/decay": hand_made(lambda node: node("AssignMovingAvg/decay", "Const", value=1 - 0.997)),
    "the same under cond": hand_made(
        lambda node: node("cond/AssignMovingAvg/decay", "Const", value=1 - 0.997), under_condition=True
    ),
    "Const_2 and sub": hand_made(lambda node: one_minus(node, node("BatchNorm/Const_2", "Const", value=0.997))),
    "Select": hand_made(
        lambda node: one_minus(
            node,
            node(
                "Select",
                "Select",
                node("is_training", "Placeholder"),
                node("Select/t", "Const", value=0.997),
                node("Select/e", "Const", value=1.0),
            ),
        )
    ),
}


@pytest.mark.parametrize("shape", STRANGERS)
def test_graphs_of_strangers(shape: str) -> None:
    """The shapes seen in files of others tell their decay too."""
    assert decays_of_graph(STRANGERS[shape]) == {"net/conv1/BatchNorm": 0.997}


@pytest.mark.parametrize(
    "rate",
    [
        lambda node: node("loop", "Identity", "loop"),
        lambda node: node("rate", "Placeholder"),
        lambda node: node("cut off", "Sub"),
        lambda node: "there/is/no/such/node",
        lambda node: one_minus(node, node("decay", "Placeholder")),
        lambda node: node("both", "Merge", node("a", "Const", value=0.1), node("b", "Const", value=0.2)),
    ],
)
def test_a_rate_that_cannot_be_told_is_left_out(rate: Any) -> None:
    """Nothing is guessed from a graph of another kind."""
    assert decays_of_graph(hand_made(rate)) == {}


def test_files(tmp_path: Path) -> None:
    """Without a .meta nothing is known; a file that is no graph is an error."""
    assert read_decays(tmp_path / "model.ckpt-1") == {}
    (tmp_path / "model.ckpt-1.meta").write_bytes(b"\xff\xfe not a graph")
    with pytest.raises(CheckpointReadError, match="is no graph"):
        read_decays(tmp_path / "model.ckpt-1")


def test_a_file_that_is_no_graph_tells_no_size(tmp_path: Path) -> None:
    """A size is a default that one can do without: neither a missing nor a broken ``.meta`` is an error."""
    assert read_input_shape(tmp_path / "model.ckpt-1", "net/conv1/weights") is None
    for content in (b"", b"\xff\xfe not a graph", b"\x12\x7f" * 40):
        (tmp_path / "model.ckpt-1.meta").write_bytes(content)
        assert read_input_shape(tmp_path / "model.ckpt-1", "net/conv1/weights") is None


def graph_on(*inputs: Callable[[Any], Any], stripped: bool = False, **options: Any) -> Any:
    """What slim makes of a convolution, by the same weights on each of the inputs; ``stripped`` of known shapes."""
    slim = import_tf_slim()
    import tensorflow as tf

    with slim_graph() as graph:
        for images in inputs:
            slim.conv2d(images(tf), 4, 3, scope="net/conv1", reuse=tf.compat.v1.AUTO_REUSE, **options)
        graph_def = tf.compat.v1.train.export_meta_graph(graph=graph).graph_def
    for node in graph_def.node if stripped else ():
        node.attr.pop("_output_shapes", None)
    return graph_def


def placeholder(*shape: int | None) -> Callable[[Any], Any]:
    return lambda tf: tf.compat.v1.placeholder(tf.float32, shape)


def batched(tf: Any) -> Any:
    """As ``train_image_classifier`` feeds: single images, batched by a queue."""
    return tf.compat.v1.train.batch([tf.zeros((96, 80, 1)), tf.zeros(())], 32)[0]


def prefetched(tf: Any) -> Any:
    """And batches, kept in a queue for the clones."""
    from tf_slim.data.prefetch_queue import prefetch_queue

    return prefetch_queue([tf.zeros((32, 5)), tf.zeros((32, 96, 80, 1))]).dequeue()[1]


def from_dataset(tf: Any) -> Any:
    dataset = tf.data.Dataset.from_tensors((tf.zeros(()), tf.zeros((32, 96, 80, 1))))
    return tf.compat.v1.data.make_one_shot_iterator(dataset).get_next()[1]


def quantized(tf: Any) -> Any:
    images = tf.pad(placeholder(None, 96, 80, 1)(tf), [[0, 0], [3, 3], [3, 3], [0, 0]])
    return tf.quantization.fake_quant_with_min_max_vars(images, -1.0, 1.0)


@pytest.mark.parametrize("stripped", [False, True])
@pytest.mark.parametrize("images", [placeholder(None, 96, 80, 1), batched, prefetched, from_dataset, quantized])
def test_the_size_of_the_images(images: Any, stripped: bool) -> None:
    """However the images come in, and whether or not the graph kept the shapes in between."""
    assert input_shape_of_graph(graph_on(images, stripped=stripped), "net/conv1/weights") == (96, 80, 1)


def test_the_size_of_images_that_have_their_channels_first() -> None:
    """The shape is (height, width, channels) all the same."""
    graph = graph_on(placeholder(2, 1, 96, 80), data_format="NCHW")
    assert input_shape_of_graph(graph, "net/conv1/weights") == (96, 80, 1)


def test_a_network_that_is_there_twice_tells_its_size_if_it_is_one() -> None:
    """Clones agree, an evaluation of open size says nothing against it, and two sizes are none."""
    one, same, open_size, other = (placeholder(None, size, size, 3) for size in (96, 96, None, 64))
    assert input_shape_of_graph(graph_on(one, same, open_size), "net/conv1/weights") == (96, 96, 3)
    assert input_shape_of_graph(graph_on(one, other), "net/conv1/weights") is None


def test_a_size_that_cannot_be_told_is_none() -> None:
    """Nothing is guessed from an open size or from another layer."""
    assert input_shape_of_graph(graph_on(placeholder(None, None, 80, 1)), "net/conv1/weights") is None
    assert input_shape_of_graph(graph_on(placeholder(None, 96, 80, 1)), "net/conv2/weights") is None


def test_a_graph_that_runs_in_a_circle_ends() -> None:
    """A loop between images and convolution, or one cut off, tells no size."""
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="net/conv1/weights", op="VariableV2")
    graph.node.add(name="a", op="Identity", input=["b"])
    graph.node.add(name="b", op="Pad", input=["a"])
    graph.node.add(name="cut", op="Identity")
    graph.node.add(name="queue", op="QueueDequeueManyV2")
    for images in ("a", "cut", "queue", "nowhere"):
        graph.node.add(name=f"conv/{images}", op="Conv2D", input=[images, "net/conv1/weights"])
    assert input_shape_of_graph(graph, "net/conv1/weights") is None
