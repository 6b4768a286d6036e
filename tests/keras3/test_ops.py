"""Ops of imported graphs in Keras 3, each against TensorFlow's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from slim2keras.errors import UnsupportedGraphError
from slim2keras.graphs.pure_ops import PURE_OPS
from slim2keras.keras3.building import to_keras3
from slim2keras.keras3.op_table import OPS
from slim2keras.keras3.registration import own_layers
from slim2keras.keras_layers import outputs_of
from tests.keras3.backends import QUICK_FIRST, run_module
from tests.keras3.networks import applying, model_of
from tests.keras3.op_cases import CASES, IMAGES, KERNEL, WINDOW, Case, constant, images, outputs_asked_for, results
from tests.keras3.test_building import difference

NOT_POSSIBLE = frozenset(
    """
    BatchToSpace CropAndResize Cumprod DepthwiseConv2dNativeBackpropInput Dilation2D
    ExtractImagePatches GatherNd InvertPermutation LinSpace MatrixDiag MaxPoolV2 MaxPoolWithArgmax Mod Range Reverse
    ResizeArea ResizeBicubic ScatterNd SpaceToBatch
    """.split()  # noqa: SIM905  as pure_ops has them
)
"""Ops that a tf_keras model may have, and a Keras 3 model may not."""


def in_tensorflow(case: Case) -> list[np.ndarray]:
    """The outputs that TensorFlow's own op gives."""
    op, attributes, given = case
    operands = [
        IMAGES if item is None else np.asarray(constant(item)["value"], constant(item)["dtype"]) for item in given
    ]
    outputs = outputs_of(op, attributes, [tf.constant(item) for item in operands])
    return [np.asarray(item) for item in outputs[: outputs_asked_for(case)]]


@pytest.mark.parametrize("backend", QUICK_FIRST)
def test_every_op_gives_what_tensorflow_gives(backend: str, tmp_path: Path) -> None:
    """Values and shapes of every output."""
    if backend == keras.backend.backend():
        found = results()
    else:
        run_module(backend, "tests.keras3.op_cases", tmp_path / "found.npz")
        with np.load(tmp_path / "found.npz") as arrays:
            found = dict(arrays)
    for place, case in enumerate(CASES):
        for output, wanted in enumerate(in_tensorflow(case)):
            result = found[f"{place}/{output}"]
            assert result.shape == wanted.shape, case
            np.testing.assert_allclose(result, wanted, rtol=3e-6, atol=3e-6, err_msg=str(case))


def test_every_op_of_the_table_is_tried() -> None:
    """Or in the graphs below, or in the networks of ``tests/importing``."""
    assert OPS.keys() - {op for op, *_ in CASES} <= TRIED_ELSEWHERE


def test_every_op_is_possible_or_is_known_not_to_be() -> None:
    """What may be imported, and what of it Keras 3 can have."""
    assert PURE_OPS - OPS.keys() == NOT_POSSIBLE


TRIED_ELSEWHERE = frozenset(
    """
    AddN All Any AvgPool3D BatchMatMul BatchMatMulV3 BatchToSpaceND Cast Concat ConcatV2 Conv2DBackpropInput Conv3D
    Conv3DBackpropInputV2 DepthToSpace Fill FusedBatchNorm FusedBatchNormV2 Log Log1p LogicalAnd LogicalNot LogicalOr
    MatMul MaxPool3D Pack Rsqrt SelectV2 Split Sqrt Unpack
    """.split()  # noqa: SIM905  as pure_ops has them
)

LONG_ONE = {"dtype": "int64", "value": [1]}
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
    "of 64 bits": applying(
        ("Shape", {"out_type": "int64"}, [-1]),
        ("StridedSlice", {}, [0, {"dtype": "int64", "value": [1]}, {"dtype": "int64", "value": [2**62]}, LONG_ONE]),
        ("Prod", {"keep_dims": True}, [1, [0]]),
        ("ConcatV2", {}, [{"dtype": "int64", "value": [-1]}, 2, {"dtype": "int32", "value": 0}]),
        ("Reshape", {}, [-1, 3]),
        ("ArgMax", {"output_type": "int64"}, [4, np.int32(1)]),
        ("Equal", {}, [5, {"dtype": "int64", "value": 3}]),
        ("Cast", {"DstT": "float32"}, [6]),
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
"""Graphs whose sizes are computed of shapes, also in whole numbers of 64 bits."""


@pytest.mark.parametrize("name", CHAINS)
def test_sizes_are_computed_by_the_op_that_takes_them(name: str) -> None:
    """Of open ones too, when a network runs by itself and when it is compiled."""
    model = model_of(CHAINS[name])
    built = to_keras3(model)
    assert "TensorFlowOp(Shape)" not in own_layers(built)
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


def test_strides_with_dilations_are_named() -> None:
    """TensorFlow convolves so, and Keras says a ValueError of its own."""
    network = applying(("Conv2D", {**WINDOW, "dilations": [1, 2, 2, 1]}, [-1, KERNEL]))
    model = to_keras3(model_of(network))
    with pytest.raises(UnsupportedGraphError, match=r"net/op0: Conv2D is not possible .*strides .* with dilations"):
        model(images(0, (2, 6, 8, 3)))


def test_whole_numbers_are_not_averaged() -> None:
    """TensorFlow drops the fraction, and NumPy keeps it."""
    network = applying(("Cast", {"DstT": "int32"}, [-1]), ("Mean", {}, [0, [1, 2]]))
    model = to_keras3(model_of(network))
    with pytest.raises(UnsupportedGraphError, match=r"net/op1: Mean is not possible .* whole numbers are divided"):
        model(images(0, (2, 6, 8, 3)))
