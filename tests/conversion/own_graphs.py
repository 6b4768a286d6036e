"""A small network of nobody's zoo, and the files that its trainer leaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slim2keras.slim.runtime import import_tf_slim, slim_graph
from tests.reference import images, value

SHAPE = (12, 10, 3)
DECAY = 0.93

SOURCE = f'''"""A network as people write them."""

import tensorflow as tf
import tensorflow.contrib.slim as slim


def network(images, is_training, classes=3, fails=False):
    if fails:
        raise ValueError("as asked")
    norm = {{"is_training": is_training, "decay": {DECAY}}}
    with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm, normalizer_params=norm):
        first = slim.conv2d(images, 4, 3, scope="Own/first", weights_regularizer=slim.l2_regularizer(1e-3))
        second = slim.conv2d(first, 5, 3, stride=2, scope="Own/second")
    pooled = tf.reduce_mean(second, [1, 2], name="pool")
    return slim.fully_connected(pooled, classes, activation_fn=None, scope="Own/logits"), {{"the_first": first}}
'''


def network(images: Any, is_training: bool, classes: int = 3) -> Any:
    """The same, in the process of the tests."""
    import tensorflow as tf

    slim = import_tf_slim()
    norm = {"is_training": is_training, "decay": DECAY}
    with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm, normalizer_params=norm):
        first = slim.conv2d(images, 4, 3, scope="Own/first", weights_regularizer=slim.l2_regularizer(1e-3))
        second = slim.conv2d(first, 5, 3, stride=2, scope="Own/second")
    pooled = tf.reduce_mean(second, [1, 2], name="pool")
    return slim.fully_connected(pooled, classes, activation_fn=None, scope="Own/logits"), {"the_first": first}


@dataclass(frozen=True)
class OwnFiles:
    """What is left of training, and what the network says of ``batch``."""

    checkpoint: Path
    frozen: Path
    saved_model: Path
    source: Path
    batch: Any
    outputs: Any


def write_own(directory: Path) -> None:
    """Checkpoint with its ``.meta``, frozen graph, SavedModel, source; and outputs at inference."""
    import tensorflow as tf

    v1 = tf.compat.v1
    (directory / "own.py").write_text(SOURCE)
    with slim_graph() as graph, v1.Session(graph=graph) as session:
        placeholder = v1.placeholder(tf.float32, (None, *SHAPE), name="pictures")
        output, _ = network(placeholder, is_training=False)
        v1.train.get_or_create_global_step()
        assign(session)
        v1.train.Saver().save(session, str(directory / "model.ckpt"), global_step=7)
        v1.saved_model.simple_save(session, str(directory / "saved"), {"pictures": placeholder}, {"logits": output})
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [output.op.name])
        (directory / "frozen.pb").write_bytes(frozen.SerializeToString())
        np.save(directory / "outputs.npy", session.run(output, {placeholder: images(0, (2, *SHAPE))}))


def assign(session: Any) -> None:
    """Give every variable a value that is not trivial."""
    import tensorflow as tf

    session.run(tf.compat.v1.global_variables_initializer())
    for variable in tf.compat.v1.global_variables():
        if variable.dtype.base_dtype == tf.float32:
            variable.load(value(variable.op.name, tuple(variable.shape)), session)


def own_files(directory: Path) -> OwnFiles:
    return OwnFiles(
        checkpoint=directory / "model.ckpt-7",
        frozen=directory / "frozen.pb",
        saved_model=directory / "saved",
        source=directory / "own.py",
        batch=images(0, (2, *SHAPE)),
        outputs=np.load(directory / "outputs.npy"),
    )
