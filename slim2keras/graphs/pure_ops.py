"""Ops of TensorFlow that a layer of ours may apply: they compute with tensors and do nothing else.

A list, not a rule: no op is here that has to do with state, files, network, randomness, Python or printing.
"""

from __future__ import annotations

_ARITHMETIC = """
    Abs Acos Add AddN AddV2 Asin Atan Atan2 BiasAdd Cast Ceil ClipByValue Cos Cosh Div DivNoNan Elu Erf Erfc Exp
    Expm1 Floor FloorDiv FloorMod Identity Inv LeakyRelu Log Log1p LogSoftmax Maximum Minimum Mod Mul Neg Pow
    RealDiv Reciprocal Relu Relu6 Rint Round Rsqrt Selu Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Square
    SquaredDifference StopGradient Sub Tan Tanh
"""
_COMPARISONS = """
    Equal Greater GreaterEqual Less LessEqual LogicalAnd LogicalNot LogicalOr NotEqual Select SelectV2
"""
_REDUCTIONS = "All Any ArgMax ArgMin Cumprod Cumsum Max Mean Min Prod Sum"
_SHAPES = """
    BatchToSpace BatchToSpaceND BroadcastTo Concat ConcatV2 DepthToSpace ExpandDims Fill Gather GatherNd GatherV2
    InvertPermutation LinSpace MatrixDiag MirrorPad OneHot OnesLike Pack Pad PadV2 Range Rank Reshape Reverse
    ReverseV2 Roll ScatterNd Shape Size Slice SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV Squeeze
    StridedSlice Tile TopKV2 Transpose Unpack ZerosLike
"""
_NETWORKS = """
    AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 Conv2D Conv2DBackpropInput Conv3D
    Conv3DBackpropInputV2 CropAndResize DepthwiseConv2dNative DepthwiseConv2dNativeBackpropInput Dilation2D Einsum
    ExtractImagePatches FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 L2Loss LRN MatMul MaxPool MaxPool3D
    MaxPoolV2 MaxPoolWithArgmax ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor
"""

PURE_OPS = frozenset(f"{_ARITHMETIC} {_COMPARISONS} {_REDUCTIONS} {_SHAPES} {_NETWORKS}".split())
"""By the names of ``tf.raw_ops``."""

LIST_OPERANDS = {"AddN": (0, 0), "Concat": (1, 0), "ConcatV2": (0, 1), "Einsum": (0, 0), "Pack": (0, 0)}
"""Ops that take a list of tensors, with the number of single operands before and after the list."""

LIST_LENGTHS = ("N", "num", "num_split")
"""Attributes that say how many tensors an op takes or gives."""

MOST_IN_LIST = 2**14
"""Tensors of one op; more are nobody's network, and a number in a file costs its author nothing."""

FLOAT32_OPS = frozenset(
    {"CropAndResize", "Dilation2D", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "LRN"}
)
"""Ops that compute in float32 whatever the policy of Keras is: an operand must, or there is no kernel for less."""
