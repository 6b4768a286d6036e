"""What the Inceptions share: the arg scope, branches, and the classifier head.

A block is written as slim writes it: a mapping from scope name to operation, in slim's order, one mapping a branch.

Source: research/slim/nets/inception_utils.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from slim2keras.errors import UnsupportedArgumentError, did_you_mean
from slim2keras.graphs import layers, shapes
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.initializers import variance_scaling
from slim2keras.graphs.layers import BatchNorm, Window
from slim2keras.nets import arguments
from slim2keras.nets.parts.heads import name_logits, reduced_kernel_size, whole_kernel_size
from slim2keras.nets.slim_function import SlimFunction

Operation = Callable[[Tensor, str], Tensor]
"""Takes an activation and the slim scope of the operation, returns an activation."""

Branch = Mapping[str, Operation]
"""Operations one after the other, by the last part of their scope."""


GlobalPool = Annotated[
    arguments.ShownSwitch, arguments.ChangesOnly("global_pool|AvgPool_.*|PreLogits|Logits|Predictions")
]

IN_TF_SLIM = SlimFunction(module="inception", arg_scope="inception_v3_arg_scope")
"""Of the arg scopes of ``tf_slim``'s Inceptions, that of v3 is the one that takes decay and epsilon."""


@dataclass(frozen=True)
class InceptionArgScope:
    """``inception_arg_scope``: what all convolutions of a network share."""

    conv_options: Mapping[str, Any]

    @classmethod
    def make(
        cls, weight_decay: float, decay: float, epsilon: float, *, scale: bool, use_batch_norm: bool
    ) -> InceptionArgScope:
        batch_norm = BatchNorm(decay=decay, epsilon=epsilon, scale=scale) if use_batch_norm else None
        return cls({"weight_decay": weight_decay, "weights_initializer": variance_scaling(), "batch_norm": batch_norm})

    def conv(self, filters: int, kernel_size: Window, **options: Any) -> Operation:
        """``slim.conv2d``: stride 1 and SAME unless told otherwise."""
        return lambda x, name: layers.conv2d(x, filters, kernel_size, name=name, **{**self.conv_options, **options})

    def fully_connected(self, x: Tensor, units: int, *, name: str) -> Tensor:
        """``slim.fully_connected`` for logits: decay as in the convolutions, slim's own initializer."""
        decays = {key: self.conv_options[key] for key in ("weight_decay", "biases_decay") if key in self.conv_options}
        return layers.fully_connected(x, units, activation=None, name=name, **decays)

    def logits(self, num_classes: int, **options: Any) -> Operation:
        """1x1 convolution with biases, neither normalised nor activated."""
        return self.conv(num_classes, 1, batch_norm=None, activation=None, **options)


def max_pool(kernel_size: int, stride: int = 1, padding: str = "SAME") -> Operation:
    """``slim.max_pool2d`` under the Inceptions' arg scope: stride 1, SAME."""
    return lambda x, name: layers.max_pool2d(x, kernel_size, stride=stride, padding=padding, name=name)


def avg_pool(kernel_size: int, stride: int = 1, padding: str = "SAME") -> Operation:
    """``slim.avg_pool2d`` under the Inceptions' arg scope: stride 1, SAME."""
    return lambda x, name: layers.avg_pool2d(x, kernel_size, stride=stride, padding=padding, name=name)


def mixed(*branches: Branch) -> Operation:
    """Run ``Branch_0``, ``Branch_1``, ... side by side and join them along the channels."""

    def lay(x: Tensor, scope: str) -> Tensor:
        outputs = [_run(x, f"{scope}/Branch_{index}", branch) for index, branch in enumerate(branches)]
        return shapes.concat(outputs, name=f"{scope}/concat")

    return lay


def fork(operations: Branch) -> Operation:
    """Run each operation on the same input, within the scope of the branch, and join them along the channels."""

    def lay(x: Tensor, name: str) -> Tensor:
        scope = name.rpartition("/")[0]
        return shapes.concat([operation(x, f"{scope}/{part}") for part, operation in operations.items()], name=name)

    return lay


def _run(x: Tensor, scope: str, branch: Branch) -> Tensor:
    for name, operation in branch.items():
        x = operation(x, f"{scope}/{name}")
    return x


