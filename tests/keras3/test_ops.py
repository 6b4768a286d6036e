"""Ops of imported graphs in Keras 3, each against TensorFlow's own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from slim2keras.errors import UnsupportedGraphError
from slim2keras.graphs.pure_ops import PURE_OPS
from slim2keras.keras3 import layers as _layers
from slim2keras.keras3.applied_op import AppliedOp
from slim2keras.keras3.building import to_keras3
from slim2keras.keras3.op_table import OPS
from slim2keras.keras3.registration import own_layers
from slim2keras.keras_layers import outputs_of
from tests.keras3.networks import applying, constant, model_of
from tests.keras3.test_building import difference
from tests.reference import images

assert _layers

NOT_POSSIBLE = frozenset(
    """
    BatchToSpace CropAndResize Cumprod DepthwiseConv2dNativeBackpropInput Dilation2D
    ExtractImagePatches GatherNd InvertPermutation LinSpace MatrixDiag MaxPoolV2 MaxPoolWithArgmax Mod Range Reverse
    ResizeArea ResizeBicubic ScatterNd SpaceToBatch
    """.split()  # noqa: SIM905  as pure_ops has them
)
"""Ops that a tf_keras model may have, and a Keras 3 model may not."""

WINDOW: dict[str, Any] = {"strides": [1, 2, 2, 1], "padding": "SAME", "data_format": "NHWC"}
POOL: dict[str, Any] = {**WINDOW, "ksize": [1, 3, 2, 1]}
KERNEL = images(7, (3, 2, 3, 4))
CASES: list[tuple[str, dict[str, Any], list[Any]]] = [
    *((op, {}, [None]) for op in ("Abs", "Ceil", "Cos", "Elu", "Erf", "Erfc", "Exp", "Expm1", "Floor", "Identity")),
    *((op, {}, [None]) for op in ("L2Loss", "LogSoftmax", "Neg", "OnesLike", "Relu", "Relu6", "Rint", "Round")),
    *((op, {}, [None]) for op in ("Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign")),
    *((op, {}, [None]) for op in ("Square", "StopGradient", "Tan", "Tanh", "ZerosLike", "Inv", "Reciprocal", "Cosh")),
    *((op, {}, [None]) for op in ("Acos", "Asin", "Atan")),
    *((op, {}, [None, images(1, (3,))]) for op in ("Add", "AddV2", "Atan2", "DivNoNan", "FloorDiv", "FloorMod")),
    *((op, {}, [None, images(1, (3,))]) for op in ("Maximum", "Minimum", "Mul", "RealDiv", "SquaredDifference")),
    *((op, {}, [None, images(1, (3,))]) for op in ("Sub", "Div", "Greater", "GreaterEqual", "Less", "LessEqual")),
    *((op, {}, [None, images(1, (3,))]) for op in ("Equal", "NotEqual")),
    ("Pow", {}, [None, np.float32(3)]),
    ("LeakyRelu", {"alpha": 0.1}, [None]),
    ("BiasAdd", {"data_format": "NHWC"}, [None, images(1, (3,))]),
    ("ClipByValue", {}, [None, np.float32(-0.5), np.float32(0.25)]),
    *(
        (op, {"keep_dims": keep}, [None, [1, 2]])
        for op in ("Max", "Mean", "Min", "Prod", "Sum")
        for keep in (True, False)
    ),
    ("Sum", {}, [None, np.zeros(0, "int32")]),
    ("ArgMax", {"output_type": "int32"}, [None, 3]),
    ("ArgMin", {"output_type": "int64"}, [None, 1]),
    *(("Cumsum", {"exclusive": e, "reverse": r}, [None, 1]) for e in (True, False) for r in (True, False)),
    ("TopKV2", {"sorted": True}, [None, 2]),
    ("BroadcastTo", {}, [None, [5, 2, 6, 8, 3]]),
    ("ExpandDims", {}, [None, -2]),
    ("GatherV2", {}, [None, [2, 0], 3]),
    ("Gather", {}, [None, [1, 0, 1]]),
    ("MirrorPad", {"mode": "REFLECT"}, [None, [[0, 0], [1, 2], [2, 0], [0, 0]]]),
    ("MirrorPad", {"mode": "SYMMETRIC"}, [None, [[0, 0], [1, 2], [2, 0], [0, 0]]]),
    ("Pad", {}, [None, [[0, 0], [1, 2], [2, 0], [0, 1]]]),
    ("PadV2", {}, [None, [[0, 0], [1, 2], [2, 0], [0, 1]], np.float32(2)]),
    ("Rank", {}, [None]),
    ("Reshape", {}, [None, [-1, 12, 4]]),
    ("ReverseV2", {}, [None, [1, 3]]),
    ("Roll", {}, [None, [1, 2], [1, 2]]),
    ("Shape", {"out_type": "int32"}, [None]),
    ("Size", {}, [None]),
    ("Slice", {}, [None, [0, 1, 2, 0], [-1, 3, -1, 2]]),
    ("SplitV", {"num_split": 2}, [None, [1, -1], 3]),
    ("Squeeze", {"axis": []}, [None]),
    ("StridedSlice", {"begin_mask": 5, "end_mask": 1, "ellipsis_mask": 2}, [None, [0, 0, 0], [0, 0, 2], [1, 1, 1]]),
    ("StridedSlice", {"begin_mask": 15, "end_mask": 15}, [None, [0] * 4, [0] * 4, [1, 2, 1, -1]]),
    (
        "StridedSlice",
        {"new_axis_mask": 2, "shrink_axis_mask": 8, "begin_mask": 1, "end_mask": 1},
        [None, [0, 0, 1, 2], [0, 0, 5, 3], [1, 1, 2, 1]],
    ),
    ("Tile", {}, [None, [1, 2, 1, 3]]),
    ("Transpose", {}, [None, [0, 3, 1, 2]]),
    ("SpaceToDepth", {"block_size": 2, "data_format": "NHWC"}, [None]),
    ("SpaceToBatchND", {}, [None, [2, 3], [[1, 1], [0, 1]]]),
    ("Conv2D", {**WINDOW, "dilations": [1, 1, 1, 1]}, [None, KERNEL]),
    ("Conv2D", {**WINDOW, "strides": [1] * 4, "dilations": [1, 2, 2, 1], "padding": "VALID"}, [None, KERNEL]),
    ("Conv2D", {**WINDOW, "padding": "EXPLICIT", "explicit_paddings": [0, 0, 2, 1, 0, 1, 0, 0]}, [None, KERNEL]),
    ("DepthwiseConv2dNative", WINDOW, [None, images(8, (3, 3, 3, 2))]),
    ("AvgPool", POOL, [None]),
    ("AvgPool", {**POOL, "padding": "VALID"}, [None]),
    ("MaxPool", POOL, [None]),
    ("LRN", {"depth_radius": 2, "bias": 1.0, "alpha": 0.3, "beta": 0.75}, [None]),
    ("FusedBatchNormV3", {"is_training": False, "epsilon": 1e-3}, [None, *(np.abs(images(n, (3,))) for n in range(4))]),
    ("FusedBatchNormV3", {"is_training": True}, [None, *(images(n, (3,)) for n in range(4))]),
    *(
        (f"Resize{kind}", {"align_corners": corners, "half_pixel_centers": centres}, [None, size])
        for kind in ("Bilinear", "NearestNeighbor")
        for corners, centres in ((True, False), (False, True), (False, False))
        for size in ([9, 16], [4, 3])
    ),
    ("Einsum", {"equation": "bhwc,cd->bhwd"}, [None, images(2, (3, 5))]),
    ("BatchMatMulV2", {"adj_x": True, "adj_y": False}, [None, images(2, (8, 5))]),
    ("OneHot", {"axis": -1}, [[0, 2, 1], 3, np.float32(2), np.float32(-1)]),
]
"""Op, attributes, and operands: the images, and constants."""


def named(case: tuple[str, dict[str, Any], list[Any]]) -> str:
    return f"{case[0]}-{len(str(case[1]))}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_an_op_gives_what_tensorflow_gives(case: tuple[str, dict[str, Any], list[Any]]) -> None:
    """Values, shape, and every output of it."""
    op, attributes, given = case
    x = images(0, (2, 6, 8, 3))
    tensor = keras.ops.convert_to_tensor(x)
    operands = [x if item is None else constant(item) for item in given]
    plain = [item if isinstance(item, np.ndarray) else np.asarray(item["value"], item["dtype"]) for item in operands]
    wanted = outputs_of(op, attributes, [tf.constant(item) for item in plain])
    for output in range(2 if op in ("TopKV2", "SplitV") else 1):
        config = {"op": op, "attributes": attributes, "operands": [None if i is None else constant(i) for i in given]}
        found = AppliedOp.from_config({**config, "output": output}).to([tensor] if None in given else [])
        assert tuple(found.shape) == tuple(wanted[output].shape)
        np.testing.assert_allclose(found, wanted[output], rtol=2e-6, atol=2e-6)


def test_every_op_is_possible_or_is_known_not_to_be() -> None:
    """What may be imported, and what of it Keras 3 can have."""
    assert PURE_OPS - OPS.keys() == NOT_POSSIBLE


CHAINS: dict[str, Any] = {
    "arithmetic": applying(
        ("Shape", {"out_type": "int32"}, [-1]),
        ("StridedSlice", {}, [0, [1], [3], [1]]),
        ("Mul", {}, [1, [2, 2]]),
        ("ResizeBilinear", {"align_corners": True, "half_pixel_centers": False}, [-1, 2]),
        shape=(None, None, 3),
    ),
    "flat": applying(
        ("Shape", {"out_type": "int32"}, [-1]),
        ("StridedSlice", {"shrink_axis_mask": 1}, [0, [0], [1], [1]]),
        ("Pack", {"axis": 0}, [1, np.int32(-1), np.int32(3)]),
        ("Reshape", {}, [-1, 2]),
        shape=(None, None, 3),
    ),
    "of floats": applying(
        ("Shape", {"out_type": "int32"}, [-1]),
        ("Cast", {"DstT": "float32"}, [0]),
        ("Prod", {"keep_dims": False}, [1, [0]]),
        ("RealDiv", {}, [-1, 2]),
        shape=(None, None, 3),
    ),
}
"""Graphs whose sizes are computed of shapes."""


@pytest.mark.parametrize("name", CHAINS)
def test_sizes_are_computed_by_the_op_that_takes_them(name: str) -> None:
    """Of open ones too, when a network runs by itself and when it is compiled."""
    model = model_of(CHAINS[name])
    built = to_keras3(model)
    assert len(built.layers) == 2
    for shape in ((2, 6, 8, 3), (3, 4, 10, 3)):
        assert difference(model, built, images(0, shape)) <= 1e-6
        np.testing.assert_allclose(built.predict(images(0, shape), verbose=0), built(images(0, shape)), rtol=1e-6)


def test_a_file_with_an_op_loads_again() -> None:
    """With its constants, and the shapes that TensorFlow told."""
    model = model_of(CHAINS["flat"])
    built = to_keras3(model)
    copy = keras.Model.from_config(built.get_config())
    assert own_layers(copy) == ["TensorFlowOp(Reshape)"]
    assert difference(model, copy, images(0, (2, 6, 8, 3))) == 0


def test_an_op_without_an_equal_is_named() -> None:
    """Op, layer, and what to do."""
    network = applying(("ResizeArea", {"align_corners": False}, [-1, [3, 4]]))
    with pytest.raises(UnsupportedGraphError, match=r"net/op0: ResizeArea is not possible in Keras 3: .*SavedModel"):
        to_keras3(model_of(network))


def test_a_way_of_calling_an_op_is_named_too() -> None:
    """Channels first, of which PyTorch and TensorFlow have kernels on different machines."""
    network = applying(("SpaceToDepth", {"block_size": 2, "data_format": "NCHW"}, [-1]), shape=(3, 6, 8))
    model = to_keras3(model_of(network))
    with pytest.raises(UnsupportedGraphError, match=r"net/op0: SpaceToDepth is not possible .* NCHW"):
        model(images(0, (2, 3, 6, 8)))
