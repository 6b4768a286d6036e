"""The user's own slim function, as people write them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.slim.functions import call_function, find_function, outputs_and_end_points, trace_function
from slim2keras.slim.runtime import import_tf_slim

SHAPE = (12, 10, 3)

NETWORK = """
import tensorflow as tf
import tensorflow.contrib.slim as slim
from tensorflow.contrib.slim.nets import resnet_v1
from tensorflow.contrib import layers as layers_lib
from widths import WIDTH


def network(images, num_classes=4, is_training=True):
    with tf.variable_scope("Own"), slim.arg_scope([slim.batch_norm], is_training=is_training, decay=0.9):
        net = slim.conv2d(images, WIDTH, 3, normalizer_fn=slim.batch_norm, scope="conv1",
                          weights_regularizer=tf.contrib.layers.l2_regularizer(1e-3))
        from depths import DEPTH
        logits = slim.conv2d(net, num_classes, 1, activation_fn=None, scope="logits")
    return logits, {"conv1": net, "depth": DEPTH}


def failing(images, is_training):
    return tf.reshape(images, [2, 3],
                      4, 5)


def dropping(images, is_training):
    raise KeyError("no such layer")


not_a_function = 3
"""


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    """A file of TensorFlow 1, with others beside it."""
    (tmp_path / "widths.py").write_text("WIDTH = 6\n")
    (tmp_path / "depths.py").write_text("DEPTH = 1\n")
    (tmp_path / "network.py").write_text(NETWORK)
    return tmp_path / "network.py"


def conv(images: Any, **options: Any) -> Any:
    return import_tf_slim().conv2d(images, 4, 3, scope="net/conv1", **options)


def test_a_file_of_tensorflow_1_is_traced_as_it_stands(own_file: Path) -> None:
    """With ``tensorflow.contrib``, its neighbours and its further arguments; nothing of it is left behind."""
    before, path = {*sys.modules}, [*sys.path]
    function = find_function(f"{own_file}:network")
    source = trace_function(function, SHAPE, {"num_classes": 5}, is_training=True)
    assert (source.kind, source.path) == ("function", "network.network")
    assert source.input_tensors == ("images:0",)
    assert source.output_tensors == ("Own/logits/BiasAdd:0",)
    assert source.end_points == {"conv1": "Own/conv1/Relu:0"}
    assert source.trainable == {f"Own/{name}" for name in TRAINABLE}
    assert source.regularization_losses == ("Own/conv1/kernel/Regularizer/l2_regularizer:0",)
    assert not {name for name in {*sys.modules} - before if name in {"network", "widths", "depths"}}
    assert not [name for name in sys.modules if name.startswith("tensorflow.contrib")]
    assert sys.path == path


TRAINABLE = ("conv1/weights", "conv1/BatchNorm/beta", "logits/weights", "logits/biases")


def test_layers_of_tensorflow_1_are_there(own_file: Path) -> None:
    """``tf.layers``, which people mix with slim, and which Keras 3 refuses; for the trace only."""
    text = "import tensorflow as tf\n\ndef f(images):\n    return tf.layers.conv2d(images, 4, 3, name='own')\n"
    own_file.write_text(text)
    source = trace_function(find_function(f"{own_file}:f"), SHAPE, {}, is_training=False)
    assert source.trainable == {"own/kernel", "own/bias"}


def test_two_traces_differ_in_whether_they_train(own_file: Path) -> None:
    """The training trace moves the statistics, the inference trace takes them in."""
    function = find_function(f"{own_file}:network")
    assigned = {
        is_training: any(
            "AssignMovingAvg" in node.name
            for node in trace_function(function, SHAPE, {}, is_training=is_training).graph.node
        )
        for is_training in (True, False)
    }
    assert assigned == {True: True, False: False}


def test_a_condition_is_a_switch_as_in_tensorflow_1() -> None:
    """Which an importer can follow; afterwards conditions are as they were."""
    import tensorflow as tf

    def switched(images: Any, is_training: bool) -> Any:
        return tf.cond(tf.constant(is_training), lambda: conv(images), lambda: conv(images, reuse=True))

    ops = {node.op for node in trace_function(switched, SHAPE, {}, is_training=False).graph.node}
    assert {"Switch", "Merge"} <= ops
    assert not {"If", "StatelessIf"} & ops
    assert tf.compat.v1.control_flow_v2_enabled()


def test_open_sizes_stay_open() -> None:
    """The batch always is."""
    graph = trace_function(conv, (None, None, 3), {}, is_training=False).graph
    placeholder = next(node for node in graph.node if node.op == "Placeholder")
    assert (placeholder.name, [axis.size for axis in placeholder.attr["shape"].shape.dim]) == (
        "images",
        [-1, -1, -1, 3],
    )


def test_a_package_is_looked_for_in_the_working_directory(own_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``python -m`` does, which a command line cannot be without."""
    (own_file.parent / "own_package").mkdir()
    (own_file.parent / "own_package" / "nets.py").write_text("def network(images, is_training):\n    return images\n")
    monkeypatch.chdir(own_file.parent)
    assert find_function("own_package.nets:network")(1, is_training=False) == 1


