"""Ops of TensorFlow with what they are applied to, and what Keras 3 makes of them on whatever backend it has.

As a program: ``python -m tests.keras3.op_cases FOUND.npz``, in a process that has the backend.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def images(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype("float32")


IMAGES = images(0, (2, 6, 8, 3))

Case = tuple[str, dict[str, Any], list[Any]]
"""Op, attributes, and operands: constants, and ``None`` for the images."""

WINDOW: dict[str, Any] = {"strides": [1, 2, 2, 1], "padding": "SAME", "data_format": "NHWC"}
POOL: dict[str, Any] = {**WINDOW, "ksize": [1, 3, 2, 1]}
KERNEL = images(7, (3, 2, 3, 4))
CASES: list[Case] = [
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
    ("Select", {}, [[True, False], None, images(1, IMAGES.shape)]),
    ("Select", {}, [images(2, IMAGES.shape) > 0, None, images(1, IMAGES.shape)]),
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
    ("MaxPool", {**POOL, "padding": "EXPLICIT", "explicit_paddings": [0, 0, 2, 1, 0, 1, 0, 0]}, [None]),
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


def constant(item: Any) -> dict[str, Any]:
    """As layers have it, if it is not so already."""
    if isinstance(item, dict):
        return item
    array = np.asarray(item)
    array = array.astype({"i": "int32", "f": "float32"}.get(array.dtype.kind, array.dtype))
    return {"dtype": array.dtype.name, "value": array.tolist()}


def outputs_asked_for(case: Case) -> int:
    return 2 if case[0] in ("TopKV2", "SplitV") else 1


def results() -> dict[str, np.ndarray]:
    """Each output of each case, by their numbers."""
    import keras

    from slim2keras.keras3.applied_op import AppliedOp

    tensor = keras.ops.convert_to_tensor(IMAGES)
    found = {}
    for place, case in enumerate(CASES):
        op, attributes, given = case
        operands = [None if item is None else constant(item) for item in given]
        for output in range(outputs_asked_for(case)):
            config = {"op": op, "attributes": attributes, "operands": operands, "output": output}
            result = AppliedOp.from_config(config).to([tensor] if any(item is None for item in given) else [])
            found[f"{place}/{output}"] = keras.ops.convert_to_numpy(result)
    return found


if __name__ == "__main__":
    np.savez(sys.argv[1], **results())
