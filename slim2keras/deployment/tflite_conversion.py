"""TensorFlow's own converter: a model, or a function of images, as the bytes of a TFLite file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from slim2keras.deployment.ends import IMAGES
from slim2keras.deployment.tflite_pooling import pooling_in_two_steps
from slim2keras.errors import UnsupportedGraphError
from slim2keras.files.native_output import stderr_captured

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras
    from numpy.typing import NDArray

Representative = Callable[[], Iterator["NDArray[Any]"]]
"""Gives images that represent what will come, in batches, float32, (batch, height, width, channels)."""

_STRANGE_OPS = re.compile(r"(?:TF Select|Custom) ops: (.+)")
_SHOWN = 10


def inference_function(model: tf_keras.Model, image_shape: Sequence[int]) -> tf.types.experimental.ConcreteFunction:
    """What a model computes when it does not train, as a function of images that gives a list of outputs.

    Args:
        image_shape: (height, width, channels); the batch stays open.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *image_shape), tf.float32, IMAGES)]
    outputs = tf.function(lambda images: tf.nest.flatten(model(images, training=False)), input_signature=signature)
    with pooling_in_two_steps(model):
        return outputs.get_concrete_function()


def convert_to_tflite(
    function: tf.types.experimental.ConcreteFunction,
    keeper: Any,
    quantize: str | None = None,
    representative: Representative | None = None,
) -> bytes:
    """Convert a function of images; inputs and outputs stay float32, however it is quantized.

    Args:
        function: From one input to a list of outputs.
        keeper: Whatever holds its variables, so that they live on.
        quantize: As in ``DeploymentOptions``.
        representative: Of ``"int8"``; without, the ranges are those of ``fake_quant`` ops in the function.

    Raises:
        UnsupportedGraphError: If TFLite has not all of its ops.
    """
    import tensorflow as tf

    with stderr_captured(), warnings.catch_warnings():
        # Of statistics that are given as a data set, and of what TensorFlow itself has deprecated.
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], keeper)
        _quantize(converter, quantize, representative)
        try:
            return bytes(converter.convert())
        except Exception as error:
            # The converter's own class is no public one.
            strange = _strange_ops(str(error))
            if not strange:
                raise
            raise UnsupportedGraphError(_refusal(function, strange)) from error


def _quantize(converter: Any, quantize: str | None, representative: Representative | None) -> None:
    import tensorflow as tf

    if quantize is None:
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if representative is not None:
        converter.representative_dataset = lambda: ([images] for images in representative())
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


def _strange_ops(message: str) -> list[str]:
    """Types of the ops that the converter says TFLite has not."""
    return sorted({name.strip() for names in _STRANGE_OPS.findall(message) for name in names.split(",")})


def _refusal(function: tf.types.experimental.ConcreteFunction, strange: Sequence[str]) -> str:
    operations = [operation for operation in function.graph.get_operations() if operation.type in strange]
    rows = [f"{operation.type}, of {_layer_of(operation.name)}" for operation in operations] or strange
    ops = "".join(f"  {row}\n" for row in rows[:_SHOWN])
    return (
        f"TFLite has no kernel for {len(rows)} of the ops:\n{ops}The file would need those of TensorFlow (TF Select), "
        "which runtimes on devices lack. Write ONNX (.onnx), or a SavedModel (a directory without suffix)."
    )


def _layer_of(operation: str) -> str:
    """Layer of an op that Keras named: model, layer, and the op's own name."""
    return operation.partition("/")[2].rpartition("/")[0] or operation
