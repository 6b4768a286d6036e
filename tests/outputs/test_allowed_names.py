"""The classes and functions that a file may name."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tensorflow as tf
import tf_keras

from slim2keras.outputs import allowed_names

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning")


LAYERS_NOT_ALLOWED = {"Lambda", "DenseFeatures", "IntegerLookup", "StringLookup", "TextVectorization"}


def test_every_stock_class_was_judged() -> None:
    """A class that tf_keras adds to its layers, initializers and so on fails here before it fails a user."""
    for namespace, names in {
        tf_keras.layers: allowed_names.LAYERS,
        tf_keras.initializers: allowed_names.INITIALIZERS,
        tf_keras.regularizers: allowed_names.REGULARIZERS,
        tf_keras.constraints: allowed_names.CONSTRAINTS,
        tf_keras.optimizers: allowed_names.OPTIMIZERS,
        tf_keras.optimizers.schedules: allowed_names.SCHEDULES,
        tf_keras.losses: allowed_names.LOSSES,
        tf_keras.metrics: allowed_names.METRICS,
        tf_keras.mixed_precision: allowed_names.PRECISION,
    }.items():
        stock = {
            name for name, item in vars(namespace).items() if isinstance(item, type) and hasattr(item, "from_config")
        }
        assert stock - names <= LAYERS_NOT_ALLOWED, namespace
    assert allowed_names.REFUSED.keys() >= LAYERS_NOT_ALLOWED
    assert not allowed_names.CLASSES & allowed_names.REFUSED.keys()
    public = {name for name, item in vars(tf_keras.activations).items() if callable(item) and not name.startswith("_")}
    assert public - allowed_names.ACTIVATIONS == {"deserialize", "get", "serialize"}


def test_no_allowed_name_reaches_files_python_or_the_network() -> None:
    """The lists of functions and ops name things that exist, and none that sounds of a side effect."""
    outside = re.compile(
        "(?i)file|dir|path|py_?func|print|load|write|restore|dataset|proto|summary|table|remote|send|recv|map_fn|cond"
    )
    for function in allowed_names.FUNCTIONS:
        item: Any = tf_keras if function.startswith("keras.") else tf
        for part in function.removeprefix("keras.").split("."):
            item = getattr(item, part, None)
        assert callable(item), function
    assert not [name for name in allowed_names.FUNCTIONS if outside.search(name)]
    assert not [name for name in allowed_names.OPS if outside.search(name)]
    assert not [name for name in allowed_names.OPS - {"Conv"} if not hasattr(tf.raw_ops, name)]