def test_another_module_of_the_name_is_not_taken_for_the_file(own_file: Path, tmp_path: Path) -> None:
    """Nor is a file of the same name that was read before."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "network.py").write_text("def network(images):\n    return 2\n")
    (other / "json.py").write_text("def network(images):\n    return 3\n")
    assert find_function(f"{own_file}:network").__defaults__ == (4, True)
    assert find_function(f"{other / 'network.py'}:network")(None) == 2
    assert find_function(f"{other / 'json.py'}:network")(None) == 3


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("network.py", r"must be package.module:function or file.py:function. Received: 'network.py'"),
        ("{}", "must be package.module:function"),
        ("nowhere/network.py:network", "There is no file nowhere/network.py"),
        ("no_such_package.nets:network", r"cannot be imported: ModuleNotFoundError: No module named 'no_such_package"),
        ("{}:netwrk", r"no function netwrk. Did you mean network\? It has network, failing, dropping"),
        ("{}:not_a_function", "no function not_a_function"),
    ],
)
def test_a_reference_to_nothing_says_what_is_wrong(own_file: Path, reference: str, message: str) -> None:
    """And what there is instead."""
    with pytest.raises(UnsupportedArgumentError, match=message):
        find_function(reference.format(own_file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import os\nimport no_such_module\n", r"own.py:2: ModuleNotFoundError"),
        ("def f(:\n", r"own.py:1: SyntaxError"),
        ("import tensorflow as tf\n\nx = tf.no_such_thing\n", r"own.py:3: AttributeError"),
    ],
)
def test_a_file_that_fails_says_where(tmp_path: Path, text: str, message: str) -> None:
    """By file and line."""
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(UnsupportedArgumentError, match=message):
        find_function(f"{tmp_path / 'own.py'}:f")


@pytest.mark.parametrize(("name", "line"), [("failing", 19), ("dropping", 24)])
def test_a_function_that_fails_says_where(own_file: Path, name: str, line: int) -> None:
    """By the line of the user's own file, not of TensorFlow's."""
    with pytest.raises(UnsupportedArgumentError, match=rf"network.{name} fails .* at \S*network.py:{line}: \w+Error"):
        trace_function(find_function(f"{own_file}:{name}"), SHAPE, {}, is_training=False)


def by_name(images: str, num_classes: int = 10, is_training: bool = True) -> Any:
    return images, num_classes, is_training


def by_other_name(images: str, training: bool) -> Any:
    return images, training


def by_place(images: str, whatever: bool) -> Any:
    return images, whatever


def not_at_all(images: str, num_classes: int = 10) -> Any:
    return images, num_classes


def by_keyword_only(images: str, *, train: bool) -> Any:
    return images, train


def by_any_keyword(images: str, is_training: bool, **rest: Any) -> Any:
    return images, is_training, rest


@pytest.mark.parametrize(
    ("function", "arguments", "given"),
    [
        (by_name, {}, ("x", 10, False)),
        (by_name, {"num_classes": 3}, ("x", 3, False)),
        (functools.partial(by_name, is_training=True, num_classes=4), {}, ("x", 4, False)),
        (by_other_name, {}, ("x", False)),
        (by_place, {}, ("x", False)),
        (not_at_all, {}, ("x", 10)),
        (by_keyword_only, {}, ("x", False)),
        (by_any_keyword, {"width": 2}, ("x", False, {"width": 2})),
        (lambda *given: given, {}, ("x", False)),
    ],
)
def test_a_function_is_called_as_its_signature_takes_it(
    function: Callable[..., Any], arguments: dict[str, Any], given: tuple[Any, ...]
) -> None:
    """Whether it trains goes by any of the usual names, else in the second place, if it takes it at all."""
    assert call_function(function, "x", arguments, is_training=False) == given


def test_an_argument_that_the_function_lacks_is_refused_by_name() -> None:
    """With those that it has."""
    with pytest.raises(UnsupportedArgumentError, match=r"no argument clases. (.|\n)*Its arguments: num_classes"):
        call_function(by_name, "x", {"clases": 3}, is_training=False)


def results(tf: Any) -> dict[str, tuple[Any, list[str], dict[str, str]]]:
    a, b = (tf.compat.v1.placeholder(tf.float32, (), name=name) for name in "ab")
    return {
        "a tensor": (a, ["a"], {}),
        "a list": ([a, b], ["a", "b"], {}),
        "lists within": (((a, [b]), {}), ["a", "b"], {}),
        "a dict": ({"x": b, "y": a}, ["b", "a"], {"x": "b", "y": "a"}),
        "output and end points": ((a, {"end": b, "none": None}), ["a"], {"end": "b"}),
        "a list and end points": (([a, b], {"end": b}), ["a", "b"], {"end": "b"}),
        "no output, but end points": ((None, {"end": b}), ["b"], {"end": "b"}),
    }


def test_what_a_function_may_give() -> None:
    """A tensor, several, by name, or with end points; what is no tensor is passed over."""
    import tensorflow as tf

    with tf.Graph().as_default():
        for what, (result, outputs, end_points) in results(tf).items():
            found, ends = outputs_and_end_points(result)
            assert [tensor.op.name for tensor in found] == outputs, what
            assert {name: tensor.op.name for name, tensor in ends.items()} == end_points, what
        for nothing in (None, 3, [], {"a": 1}):
            with pytest.raises(UnsupportedArgumentError, match="must give a tensor"):
                outputs_and_end_points(nothing)
