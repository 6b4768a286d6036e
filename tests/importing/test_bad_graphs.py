"""Graphs that are damaged, or made to do harm: one clear error each, soon, and nothing in them runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import slim2keras
from slim2keras.errors import CheckpointReadError, ExitStatus, Slim2KerasError, UnsupportedGraphError

Damage = Callable[[Any], None]
FLOAT, INT, BOOL = (tf.as_dtype(name).as_datatype_enum for name in ("float32", "int32", "bool"))
IMPATIENCE = 60.0
"""Seconds; each takes one or two, on a machine that does nothing else."""


def constant(graph: Any, name: str, value: Any) -> Any:
    node = graph.node.add(name=name, op="Const")
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    node.attr["dtype"].type = node.attr["value"].tensor.dtype
    return node


def op(graph: Any, name: str, kind: str, *inputs: str, dtype: int = FLOAT, **attributes: Any) -> Any:
    """Append a node; attributes are integers, lists of them, or bytes."""
    node = graph.node.add(name=name, op=kind, input=inputs)
    node.attr["T"].type = dtype
    for key, value in attributes.items():
        if isinstance(value, list):
            node.attr[key].list.i.extend(value)
        elif isinstance(value, bytes):
            node.attr[key].s = value
        else:
            node.attr[key].i = value
    return node


def placeholder(graph: Any, name: str, shape: tuple[int, ...], dtype: int = FLOAT) -> Any:
    node = graph.node.add(name=name, op="Placeholder")
    node.attr["dtype"].type = dtype
    node.attr["shape"].shape.SetInParent()
    for size in shape:
        node.attr["shape"].shape.dim.add(size=size)
    return node


def small_graph(dtype: int = FLOAT) -> Any:
    """A frozen graph: images of 8 x 8 into one convolution, ``conv``."""
    graph = tf.compat.v1.GraphDef()
    placeholder(graph, "images", (-1, 8, 8, 3), dtype)
    constant(graph, "weights", np.ones((3, 3, 3, 4), "float32"))
    op(graph, "conv", "Conv2D", "images", "weights", strides=[1, 1, 1, 1], padding=b"SAME")
    return graph


def convert(graph: Any, directory: Path, **arguments: Any) -> Any:
    (directory / "bad.pb").write_bytes(graph.SerializeToString())
    return slim2keras.convert(directory / "bad.pb", **arguments)


def test_the_small_graph_is_a_good_one(tmp_path: Path) -> None:
    """What is refused below is refused for what was added."""
    model = convert(small_graph(), tmp_path)
    assert model.output_shape == (None, 8, 8, 4)
    assert slim2keras.verify(tmp_path / "bad.pb", model).passed


# What asks for too much


def applied(kind: str, *operands: Any, **attributes: Any) -> Damage:
    """An op on ``conv`` and on constants, and a convolution's activation behind it."""

    def damage(graph: Any) -> None:
        names = []
        for index, operand in enumerate(operands):
            names.append(operand if isinstance(operand, str) else f"operand_{index}")
            if not isinstance(operand, str):
                constant(graph, names[-1], operand)
        op(graph, "large", kind, *names, **attributes)
        op(graph, "end", "Add", "conv", "large")

    return damage


def sizes(*values: int) -> Any:
    return np.asarray(values, "int32")


def one_number_for_many(graph: Any) -> None:
    node = constant(graph, "many", np.float32(1.0))
    node.attr["value"].tensor.tensor_shape.dim.add(size=2**40)
    op(graph, "end", "Mul", "conv", "many")


def a_few_numbers_for_many_constants(graph: Any) -> None:
    last = "conv"
    for index in range(40):
        node = constant(graph, f"many_{index}", np.float32(1.0))
        node.attr["value"].tensor.tensor_shape.dim.add(size=2**24)
        last = op(graph, f"sum_{index}", "Add", last, node.name).name


def doubled(graph: Any) -> None:
    last = constant(graph, "two", np.ones(2, "float32")).name
    constant(graph, "axis", np.int32(0))
    for index in range(60):
        last = op(graph, f"twice_{index}", "ConcatV2", last, last, "axis", N=2).name
    op(graph, "end", "Mul", "conv", last)


def row_by_column(graph: Any) -> None:
    constant(graph, "row", np.ones((1, 2**16), "float32"))
    constant(graph, "column", np.ones((2**16, 1), "float32"))
    op(graph, "table", "Add", "row", "column")
    op(graph, "end", "Mul", "conv", "table")


