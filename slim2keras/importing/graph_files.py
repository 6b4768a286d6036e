"""Graph files as protocol buffers: a ``GraphDef``, a ``MetaGraphDef`` or a ``SavedModel``, binary or text.

A suffix promises little: a frozen graph in text is often called ``.pb``. So the content decides which of the three it
is, namely the one as which it holds nodes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from slim2keras.errors import CheckpointReadError
from slim2keras.graphs.pure_ops import LIST_LENGTHS, MOST_IN_LIST

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef

GraphMessage: TypeAlias = Any
"""A ``GraphDef``, a ``MetaGraphDef`` or a ``SavedModel``; none of them has types."""

GRAPH_SUFFIXES = (".pb", ".pbtxt")
"""Of files that are a graph and can be no checkpoint."""

SAVED_MODEL_NAMES = ("saved_model.pb", "saved_model.pbtxt")

LARGEST_GRAPH = 2**31 - 1
"""Bytes; protocol buffers end there."""

MOST_NODES = 2**20
"""Of a graph; training graphs on eight devices have a tenth."""

# A variable of every checkpoint of objects; no table compresses its names.
_OBJECT_GRAPH_KEY = b"_CHECKPOINTABLE_OBJECT_GRAPH"
# Source: tensorflow/core/framework/node_def_util.cc, with the underscore that its own optimisers begin with.
_NODE_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9_.\\/>-]*", re.ASCII)
_OP_NAME = re.compile(r"[A-Za-z_][\w>]*")
_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\r"))
# Bytes that show whether a file is text.
_HEAD = 4096


def is_graph_file(path: Path) -> bool:
    """Whether a path is that of a graph, which may hold the values of its variables, and of no checkpoint."""
    return path.suffix in GRAPH_SUFFIXES or saved_model_file(path) is not None


def saved_model_file(path: Path) -> Path | None:
    """The ``saved_model.pb`` of a SavedModel, which is given as that or as its directory; ``None`` if it is none."""
    if path.is_dir():
        return next((path / name for name in SAVED_MODEL_NAMES if (path / name).is_file()), None)
    return path if path.name in SAVED_MODEL_NAMES else None


def is_saved_model_of_objects(directory: Path) -> bool:
    """Whether a directory is a SavedModel of TensorFlow 2, which saves objects, where TensorFlow 1 saves a graph."""
    index = directory / "variables" / "variables.index"
    return saved_model_file(directory) is not None and index.is_file() and _OBJECT_GRAPH_KEY in index.read_bytes()


def parse_graph(content: bytes, path: Path) -> GraphMessage:
    """Take the content of a graph file as what it is.

    Args:
        path: Of the file, whatever its suffix.

    Raises:
        CheckpointReadError: If it is corrupt, or no graph.
    """
    parse = _parse_text if _is_text(content) else _parse_binary
    failures: list[Exception] = []
    for make in _kinds(path):
        try:
            message = parse(content, make())
        except _parse_errors() as error:
            failures.append(error)
            continue
        if all(map(_holds_nodes, graphs_of(message))):
            return message
    raise CheckpointReadError(
        f"{path} is no graph: {_what_is_wrong(content, failures)}. A .meta, a GraphDef (.pb, or .pbtxt for text) or a "
        "saved_model.pb of TensorFlow 1 is one. Copy the file again, or give another."
    )


def graphs_of(message: GraphMessage) -> Sequence[GraphDef]:
    """The graphs that a message holds."""
    if hasattr(message, "meta_graphs"):
        return [meta_graph.graph_def for meta_graph in message.meta_graphs] or [_new_graph()]
    return [message.graph_def if hasattr(message, "graph_def") else message]


def check_whole(graph: GraphDef, path: str) -> None:
    """Refuse a graph of which a part is missing: cut off between two nodes, a file still parses.

    Raises:
        CheckpointReadError: With a node whose input is not there.
    """
    names = {node.name for node in graph.node}
    if len(graph.node) > MOST_NODES:
        raise CheckpointReadError(
            f"{path} has {len(graph.node)} nodes, and graphs of more than {MOST_NODES} are not read. Give one of the "
            "network alone."
        )
    _check_names([node.name for node in graph.node], path)
    for node in graph.node:
        _check_counts(node, path)
        for name in node.input:
            if name.lstrip("^").partition(":")[0] not in names:
                raise CheckpointReadError(
                    f"{path} is truncated: its node {node.name} ({node.op}) takes {name}, which is not among its "
                    f"{len(names)} nodes. Copy the file again, or give another."
                )


def _check_names(names: Sequence[str], path: str) -> None:
    """Refuse names that TensorFlow refuses: they would be those of layers, and paths in the files of models."""
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    odd = next((name for name in names if not _NODE_NAME.fullmatch(name)), None)
    if twice is not None or odd is not None:
        what = f"has two nodes {twice}" if twice is not None else f"calls a node {odd!r:.80}"
        raise CheckpointReadError(
            f"{path} is corrupt: it {what}, which TensorFlow does not allow. Copy the file again, or give another."
        )


def _check_counts(node: NodeDef, path: str) -> None:
    """Refuse an op of so many tensors that TensorFlow fills the memory with their names."""
    for name in LIST_LENGTHS:
        if name in node.attr and node.attr[name].i > MOST_IN_LIST:
            raise CheckpointReadError(
                f"{path} is corrupt: its node {node.name} ({node.op}) has {node.attr[name].i} tensors ({name}). Copy "
                "the file again, or give another."
            )


def read_content(path: Path) -> bytes:
    """All of a graph file.

    Raises:
        CheckpointReadError: If it is missing or too large.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_GRAPH:
            raise CheckpointReadError(
                f"{path} is no graph that can be read: it has {size / 2**30:.1f} GiB, and a protocol buffer ends at 2. "
                "Give the graph without its weights, and the checkpoint that holds them."
            )
        return path.read_bytes()
    except OSError as error:
        raise CheckpointReadError(
            f"{path} cannot be read: {error.strerror or error}. Give a .meta, .pb or .pbtxt, or the directory of a "
            "SavedModel."
        ) from error