def lay_base(x: Tensor, scope: str, blocks: Branch, final_endpoint: str) -> Tensor:
    """Lay blocks up to ``final_endpoint``; each is an end point.

    Raises:
        UnsupportedArgumentError: If no block is called ``final_endpoint``.
    """
    if final_endpoint not in blocks:
        raise UnsupportedArgumentError(
            f"final_endpoint must be one of {', '.join(blocks)}. Received: final_endpoint={final_endpoint!r}."
            + did_you_mean(final_endpoint, blocks)
        )
    for name, operation in blocks.items():
        x = x.graph.end_points[name] = operation(x, f"{scope}/{name}")
        if name == final_endpoint:
            break
    return x


def classifier_head(
    x: Tensor,
    arg_scope: InceptionArgScope,
    *,
    scope: str,
    window: int,
    num_classes: int | None,
    dropout_keep_prob: float,
    spatial_squeeze: bool,
    global_pool: bool,
) -> Tensor:
    """Pool, drop out and classify, as Inception v2 and v3 do.

    Args:
        window: Pixels of the average pool; it shrinks to the feature map where that is smaller.

    Returns:
        Logits, or the pooled features when ``num_classes`` is 0 or ``None``.
    """
    ends = x.graph.end_points
    if global_pool:
        x = ends["global_pool"] = layers.global_avg_pool(x, name=f"{scope}/Logits/global_pool")
    else:
        height, width = kernel_size = reduced_kernel_size(x, (window, window))
        name = f"{scope}/Logits/AvgPool_1a_{height}x{width}"
        x = ends["AvgPool_1a"] = layers.avg_pool2d(x, kernel_size, name=name)
    if not num_classes:
        return x
    x = ends["PreLogits"] = layers.dropout(x, dropout_keep_prob, name=f"{scope}/Logits/Dropout_1b")
    x = arg_scope.logits(num_classes)(x, f"{scope}/Logits/Conv2d_1c_1x1")
    x = name_logits(x, "Logits", spatial_squeeze=spatial_squeeze)
    ends["Predictions"] = layers.softmax(x, name=f"{scope}/Predictions")
    return x


def flat_aux_logits(
    x: Tensor, arg_scope: InceptionArgScope, names: tuple[str, str, str, str], *, scope: str, num_classes: int
) -> Tensor:
    """The auxiliary classifier of Inception v4 and Inception-ResNet v2; its second convolution takes in the whole map.

    Args:
        names: Of the pool, the two convolutions and the fully connected layer.

    Returns:
        Logits, (num_classes,).
    """
    pool, first, second, logits = (f"{scope}/AuxLogits/{name}" for name in names)
    x = avg_pool(5, stride=3, padding="VALID")(x, pool)
    x = arg_scope.conv(128, 1)(x, first)
    x = arg_scope.conv(768, whole_kernel_size(x, name=second), padding="VALID")(x, second)
    x = shapes.flatten(x, name=f"{scope}/AuxLogits/Flatten")
    x = arg_scope.fully_connected(x, num_classes, name=logits)
    return name_logits(x, "AuxLogits")


def flat_classifier_head(
    x: Tensor,
    arg_scope: InceptionArgScope,
    *,
    scope: str,
    pool: str,
    num_classes: int | None,
    dropout_keep_prob: float,
) -> Tensor:
    """Pool, drop out and classify, as Inception v4 and Inception-ResNet v2 do.

    Args:
        pool: Name of the pool; where a size is open it is a mean.

    Returns:
        Logits, or the pooled features when ``num_classes`` is 0 or ``None``.
    """
    ends = x.graph.end_points
    if None in x.shape:
        x = layers.global_avg_pool(x, name=f"{scope}/Logits/global_pool")
    else:
        name = f"{scope}/Logits/{pool}"
        x = layers.avg_pool2d(x, whole_kernel_size(x, name=name), name=name)
    ends["global_pool"] = x
    if not num_classes:
        return x
    x = shapes.flatten(x, name=f"{scope}/Logits/Flatten")
    x = ends["PreLogitsFlatten"] = layers.dropout(x, dropout_keep_prob, name=f"{scope}/Logits/Dropout")
    x = name_logits(arg_scope.fully_connected(x, num_classes, name=f"{scope}/Logits/Logits"), "Logits")
    ends["Predictions"] = layers.softmax(x, name=f"{scope}/Predictions")
    return x