def powers_of_sizes(graph: Any) -> None:
    graph.node[0].attr["shape"].shape.dim[1].size = -1
    last = op(graph, "shape", "Shape", "images").name
    constant(graph, "one", np.int32(1))
    for index in range(60):
        op(graph, f"more_{index}", "Add", last, "one", dtype=INT)
        last = op(graph, f"square_{index}", "Mul", f"more_{index}", f"more_{index}", dtype=INT).name
    op(graph, "end", "Reshape", "conv", last)


TOO_MUCH: dict[str, tuple[Damage, str]] = {
    "Fill": (applied("Fill", sizes(10**6, 10**6), np.float32(1)), "large: Fill takes nothing that depends on"),
    "Range": (applied("Range", np.float32(0), np.float32(1e12), np.float32(1)), "large: Range takes nothing"),
    "Tile": (applied("Tile", "conv", sizes(1, 10**6, 10**6, 1)), r"shape \(8000000, 8000000, 4\) for an image"),
    "Pad": (applied("Pad", "conv", np.full((4, 2), 2**31 - 1, "int32")), "which no network does"),
    "less than nothing": (applied("Pad", "conv", np.full((4, 2), -5, "int32")), r"\(-2, -2, -6\) for an image"),
    "Reshape": (applied("Reshape", "conv", sizes(-1, 10**6, 10**6)), r"\(1000000, 1000000\) for an image"),
    "ResizeBilinear": (applied("ResizeBilinear", "conv", sizes(10**6, 10**6)), "which no network does"),
    "SpaceToBatchND": (applied("SpaceToBatchND", "conv", sizes(10**6, 1), np.zeros((2, 2), "int32")), "applied|sense"),
    "DepthToSpace": (applied("DepthToSpace", "conv", block_size=10**9), "do not go together|large"),
    "Split": (applied("Split", np.int32(3), "conv", num_split=2**31 - 1), "2147483647 tensors \\(num_split\\)"),
    "Unpack": (applied("Unpack", "conv", num=10**9, axis=3), "1000000000 tensors"),
    "a pool of nothing": (applied("MaxPool", "conv", ksize=[1, 0, 0, 1], strides=[1, 0, 0, 1]), "large"),
    "a constant": (one_number_for_many, "the constant many cannot be read.*its values are not there"),
    "many constants": (a_few_numbers_for_many_constants, "take more than 1 GiB, and the file has not as many"),
    "a constant, doubled": (doubled, "do not go together|makes no sense|cannot be"),
    "a row and a column": (row_by_column, "do not go together|makes no sense|cannot be"),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_what_would_fill_the_memory_is_an_error(tmp_path: Path, what: str) -> None:
    """Before it does, in either direction: from numbers in the file, and from what is computed of them."""
    damage, message = TOO_MUCH[what]
    graph = small_graph()
    damage(graph)
    with pytest.raises((CheckpointReadError, UnsupportedGraphError), match=message):
        convert(graph, tmp_path)


def test_sizes_that_grow_without_end_are_left_to_tensorflow(tmp_path: Path) -> None:
    """Not multiplied out, which would take for ever; the model has what the graph has."""
    graph, started = small_graph(), time.monotonic()
    powers_of_sizes(graph)
    model = convert(graph, tmp_path)
    assert time.monotonic() - started < IMPATIENCE
    assert {layer.name for layer in model.layers} >= {"shape", "square_59"}


# What goes on for very long


def chain(kind: str, *more: str, start: str = "conv", dtype: int = FLOAT) -> Damage:
    def damage(graph: Any) -> None:
        constant(graph, "number", np.float32(1.5))
        placeholder(graph, "is_training", (), BOOL)
        last = start
        for index in range(25_000):
            last = op(graph, f"link_{index}", kind, last, *more, dtype=dtype).name
        op(graph, "end", "Mul", "conv", last)

    return damage


def around(graph: Any) -> None:
    op(graph, "there", "Relu", "back")
    op(graph, "back", "Add", "there", "conv")
    op(graph, "end", "Relu", "back")


def around_itself(graph: Any) -> None:
    op(graph, "self", "Identity", "self")
    op(graph, "end", "Add", "conv", "self")


def products_of_products(graph: Any) -> None:
    last = "conv"
    for index in range(200):
        last = op(graph, f"square_{index}", "Mul", last, last).name
    op(graph, "end", "Missing", last)


def endless_function(graph: Any) -> None:
    function = graph.library.function.add()
    function.signature.name = "endless"
    function.signature.input_arg.add(name="x", type=FLOAT)
    function.signature.output_arg.add(name="y", type=FLOAT)
    inner = function.node_def.add(name="again", op="PartitionedCall", input=["x"])
    inner.attr["f"].func.name = "endless"
    function.ret["y"] = "again:output:0"
    op(graph, "end", "PartitionedCall", "conv").attr["f"].func.name = "endless"


LONG: dict[str, tuple[Damage, str]] = {
    "identities": (chain("Identity"), "handed on by more than 1000 ops"),
    "sums": (chain("Add", "number"), "networks of more than 20000 are not imported"),
    "constants": (chain("Add", "number", start="number"), "networks of more than 20000 are not imported"),
    "activations": (chain("Relu"), "networks of more than 20000 are not imported"),
    "switches": (chain("Switch", "is_training"), "networks of more than 20000 are not imported"),
    "squares": (products_of_products, "Missing: end"),
    "a circle": (around, "goes in a circle"),
    "a node that takes itself": (around_itself, "goes in a circle"),
    "a function that calls itself": (endless_function, "call each other without end"),
}


@pytest.mark.parametrize("what", LONG)
def test_what_goes_on_and_on_comes_to_an_end(tmp_path: Path, what: str) -> None:
    """In an error, not in a recursion that is too deep, and not at night."""
    damage, message = LONG[what]
    graph, started = small_graph(), time.monotonic()
    damage(graph)
    with pytest.raises(UnsupportedGraphError, match=message):
        convert(graph, tmp_path, output_tensors=["end"])
    assert time.monotonic() - started < IMPATIENCE


def test_a_network_of_more_layers_than_python_recurs_is_built(tmp_path: Path) -> None:
    """tf_keras goes through a model by recursion."""
    graph, last = small_graph(), "conv"
    for index in range(1100):
        last = op(graph, f"relu_{index}", "Relu", last).name
    assert len(convert(graph, tmp_path).layers) == 1102


# What makes no sense


def without(node: str) -> Damage:
    def damage(graph: Any) -> None:
        del graph.node[[item.name for item in graph.node].index(node)]

    return damage


def changed(node: str, change: Callable[[Any], None]) -> Damage:
    return lambda graph: change(next(item for item in graph.node if item.name == node))


def renamed(name: str) -> Damage:
    return lambda graph: setattr(graph.node.add(op="NoOp"), "name", name)


NONSENSE: dict[str, tuple[Damage, str, ExitStatus]] = {
    "a node is missing": (without("weights"), "truncated: its node conv", ExitStatus.UNREADABLE),
    "a name twice": (renamed("conv"), "corrupt: it has two nodes conv", ExitStatus.UNREADABLE),
    "a name with a colon": (renamed("a:0"), "calls a node 'a:0'", ExitStatus.UNREADABLE),
    "a name of two lines": (renamed("a\nb"), r"calls a node 'a\\nb'", ExitStatus.UNREADABLE),
    "a name in Greek": (renamed("βάρη"), "calls a node 'βάρη'", ExitStatus.UNREADABLE),
    "no inputs": (changed("conv", lambda node: node.ClearField("input")), "makes no sense", ExitStatus.MISMATCH),
    "an output that is not there": (
        changed("conv", lambda node: node.input.__setitem__(1, "weights:7")),
        "uses weights:7",
        ExitStatus.MISMATCH,
    ),
    "no strides": (changed("conv", lambda node: node.attr.pop("strides")), "makes no sense|conv", ExitStatus.MISMATCH),
    "padding that is no text": (
        changed("conv", lambda node: setattr(node.attr["padding"], "s", b"\xff")),
        "UnicodeDecodeError",
        ExitStatus.MISMATCH,
    ),
    "a constant without value": (
        changed("weights", lambda node: node.attr.pop("value")),
        "the constant weights cannot be read",
        ExitStatus.UNREADABLE,
    ),
    "a type that there is none of": (
        changed("weights", lambda node: setattr(node.attr["value"].tensor, "dtype", 999)),
        "the constant weights cannot be read",
        ExitStatus.UNREADABLE,
    ),
    "fewer values than the shape has": (
        changed("weights", lambda node: setattr(node.attr["value"].tensor, "tensor_content", bytes(12))),
        "the constant weights cannot be read",
        ExitStatus.UNREADABLE,
    ),
    "sizes that do not go together": (
        applied("Relu", np.ones((5, 7), "float32")),
        "do not go together",
        ExitStatus.MISMATCH,
    ),
    "strides of 64 bits": (
        changed("conv", lambda node: node.attr["strides"].list.i.__setitem__(1, 2**40)),
        r"conv has strides \[1, 1099511627776, 1, 1\]",
        ExitStatus.MISMATCH,
    ),
    "text": (applied("Identity", np.array(b"rm -rf /")), "which is no number: b'rm -rf /'", ExitStatus.MISMATCH),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_what_makes_no_sense_is_an_error(tmp_path: Path, what: str) -> None:
    """With the node, and with the exit status of what cannot be read, or of what cannot be imported."""
    damage, message, status = NONSENSE[what]
    graph = small_graph()
    damage(graph)
    with pytest.raises(Slim2KerasError, match=message) as caught:
        convert(graph, tmp_path)
    assert caught.value.exit_status == status


@pytest.mark.parametrize("seed", range(30))
def test_a_file_with_a_few_other_bytes_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    """Whatever they are; nothing but our own errors comes of it."""
    random = np.random.RandomState(seed)
    content = bytearray(small_graph().SerializeToString())
    for place in random.randint(0, len(content), 1 + seed % 4):
        content[place] = random.randint(256)
    cut = len(content) if seed % 3 else random.randint(len(content))
    (tmp_path / "bytes.pb").write_bytes(bytes(content[:cut]))
    with contextlib.suppress(CheckpointReadError, UnsupportedGraphError):
        slim2keras.convert(tmp_path / "bytes.pb")


# What would do something


def writing(graph: Any, marker: Path, *inputs: str) -> None:
    """A node that creates a file when it runs."""
    constant(graph, "path", str(marker).encode())
    constant(graph, "content", b"it ran")
    graph.node.add(name="trap", op="WriteFile", input=["path", "content", *inputs])


HARMFUL = ("PyFunc", "EagerPyFunc", "PyFuncStateless", "ReadFile", "WriteFile", "SaveV2", "LoadDataset", "OfMyOwn")


@pytest.mark.parametrize("kind", HARMFUL)
def test_ops_that_do_more_than_compute_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    """All of them, with where to cut."""
    graph = small_graph()
    op(graph, "trap", kind, "conv")
    op(graph, "second", "OfNobody", "trap")
    op(graph, "end", "Relu", "second")
    with pytest.raises(UnsupportedGraphError) as caught:
        convert(graph, tmp_path, output_tensors=["end"])
    assert f"  {kind}: trap\n  OfNobody: second\n" in str(caught.value)
    assert "The nearest tensors before them, which can be imported:\n  conv\n" in str(caught.value)
    assert convert(graph, tmp_path, output_tensors=["conv"]).output_shape == (None, 8, 8, 4)


@pytest.mark.parametrize("edge", ["^trap", ""])
def test_what_lies_outside_of_the_network_never_runs(tmp_path: Path, edge: str) -> None:
    """Not beside it, not as what has to run before it; neither in importing nor in verifying."""
    graph, marker = small_graph(), tmp_path / "it_ran"
    writing(graph, marker)
    op(graph, "end", "Relu", "conv", *filter(None, [edge]))
    model = convert(graph, tmp_path, output_tensors=["end"])
    assert slim2keras.verify(tmp_path / "bad.pb", model).passed
    assert not marker.exists()


@pytest.mark.parametrize("attribute", ["strides", "dilations"])
def test_verify_does_not_run_what_ends_the_process(tmp_path: Path, attribute: str) -> None:
    """TensorFlow's optimiser for Intel's kernels does, of a number that has 64 bits."""
    graph = small_graph()
    model = convert(graph, tmp_path)
    graph.node[2].attr[attribute].list.i[:] = [1, 2**40, 1, 1]
    (tmp_path / "bad.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(UnsupportedGraphError, match=rf"conv has {attribute} \[1, 1099511627776, 1, 1\]"):
        slim2keras.verify(tmp_path / "bad.pb", model)


def test_verify_runs_nothing_that_took_the_place_of_the_graph(tmp_path: Path) -> None:
    """The graph that judges is read again, and may be another by then."""
    graph, marker = small_graph(), tmp_path / "it_ran"
    op(graph, "end", "Relu", "conv")
    model = convert(graph, tmp_path, output_tensors=["end"])
    writing(graph, marker)
    op(graph, "read", "ReadFile", "path")
    graph.node[3].input[0] = "read"
    (tmp_path / "bad.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(Slim2KerasError):
        slim2keras.verify(tmp_path / "bad.pb", model)
    assert not marker.exists()


# What is good, and not for us


def test_images_that_have_their_channels_first_are_an_error(tmp_path: Path) -> None:
    """With the ops, and what to do."""
    graph = small_graph()
    op(graph, "pool", "MaxPool", "conv", ksize=[1, 1, 2, 2], strides=[1, 1, 2, 2], padding=b"SAME", data_format=b"NCHW")
    with pytest.raises(UnsupportedGraphError, match=r"1 ops .* channels first:\n  pool \(MaxPool, NCHW\)\n(.|\n)*NHWC"):
        convert(graph, tmp_path)


@pytest.mark.parametrize("dtype", ["int32", "string"])
def test_images_that_are_no_floats_are_an_error(tmp_path: Path, dtype: str) -> None:
    """With the way out."""
    graph = small_graph(tf.as_dtype(dtype).as_datatype_enum)
    with pytest.raises(UnsupportedGraphError, match=rf"images has values of type {dtype}: only float.*--input-tensor"):
        convert(graph, tmp_path)


def test_a_loop_says_that_one_can_begin_behind_it(tmp_path: Path) -> None:
    """Detectors prepare their images in one; what comes after is a network."""
    graph = tf.compat.v1.GraphDef()
    placeholder(graph, "images", (-1, 8, 8, 3))
    op(graph, "enter", "Enter", "images")
    op(graph, "merge", "Merge", "enter", "next", N=2)
    op(graph, "condition", "LoopCond", "merge")
    op(graph, "switch", "Switch", "merge", "condition")
    op(graph, "next", "NextIteration", "switch:1")
    op(graph, "exit", "Exit", "switch")
    prepared = small_graph()
    prepared.node[2].input[0] = "exit"
    graph.node.extend(prepared.node[1:])
    with pytest.raises(UnsupportedGraphError, match=r"exit \(Exit\)(.|\n)*behind them(.|\n)*--input-tensor NAME"):
        convert(graph, tmp_path, output_tensors=["conv"])
    model = convert(graph, tmp_path, input_tensors=["exit"], output_tensors=["conv"], input_shape=(8, 8, 3))
    assert model.output_shape == (None, 8, 8, 4)


NAMED: dict[str, tuple[dict[str, Any], str]] = {
    "an output that is not there": ({"output_tensors": ["convv"]}, "no tensor 'convv'. Did you mean conv"),
    "an input that is not there": ({"input_tensors": ["image"]}, "no tensor 'image'. Did you mean images"),
    "a placeholder that is not there": ({"placeholder_values": {"keep": 1.0}}, "no tensor 'keep'"),
    "a value of another type": (
        {"placeholder_values": {"images": "twelve"}},
        r"takes values of type float32. Received: images='twelve'(.|\n)*--placeholder images=",
    ),
    "an output that takes no images": (
        {"output_tensors": ["weights"]},
        "No placeholder, queue or iterator of images leads",
    ),
    "an output that is the input": ({"output_tensors": ["images"]}, "nothing is computed. Name others"),
}


@pytest.mark.parametrize("what", NAMED)
def test_names_that_do_not_fit_are_an_error(tmp_path: Path, what: str) -> None:
    """With what is there."""
    arguments, message = NAMED[what]
    with pytest.raises(UnsupportedGraphError, match=message):
        convert(small_graph(), tmp_path, **arguments)


def test_what_is_said_against_a_graph_names_its_file(tmp_path: Path) -> None:
    """Whatever it is: a user may have given several files."""
    graph = small_graph()
    next(node for node in graph.node if node.op == "Placeholder").attr["shape"].shape.unknown_rank = True
    with pytest.raises(UnsupportedGraphError, match=r"\.pb"):
        convert(graph, tmp_path)
