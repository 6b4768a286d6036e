"""Where a TensorFlow 1 graph comes from, and what its file tells besides: collections, signature, variables."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slim2keras.errors import CheckpointReadError, UnsupportedGraphError
from slim2keras.importing.damage import told_as_damage, told_of
from slim2keras.importing.function_calls import laid_out
from slim2keras.importing.graph_files import (
    GraphMessage,
    check_whole,
    graphs_of,
    parse_graph,
    read_content,
    saved_model_file,
)
from slim2keras.importing.nodes import VARIABLES

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.protobuf.meta_graph_pb2 import CollectionDef, MetaGraphDef, SignatureDef, TensorInfo
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

_SERVING_TAG = "serve"
_SERVING_SIGNATURE = "serving_default"
_LOSSES = "losses"
"""The collection of ``tf.losses`` and ``slim.losses``."""


@dataclass(frozen=True, eq=False)
class GraphSource:
    """A graph as it was read or traced, whole, and what is known of it besides.

    Attributes:
        graph: All of it: with input pipeline, losses, gradients and saver, as far as it has them.
        path: What to call it: as given, or the qualified name of a function.
        kind: ``"meta"``, ``"frozen graph"``, ``"saved model"`` or ``"function"``.
        trainable: Names of the trainable variables, ``None`` where nothing tells them.
        regularization_losses: Tensors in the collection of that name.
        loss_tensors: Tensors in the collection ``losses``.
        input_tensors: Known from a signature or a function; else empty.
        output_tensors: The same.
        end_points: End point, by the name that a function or a signature has for it, to its tensor.
        checkpoint: Prefix of the variables of a SavedModel.
        sha256: Of the file, of what was read; ``None`` of a function.
    """

    graph: GraphDef
    path: str
    kind: str
    trainable: frozenset[str] | None = None
    regularization_losses: tuple[str, ...] = ()
    loss_tensors: tuple[str, ...] = ()
    input_tensors: tuple[str, ...] = ()
    output_tensors: tuple[str, ...] = ()
    end_points: Mapping[str, str] = field(default_factory=dict)
    checkpoint: Path | None = None
    sha256: str | None = None

    @property
    def variables(self) -> frozenset[str]:
        """Names of all variables of the graph."""
        return frozenset(node.name for node in self.graph.node if node.op in VARIABLES)


def read_graph(path: str | Path) -> GraphSource:
    """Read a graph from a file.

    Args:
        path: ``.meta``; ``.pb`` or ``.pbtxt`` with a GraphDef; or a SavedModel of TensorFlow 1, its directory or its
            ``saved_model.pb``. What is inside decides, not the suffix.

    Raises:
        CheckpointReadError: If it is missing, truncated, corrupt, or no graph.
        UnsupportedGraphError: If it is a SavedModel of TensorFlow 2.
    """
    path = Path(path)
    file = saved_model_file(path) or path
    if file.is_dir():
        raise CheckpointReadError(
            f"{path} is a directory without saved_model.pb. Give a .meta, .pb or .pbtxt, or a SavedModel's directory."
        )
    content = read_content(file)
    message = parse_graph(content, file)
    for graph in graphs_of(message):
        check_whole(graph, str(path))
    with told_of(str(path)), told_as_damage(str(path)):
        return replace(_source_of(message, path, file), sha256=hashlib.sha256(content).hexdigest())


def _source_of(message: GraphMessage, path: Path, file: Path) -> GraphSource:
    if hasattr(message, "meta_graphs"):
        return _of_saved_model(message, path, file.parent)
    if hasattr(message, "graph_def"):
        return source_of_meta_graph(message, str(path), "meta")
    return GraphSource(laid_out(message), str(path), "frozen graph")


def source_of_meta_graph(meta_graph: MetaGraphDef, path: str, kind: str, **known: object) -> GraphSource:
    """A graph with what its collections tell.

    Args:
        known: Further attributes of the source.
    """
    import tensorflow as tf

    collections, keys = meta_graph.collection_def, tf.compat.v1.GraphKeys
    trainable = None
    if keys.TRAINABLE_VARIABLES in collections:
        trainable = frozenset(_variable_names(collections[keys.TRAINABLE_VARIABLES], path))
    return GraphSource(
        graph=laid_out(meta_graph.graph_def),
        path=path,
        kind=kind,
        trainable=trainable,
        regularization_losses=_names_in(collections, keys.REGULARIZATION_LOSSES),
        loss_tensors=_names_in(collections, _LOSSES),
        **known,  # type: ignore[arg-type]
    )


def _names_in(collections: Mapping[str, CollectionDef], key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(collections[key].node_list.value)) if key in collections else ()


def _variable_names(collection: CollectionDef, path: str) -> list[str]:
    """Names of the ops of a collection's variables, which are there as messages or by name."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework.variable_pb2 import VariableDef

    try:
        names = [VariableDef.FromString(value).variable_name for value in collection.bytes_list.value]
    except DecodeError as error:
        raise CheckpointReadError(
            f"{path} is corrupt: its trainable variables are none, {error}. Copy the file again, or give another."
        ) from error
    return [name.partition(":")[0] for name in (*names, *collection.node_list.value)]


def _of_saved_model(message: SavedModel, path: Path, directory: Path) -> GraphSource:
    meta_graph = next(
        (item for item in message.meta_graphs if _SERVING_TAG in item.meta_info_def.tags), message.meta_graphs[0]
    )
    if meta_graph.object_graph_def.nodes:
        raise UnsupportedGraphError(
            f"{path} is a SavedModel of TensorFlow 2: it holds objects and functions, and not the one graph of "
            "TensorFlow 1. tf_keras.models.load_model reads it if Keras wrote it."
        )
    signature = _serving_signature(meta_graph)
    inputs, outputs = ({}, {}) if signature is None else (_tensors(signature.inputs), _tensors(signature.outputs))
    prefix = directory / "variables" / "variables"
    return source_of_meta_graph(
        meta_graph,
        str(path),
        "saved model",
        input_tensors=tuple(inputs.values()),
        output_tensors=tuple(outputs.values()),
        end_points=outputs,
        checkpoint=prefix if Path(f"{prefix}.index").is_file() else None,
    )


def _serving_signature(meta_graph: MetaGraphDef) -> SignatureDef | None:
    """The signature to serve by: the one of that name, or the only one."""
    signatures = meta_graph.signature_def
    if _SERVING_SIGNATURE in signatures:
        return signatures[_SERVING_SIGNATURE]
    return next(iter(signatures.values())) if len(signatures) == 1 else None


def _tensors(infos: Mapping[str, TensorInfo]) -> dict[str, str]:
    """Tensor by the name that the signature has for it, sorted; sparse ones, which have several, are left out."""
    return {key: infos[key].name for key in sorted(infos) if infos[key].name}
