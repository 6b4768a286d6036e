"""What a graph file is, and what it tells besides its nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from slim2keras.errors import CheckpointReadError, UnsupportedGraphError
from slim2keras.files.output_files import sha256
from slim2keras.importing import graph_files
from slim2keras.importing.origins import whereabouts
from slim2keras.importing.sources import read_graph
from slim2keras.slim.runtime import import_tf_slim, slim_graph

v1 = tf.compat.v1


def lay_network() -> tuple[Any, Any]:
    """A convolution with BatchNorm and weight decay, an untrained variable, and a loss."""
    slim = import_tf_slim()
    images = v1.placeholder(tf.float32, (None, 8, 8, 3), name="pictures")
    net = slim.conv2d(
        images,
        4,
        3,
        normalizer_fn=slim.batch_norm,
        normalizer_params={"is_training": True},
        weights_regularizer=slim.l2_regularizer(1e-3),
        scope="net/conv1",
    )
    logits = slim.conv2d(net, 2, 1, trainable=False, scope="net/logits")
    v1.losses.mean_squared_error(tf.zeros_like(logits), logits)
    return images, logits


@pytest.fixture(scope="module")
def meta_graph() -> Any:
    with slim_graph() as graph:
        lay_network()
        return v1.train.export_meta_graph(graph=graph)


META: dict[str, Callable[[Any], bytes]] = {
    "model.ckpt-5.meta": lambda meta: meta.SerializeToString(),
    "text.meta": lambda meta: str(meta).encode(),
    "by_another_name.pb": lambda meta: meta.SerializeToString(),
}
GRAPH: dict[str, Callable[[Any], bytes]] = {
    "frozen.pb": lambda meta: meta.graph_def.SerializeToString(),
    "frozen.pbtxt": lambda meta: str(meta.graph_def).encode(),
    "text.pb": lambda meta: str(meta.graph_def).encode(),
    "by_another_name.meta": lambda meta: meta.graph_def.SerializeToString(),
    "without_suffix": lambda meta: meta.graph_def.SerializeToString(),
}


@pytest.mark.parametrize("name", [*META, *GRAPH])
def test_a_file_is_read_by_what_is_inside(tmp_path: Path, meta_graph: Any, name: str) -> None:
    """Binary or text, MetaGraphDef or GraphDef, whatever the suffix says."""
    (tmp_path / name).write_bytes({**META, **GRAPH}[name](meta_graph))
    source = read_graph(tmp_path / name)
    assert source.graph == meta_graph.graph_def
    assert source.path == str(tmp_path / name)
    assert source.kind == ("meta" if name in META else "frozen graph")


def test_a_meta_tells_what_trains_and_what_is_lost(tmp_path: Path, meta_graph: Any) -> None:
    """Trainable variables, regularization losses and losses, from the collections."""
    (tmp_path / "model.meta").write_bytes(meta_graph.SerializeToString())
    source = read_graph(tmp_path / "model.meta")
    assert source.trainable == {"net/conv1/weights", "net/conv1/BatchNorm/beta"}
    assert source.variables > source.trainable
    assert source.regularization_losses == ("net/conv1/kernel/Regularizer/l2_regularizer:0",)
    assert source.loss_tensors == ("mean_squared_error/value:0",)
    assert (source.input_tensors, source.output_tensors, source.checkpoint) == ((), (), None)


def test_names_of_variables_serve_as_well_as_messages(tmp_path: Path, meta_graph: Any) -> None:
    """Some collections hold names; a file without the collection does not know."""
    meta = type(meta_graph)()
    meta.CopyFrom(meta_graph)
    collection = meta.collection_def["trainable_variables"]
    collection.node_list.value.append("net/conv1/weights:0")
    (tmp_path / "names.meta").write_bytes(meta.SerializeToString())
    assert read_graph(tmp_path / "names.meta").trainable == {"net/conv1/weights"}
    del meta.collection_def["trainable_variables"]
    (tmp_path / "none.meta").write_bytes(meta.SerializeToString())
    assert read_graph(tmp_path / "none.meta").trainable is None
    meta.collection_def["trainable_variables"].bytes_list.value.append(b"\xff\xff\xff")
    (tmp_path / "corrupt.meta").write_bytes(meta.SerializeToString())
    with pytest.raises(CheckpointReadError, match="its trainable variables are none"):
        read_graph(tmp_path / "corrupt.meta")


def deep_text(_: bytes) -> bytes:
    """A text of messages within messages."""
    depth = 5000
    return (
        b"node { name: 'a' op: 'b' attr { value { " + b"func { attr { value { " * depth + b"} } } " * depth + b"} } }"
    )


def deep_binary(_: bytes) -> bytes:
    """The same as bytes: AttrValue within NameAttrList within AttrValue."""
    inner = b""
    for _level in range(400):
        entry = b"\x0a\x00\x12" + varint(len(inner)) + inner
        attributes = b"\x12" + varint(len(entry)) + entry
        inner = b"\x52" + varint(len(attributes)) + attributes
    entry = b"\x0a\x01a\x12" + varint(len(inner)) + inner
    node = b"\x0a\x01a\x12\x01b\x2a" + varint(len(entry)) + entry
    return b"\x0a" + varint(len(node)) + node


def varint(number: int) -> bytes:
    head = b""
    while number > 127:
        head, number = head + bytes([number & 127 | 128]), number >> 7
    return head + bytes([number])


CORRUPT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "it is empty"),
    "random": (lambda _: np.random.RandomState(0).bytes(5000), "is no graph"),
    "zeros": (lambda _: bytes(5000), "is no graph"),
    "truncated": (lambda whole: whole[: len(whole) // 2], "is no graph|is truncated"),
    "truncated early": (lambda whole: whole[:9], "is no graph"),
    "a byte more": (lambda whole: whole + b"\x0b", "is no graph"),
    "prose": (
        lambda _: b"dear diary, today I trained a network",
        r'is no graph: 1:1 .* no field named "dear"\. A .meta',
    ),
    "json": (lambda _: b'{"class_name": "Functional"}', "is no graph"),
    "HDF5": (lambda _: b"\x89HDF\r\n\x1a\n" + bytes(100), "is no graph"),
    "an image": (lambda _: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, "is no graph"),
    "text that breaks off": (lambda _: b'node {\n  name: "a"\n  op: "b"\n', "is no graph: 4:1|is no graph: 3"),
    "text of another message": (lambda _: b'model_checkpoint_path: "model.ckpt-5"\n', "is no graph"),
    "text nested deeply": (deep_text, "is no graph: it is nested too deeply"),
    "nested deeply": (deep_binary, "is no graph"),
}


@pytest.mark.parametrize("suffix", [".meta", ".pb", ".pbtxt"])
@pytest.mark.parametrize("damage", CORRUPT)
def test_what_is_no_graph_is_one_clear_error(tmp_path: Path, meta_graph: Any, damage: str, suffix: str) -> None:
    """Which file, what is wrong with it, and what would be one."""
    make, message = CORRUPT[damage]
    whole = meta_graph if suffix == ".meta" else meta_graph.graph_def
    (tmp_path / f"model{suffix}").write_bytes(make(whole.SerializeToString()))
    with pytest.raises(CheckpointReadError, match=message) as caught:
        read_graph(tmp_path / f"model{suffix}")
    assert f"model{suffix}" in str(caught.value)
    assert "Copy the file again, or give another." in str(caught.value)


def test_a_graph_cut_off_between_two_nodes_is_found_out(tmp_path: Path, meta_graph: Any) -> None:
    """It still parses; a node whose input is missing gives it away."""
    graph = type(meta_graph.graph_def)()
    graph.CopyFrom(meta_graph.graph_def)
    del graph.node[0]
    (tmp_path / "cut.pb").write_bytes(graph.SerializeToString())
    with pytest.raises(CheckpointReadError, match=r"cut.pb is truncated: its node .* takes pictures"):
        read_graph(tmp_path / "cut.pb")


def test_what_is_not_there_or_too_large_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is read."""
    with pytest.raises(CheckpointReadError, match=r"nowhere.pb cannot be read: No such file"):
        read_graph(tmp_path / "nowhere.pb")
    with pytest.raises(CheckpointReadError, match=r"is a directory without saved_model.pb"):
        read_graph(tmp_path)
    (tmp_path / "large.pb").write_bytes(bytes(100))
    monkeypatch.setattr(graph_files, "LARGEST_GRAPH", 99)
    with pytest.raises(CheckpointReadError, match=r"a protocol buffer ends at 2\. Give the graph without its weights"):
        read_graph(tmp_path / "large.pb")