def _kinds(path: Path) -> list[Callable[[], Any]]:
    """Constructors of the messages that it may be, the one that its name promises first."""
    import tensorflow as tf
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    graph, meta_graph = tf.compat.v1.GraphDef, tf.compat.v1.MetaGraphDef
    if path.suffix == ".meta":
        return [meta_graph, graph, SavedModel]
    return [SavedModel, graph, meta_graph] if path.name in SAVED_MODEL_NAMES else [graph, SavedModel, meta_graph]


def _new_graph() -> GraphDef:
    import tensorflow as tf

    return tf.compat.v1.GraphDef()


def _is_text(content: bytes) -> bool:
    head = content[:_HEAD]
    return bool(head) and head.translate(None, _CONTROL_BYTES) == head


def _parse_binary(content: bytes, message: Any) -> Any:
    message.ParseFromString(content)
    return message


def _parse_text(content: bytes, message: Any) -> Any:
    from google.protobuf import text_format

    return text_format.Parse(content.decode("utf-8"), message)


def _parse_errors() -> tuple[type[Exception], ...]:
    from google.protobuf import message, text_format

    return message.DecodeError, text_format.ParseError, ValueError, RecursionError


def _holds_nodes(graph: GraphDef) -> bool:
    return bool(graph.node) and all(node.name and _OP_NAME.fullmatch(node.op) for node in graph.node)


def _what_is_wrong(content: bytes, failures: Sequence[Exception]) -> str:
    """What the parser that came furthest says of it."""
    if not content:
        return "it is empty"
    furthest = max(failures, key=_line, default=None)
    if furthest is None:
        return "it holds no nodes"
    if any(isinstance(failure, RecursionError) for failure in failures):
        return "it is nested too deeply"
    return str(furthest).splitlines()[0][:200].rstrip(".")


def _line(error: Exception) -> int:
    """Where a text ceases to be one, 0 of what is none."""
    return int(getattr(error, "GetLine", lambda: 0)() or 0)
