"""Keras 3 layers of our own, for what no composition of its stock layers computes; on every backend.

A model with such a layer needs ``import slim2keras.keras3`` before it is loaded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from slim2keras.errors import UnsupportedGraphError
from slim2keras.keras3 import elementwise_ops, network_ops, shape_ops  # noqa: F401  they fill the table
from slim2keras.keras3.applied_op import AppliedOp
from slim2keras.keras3.naming import to_slim_name
from slim2keras.keras3.network_ops import local_response_normalization
from slim2keras.keras3.op_table import NotOnEveryBackendError
from slim2keras.keras3.registration import registered


@registered
class LocalResponseNormalization(keras.layers.Layer):  # type: ignore[misc]
    """``tf.nn.lrn``: divide by ``(bias + alpha * sum of squares over near channels) ** beta``.

    Args:
        depth_radius: Channels to each side that belong to the sum.

    Source: A. Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, section 3.3.
    """

    def __init__(self, depth_radius: int, bias: float, alpha: float, beta: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.constants = {"depth_radius": depth_radius, "bias": bias, "alpha": alpha, "beta": beta}

    def call(self, inputs: Any) -> Any:
        """Normalise (batch, height, width, channels)."""
        return local_response_normalization(self.constants, inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As that of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        return {**super().get_config(), **self.constants}


@registered
class LooseVariable(keras.layers.Layer):  # type: ignore[misc]
    """A variable that belongs to no layer: a scale, a table of positions. Imported graphs need it.

    Args:
        shape: Of the variable.
        initializer: As in ``add_weight``.
        regularizer: As in ``add_weight``.
    """

    def __init__(
        self, shape: Sequence[int], initializer: Any = "zeros", regularizer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.sizes = tuple(shape)
        self.initializer = keras.initializers.get(initializer)
        self.regularizer = keras.regularizers.get(regularizer)

    def build(self, input_shape: Any) -> None:  # noqa: ARG002  as Keras calls it
        """Make the variable."""
        self.variable = self.add_weight(
            shape=self.sizes, initializer=self.initializer, regularizer=self.regularizer, name="variable"
        )

    def call(self, inputs: Any) -> Any:  # noqa: ARG002
        """The variable, of ``shape``, whatever the inputs are."""
        return ops.cast(self.variable, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int, ...]:  # noqa: ARG002
        """As that of the variable."""
        return self.sizes

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        return {
            **super().get_config(),
            "shape": list(self.sizes),
            "initializer": keras.initializers.serialize(self.initializer),
            "regularizer": keras.regularizers.serialize(self.regularizer),
        }


@registered
class TensorFlowOp(keras.layers.Layer):  # type: ignore[misc]
    """One op of TensorFlow that only computes, written with ``keras.ops``. Imported graphs need it.

    Called on the tensors that are no constants: one, or a list of them. They need not be batches, nor of floats.

    Args:
        applied: The op with its constants, as ``AppliedOp.to_config`` has it.
        result: Shape and dtype of the output, as TensorFlow tells them.

    Raises:
        UnsupportedGraphError: If ``keras.ops`` has no equal of the op.
    """

    def __init__(self, applied: Mapping[str, Any], result: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with told_of(to_slim_name(self.name), applied["op"]):
            self._applied = AppliedOp.from_config(applied)
        self._result = keras.KerasTensor(tuple(result["shape"]), result["dtype"])

    @property
    def says(self) -> str:
        """What it applies, behind the name of its class."""
        return f"({self._applied.op})"

    def call(self, inputs: Any) -> Any:
        """Apply the op to a tensor, or to a list of them, of any shapes."""
        with told_of(to_slim_name(self.name), self._applied.op):
            found = self._applied.to(inputs if isinstance(inputs, list | tuple) else [inputs])
            return found if ops.is_tensor(found) else ops.convert_to_tensor(found)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:  # noqa: ARG002  as Keras calls it
        """As TensorFlow has told it: no backend but TensorFlow's can infer shapes of open sizes."""
        return keras.KerasTensor(self._result.shape, self._result.dtype)

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the layer again."""
        result = {"shape": list(self._result.shape), "dtype": self._result.dtype}
        return {**super().get_config(), "applied": self._applied.to_config(), "result": result}


@contextlib.contextmanager
def told_of(name: str, op: str) -> Iterator[None]:
    """Say of an op that is not possible which it is, and of which layer."""
    try:
        yield
    except NotOnEveryBackendError as error:
        raise UnsupportedGraphError(
            f"{name}: {op} is not possible in Keras 3: {error}. A SavedModel can have it."
        ) from error