def write_saved_model(directory: Path, signatures: tuple[str, ...] = ("serving_default",), tag: str = "serve") -> Path:
    with slim_graph() as graph, v1.Session(graph=graph) as session:
        images, logits = lay_network()
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def(
            {"pictures": info(images)}, {"scores": info(logits), "images": info(images)}
        )
        builder = v1.saved_model.Builder(str(directory))
        builder.add_meta_graph_and_variables(session, [tag], dict.fromkeys(signatures, signature))
        builder.save()
    return directory


@pytest.mark.parametrize("tag", ["serve", "train"])
@pytest.mark.parametrize("signature", ["serving_default", "classify"])
def test_a_saved_model_tells_its_inputs_and_outputs(tmp_path: Path, tag: str, signature: str) -> None:
    """By the serving signature, or the only one; its directory and its file are the same."""
    directory = write_saved_model(tmp_path / "saved", (signature,), tag)
    for path in (directory, directory / "saved_model.pb"):
        source = read_graph(path)
        assert (source.kind, source.path) == ("saved model", str(path))
        assert source.input_tensors == ("pictures:0",)
        assert source.output_tensors == ("pictures:0", "net/logits/Relu:0")
        assert source.end_points == {"images": "pictures:0", "scores": "net/logits/Relu:0"}
        assert source.checkpoint == directory / "variables" / "variables"
        assert source.trainable == {"net/conv1/weights", "net/conv1/BatchNorm/beta"}


