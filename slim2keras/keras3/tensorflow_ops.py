"""Layers that apply ops of TensorFlow, made where TensorFlow tells the shapes of what they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slim2keras.errors import UnsupportedGraphError
from slim2keras.keras3.applied_op import AppliedOp
from slim2keras.keras3.layers import TensorFlowOp, told_of
from slim2keras.keras3.naming import to_keras3_name


def apply_tensorflow_op(name: str, config: Mapping[str, Any], tensors: Sequence[Any]) -> Any:
    """Apply an op of a graph to KerasTensors.

    Args:
        name: Slim scope.
        config: Op, attributes and operands, ``AppliedOp``'s; besides, what any layer takes.

    Raises:
        UnsupportedGraphError: If ``keras.ops`` has no equal of the op.
    """
    names = ("op", "attributes", "operands", "output")
    with told_of(name, config["op"]):
        applied = AppliedOp.from_config(config)
    result = _result(name, applied, tensors)
    others = {key: value for key, value in config.items() if key not in names}
    layer = TensorFlowOp(applied.to_config(), result, name=to_keras3_name(name), **others)
    return layer(list(tensors) if len(tensors) > 1 else tensors[0])


def _result(name: str, applied: AppliedOp, tensors: Sequence[Any]) -> dict[str, Any]:
    """Shape and dtype of the output, open sizes ``None``."""
    import tensorflow as tf

    from slim2keras.keras_layers import outputs_of

    with tf.Graph().as_default():
        stand_ins = [tf.compat.v1.placeholder(item.dtype, item.shape) for item in tensors]
        found = applied.result_in_tensorflow(
            stand_ins, lambda op, attributes, given: outputs_of(op, attributes, [*map(tf.convert_to_tensor, given)])
        )
    if found.shape.rank is None:
        raise UnsupportedGraphError(
            f"{name}: Keras 3 needs to know how many axes {applied.op} gives, and nothing tells."
        )
    return {"shape": found.shape.as_list(), "dtype": found.dtype.name}
