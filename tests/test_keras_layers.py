"""Layers of our own compute what they say, and refuse what they do not know."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs.pure_ops import FLOAT32_OPS, LIST_OPERANDS, PURE_OPS
from slim2keras.outputs.allowed_names import OPS
from tests.reference import images

SHAPE = (4, 3)


def constant(value: Any, dtype: str = "int32") -> dict[str, Any]:
    return {"dtype": dtype, "value": value}


@pytest.fixture
def mixed_bfloat16() -> Iterator[None]:
    import tf_keras

    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    tf_keras.mixed_precision.set_global_policy("float32")


def ops_model() -> Any:
    """Batches, scalars, integers, lists, a second output: a reshape to a size that is computed."""
    import tf_keras

    from slim2keras.keras_layers import LooseVariable, TensorFlowOp

    x = tf_keras.Input(SHAPE, name="images")
    flat = TensorFlowOp("Reshape", {}, [None, constant([-1, 12])], name="flat")(x)
    shape = TensorFlowOp("Shape", {"out_type": "int32"}, [None], name="shape")(x)
    ends = [constant([0]), constant([1]), constant([1])]
    batch = TensorFlowOp("StridedSlice", {"shrink_axis_mask": 1}, [None, *ends], name="batch")(shape)
    size = TensorFlowOp("Pack", {"axis": 0}, [None, constant(3), constant(4)], name="size")(batch)
    turned = TensorFlowOp("Reshape", {}, [None, None], name="turned")([flat, size])
    table = LooseVariable((4, 2), initializer="ones", name="table")(x)
    product = TensorFlowOp("Einsum", {"equation": "bij,jk->bik"}, [None, None], name="product")([turned, table])
    joined = TensorFlowOp("ConcatV2", {}, [None, None, constant(2)], name="joined")([product, product])
    halved = TensorFlowOp("Mul", {}, [constant(0.5, "float32"), None], name="halved")(joined)
    largest = TensorFlowOp("TopKV2", {}, [None, constant(2)], 1, name="largest")(halved)
    cast = TensorFlowOp("Cast", {"DstT": "float32"}, [None], name="cast")(largest)
    mean = TensorFlowOp("Mean", {"keep_dims": False}, [None, constant([0, 1, 2])], name="mean")(halved)
    return tf_keras.Model(x, [halved, cast, mean])


def expected(x: np.ndarray) -> list[np.ndarray]:
    turned = x.reshape(len(x), 3, 4)
    halved = np.tile(turned.sum(2, keepdims=True) * 0.5, (1, 1, 4)).astype("float32")
    return [halved, np.tile([0.0, 1.0], (len(x), 3, 1)), halved.mean()]


def test_ops_compute_whatever_the_shapes_and_dtypes_are() -> None:
    """Called eagerly and in a function, on batches of any size."""
    import tensorflow as tf

    model = ops_model()
    for batch, call in ((2, model), (5, tf.function(model))):
        x = images(batch, (batch, *SHAPE))
        for ours, theirs in zip(call(x), expected(x), strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
def test_they_are_saved_and_loaded(tmp_path: Path, name: str) -> None:
    """By tf_keras' own reader, and bit for bit."""
    import tf_keras

    model, x = ops_model(), images(0, (2, *SHAPE))
    model.save(tmp_path / name)
    loaded = tf_keras.models.load_model(tmp_path / name, compile=False)
    for ours, theirs in zip(loaded(x), model(x), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.usefixtures("mixed_bfloat16")
def test_they_compute_in_half_precision() -> None:
    """Constants and variables take the dtype of the activations; integers stay, and some ops want float32."""
    import tf_keras

    from slim2keras.keras_layers import TensorFlowOp

    model, x = ops_model(), images(0, (2, *SHAPE))
    outputs = model(x)
    assert [output.dtype.name for output in outputs] == ["bfloat16", "float32", "bfloat16"]
    for ours, theirs in zip(outputs, expected(x), strict=True):
        np.testing.assert_allclose(ours.numpy().astype("float32"), theirs, rtol=0.02, atol=0.02)
    maps = tf_keras.Input((4, 4, 8))
    assert TensorFlowOp("LRN", {"depth_radius": 2}, [None])(maps).dtype.name == "bfloat16"


@pytest.mark.parametrize(
    ("op", "attributes", "operands", "output", "message"),
    [
        ("ReadFile", {}, [None], 0, "only compute"),
        ("__class__", {}, [None], 0, "only compute"),
        (["Abs"], {}, [None], 0, "only compute"),
        ("Mul", {}, [None], 0, "takes the operands"),
        ("Mul", {"Tout": "float32"}, [None, None], 0, "takes the operands"),
        ("Mul", {"name": "mine"}, [None, None], 0, "takes the operands"),
        ("Cast", {"DstT": {"class_name": "Lambda"}}, [None], 0, "must be plain"),
        ("Abs", [], [None], 0, "must be a mapping"),
        ("Abs", {}, [constant(1)], 0, "with a None"),
        ("Mul", {}, [None, constant("x", "str")], 0, "dtype 'str'"),
        ("Mul", {}, [None, constant([[1], [1, 2]])], 0, "an operand must be"),
        ("Mul", {}, [None, 0.5], 0, "an operand must be"),
        ("TopKV2", {}, [None, constant(1)], -1, "0 or greater"),
        ("MaxPool", {"ksize": [1, 2**40, 1, 1]}, [None], 0, "ksize of MaxPool must be of 32 bits"),
        ("Unpack", {"num": 2**31 - 1}, [None], 0, "num of Unpack must be 16384 or less"),
    ],
)
def test_a_config_of_strangers_is_refused(op: Any, attributes: Any, operands: Any, output: Any, message: str) -> None:
    """When the layer is made, before it is called."""
    from slim2keras.keras_layers import TensorFlowOp

    with pytest.raises(UnsupportedArgumentError, match=message):
        TensorFlowOp(op, attributes, operands, output)


def test_calls_that_do_not_fit_are_refused() -> None:
    """Other tensors than operands are open, or an output that the op does not have."""
    import tensorflow as tf

    from slim2keras.keras_layers import TensorFlowOp

    with pytest.raises(UnsupportedArgumentError, match="takes 2 tensors"):
        TensorFlowOp("Mul", {}, [None, None])(tf.ones(2))
    with pytest.raises(UnsupportedArgumentError, match="has 1 outputs"):
        TensorFlowOp("Abs", {}, [None], 1)(tf.ones(2))


@pytest.mark.parametrize("shape", [3, [-1], [2.0], [True], [1] * 9, "33"])
def test_a_variable_of_no_shape_is_refused(shape: Any) -> None:
    """Sizes are whole numbers, and few."""
    from slim2keras.keras_layers import LooseVariable

    with pytest.raises(UnsupportedArgumentError, match="shape must be"):
        LooseVariable(shape)


def test_a_loose_variable_learns_and_is_regularized() -> None:
    """As a weight of any layer; its ``trainable`` is that of any layer."""
    import tensorflow as tf

    from slim2keras.keras_layers import LooseVariable

    layer = LooseVariable((2,), initializer="ones", regularizer="l2", name="net/scale")
    np.testing.assert_array_equal(layer(tf.constant([1, 2, 3])).numpy(), [1.0, 1.0])
    assert [weight.name for weight in layer.trainable_weights] == ["net/scale/variable:0"]
    assert float(layer.losses[0]) == pytest.approx(0.02)
    still = LooseVariable.from_config({**layer.get_config(), "trainable": False})
    still(tf.ones(()))
    assert still.trainable_weights == []


def test_the_list_of_ops_is_tensorflows() -> None:
    """Every name is one, is allowed in a SavedModel, and has its operands before its attributes."""
    import tensorflow as tf

    assert PURE_OPS <= OPS
    assert FLOAT32_OPS | LIST_OPERANDS.keys() <= PURE_OPS
    for op in sorted(PURE_OPS):
        names = [*inspect.signature(getattr(tf.raw_ops, op)).parameters]
        assert names[-1] == "name"
        assert len(names) > 1