def test_of_several_signatures_the_serving_one_counts(tmp_path: Path) -> None:
    """Without it nothing is known."""
    several = write_saved_model(tmp_path / "several", ("classify", "serving_default"))
    assert read_graph(several).input_tensors == ("pictures:0",)
    others = write_saved_model(tmp_path / "others", ("classify", "regress"))
    assert read_graph(others).input_tensors == ()


def test_a_saved_model_of_tensorflow_2_is_refused(tmp_path: Path) -> None:
    """It has objects and functions where TensorFlow 1 has a graph."""
    module = tf.Module()
    module.weights = tf.Variable(tf.ones((2, 3)))
    module.call = tf.function(lambda x: x @ module.weights, [tf.TensorSpec((None, 2))])
    tf.saved_model.save(module, str(tmp_path / "saved"))
    with pytest.raises(UnsupportedGraphError, match=r"TensorFlow 2(.|\n)*tf_keras.models.load_model"):
        read_graph(tmp_path / "saved")
    assert graph_files.is_saved_model_of_objects(tmp_path / "saved")
    assert not graph_files.is_saved_model_of_objects(write_saved_model(tmp_path / "graph"))


def test_the_hash_is_of_what_was_read(tmp_path: Path, meta_graph: Any) -> None:
    """And not of what lies there when a report is written."""
    path = tmp_path / "model.ckpt-5.meta"
    path.write_bytes(meta_graph.SerializeToString())
    before, source = sha256(path), read_graph(path)
    path.write_bytes(b"another")
    assert whereabouts(source)["sha256"] == before
