"""NASNet-A and PNASNet-5.

B. Zoph et al.: Learning Transferable Architectures for Scalable Image Recognition (arXiv:1707.07012); C. Liu et al.:
Progressive Neural Architecture Search (arXiv:1712.00559). ImageNet top-1 / top-5 of the published checkpoints: NASNet
mobile 74.0/91.6, large 82.7/96.2; PNASNet mobile 74.2/91.9, large 82.9/96.2.

The networks have no root scope. Outputs: logits (batch, num_classes) and, with ``use_aux_head``, auxiliary logits,
which slim has in training only; features (batch, channels) without classes.

Source: research/slim/nets/nasnet/nasnet.py, nasnet_utils.py, pnasnet.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from slim2keras.errors import UnsupportedArgumentError, did_you_mean
from slim2keras.graphs import activations, arithmetic, layers, shapes
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.initializers import variance_scaling
from slim2keras.graphs.layers import BatchNorm
from slim2keras.nets import arguments
from slim2keras.nets.parts.heads import name_logits, whole_kernel_size
from slim2keras.nets.registry import Net, VariableShapes, classes_in
from slim2keras.nets.slim_function import SlimFunction
from slim2keras.scopes import join


@dataclass(frozen=True)
class _Cell:
    """A cell: five sums of two operations each, on the two inputs and the sums before.

    Attributes:
        operations: Left and right of each sum: ``separable_KxK_N`` (N times), ``avg_pool_3x3``, ``max_pool_3x3``,
            ``none``.
        inputs: What each works on: 0 the layer before, 1 the layer before that, 2 and up the sums.
        used: Whether an input or a sum is left out of the cell's output.
    """

    operations: tuple[str, ...]
    inputs: tuple[int, ...]
    used: tuple[int, ...]


_NASNET_NORMAL = _Cell(
    operations=(
        *("separable_5x5_2", "separable_3x3_2"),
        *("separable_5x5_2", "separable_3x3_2"),
        *("avg_pool_3x3", "none"),
        *("avg_pool_3x3", "avg_pool_3x3"),
        *("separable_3x3_2", "none"),
    ),
    inputs=(0, 1, 1, 1, 0, 1, 1, 1, 0, 0),
    used=(1, 0, 0, 0, 0, 0, 0),
)
_NASNET_REDUCTION = _Cell(
    operations=(
        *("separable_5x5_2", "separable_7x7_2"),
        *("max_pool_3x3", "separable_7x7_2"),
        *("avg_pool_3x3", "separable_5x5_2"),
        *("none", "avg_pool_3x3"),
        *("separable_3x3_2", "max_pool_3x3"),
    ),
    inputs=(0, 1, 0, 1, 0, 1, 3, 2, 2, 0),
    used=(1, 1, 1, 0, 0, 0, 0),
)
_PNASNET = _Cell(
    operations=(
        *("separable_5x5_2", "max_pool_3x3"),
        *("separable_7x7_2", "max_pool_3x3"),
        *("separable_5x5_2", "separable_3x3_2"),
        *("separable_3x3_2", "max_pool_3x3"),
        *("separable_3x3_2", "none"),
    ),
    inputs=(1, 1, 0, 0, 0, 0, 4, 0, 1, 0),
    used=(1, 1, 0, 0, 0, 0, 0),
)


@dataclass(frozen=True)
class _Row:
    """A family: its cells, its stem, and how many cells drop-path counts besides ``num_cells``.

    Attributes:
        reduction: Cell that halves the size, laid *before* the normal one; ``None`` where the normal cell strides.
    """

    normal: _Cell
    reduction: _Cell | None
    imagenet_stem: bool
    cells_beside: int


_CIFAR = _Row(_NASNET_NORMAL, _NASNET_REDUCTION, imagenet_stem=False, cells_beside=2)
_NASNET = _Row(_NASNET_NORMAL, _NASNET_REDUCTION, imagenet_stem=True, cells_beside=4)
_PNAS = _Row(_PNASNET, None, imagenet_stem=True, cells_beside=2)


@dataclass(frozen=True)
class _ArgScope:
    """``nasnet_large_arg_scope`` and its siblings: layers without biases and activation."""

    options: dict[str, Any]
    batch_norm: BatchNorm
    activation: str

    @property
    def is_bounded(self) -> bool:
        return self.activation == "relu6"

    def activate(self, x: Tensor, scope: str) -> Tensor:
        return activations.activate(x, self.activation, scope=scope)

    def conv_norm(self, x: Tensor, filters: int, kernel: Any, *, conv: str, norm: str, **options: Any) -> Tensor:
        """A convolution called ``conv`` and a BatchNorm called ``norm``."""
        options = {**self.options, "biases_initializer": None, **options}
        x = layers.conv2d(x, filters, kernel, activation=None, name=conv, **options)
        return layers.batch_norm(x, self.batch_norm, name=norm)

    def factorized_reduction(self, x: Tensor, filters: int, *, scope: str) -> Tensor:
        """Halve height and width: every other pixel, and every other pixel from the second on, side by side."""
        options = {**self.options, "biases_initializer": None, "activation": None}
        first = layers.avg_pool2d(x, 1, name=join(scope, "path1_pool"))
        first = layers.conv2d(first, filters // 2, 1, name=join(scope, "path1_conv"), **options)
        second = shapes.pad2d(x, 0, 1, name=join(scope, "path2_pad"))
        second = shapes.crop2d(second, 1, name=join(scope, "path2_crop"))
        second = layers.avg_pool2d(second, 1, name=join(scope, "path2_pool"))
        second = layers.conv2d(second, filters // 2 + filters % 2, 1, name=join(scope, "path2_conv"), **options)
        x = shapes.concat([first, second], name=join(scope, "concat"))
        return layers.batch_norm(x, self.batch_norm, name=join(scope, "final_path_bn"))


@dataclass(frozen=True)
class _CellLayer:
    """One cell at its place in the network.

    Attributes:
        keep_prob: Of drop-path, scaled by the depth of the cell.

    Source: research/slim/nets/nasnet/nasnet_utils.py, ``NasNetABaseCell``.
    """

    cell: _Cell
    arg_scope: _ArgScope
    scope: str
    filters: int
    stride: int
    keep_prob: float

    def lay(self, x: Tensor, previous: Tensor | None) -> Tensor:
        previous = self._reduced(previous, x)
        states = [self._beginning(x), previous]
        for index in range(5):
            sides = []
            for side, place in (("left", 2 * index), ("right", 2 * index + 1)):
                source = self.cell.inputs[place]
                scope = f"{self.scope}/comb_iter_{index}/{side}"
                stride = self.stride if source < 2 else 1
                sides.append(self._operate(states[source], self.cell.operations[place], stride, scope))
            total = arithmetic.add(sides, name=f"{self.scope}/comb_iter_{index}/combine/add")
            if self.arg_scope.is_bounded:
                total = self.arg_scope.activate(total, f"{self.scope}/comb_iter_{index}/combine")
            states.append(total)
        return self._combine_unused(states)

    def _beginning(self, x: Tensor) -> Tensor:
        x = self.arg_scope.activate(x, self.scope)
        return self.arg_scope.conv_norm(x, self.filters, 1, conv=f"{self.scope}/1x1", norm=f"{self.scope}/beginning_bn")

    def _reduced(self, previous: Tensor | None, x: Tensor) -> Tensor:
        """The layer before the last, brought to the size of ``x`` and the filters of the cell."""
        if previous is None:
            return x
        scope = self.scope
        if previous.shape[1] != x.shape[1]:
            previous = self.arg_scope.activate(previous, f"{scope}/prev")
            return self.arg_scope.factorized_reduction(previous, self.filters, scope=scope)
        if previous.channels != self.filters:
            previous = self.arg_scope.activate(previous, f"{scope}/prev")
            names = {"conv": f"{scope}/prev_1x1", "norm": f"{scope}/prev_bn"}
            return self.arg_scope.conv_norm(previous, self.filters, 1, **names)
        return previous

    def _operate(self, x: Tensor, operation: str, stride: int, scope: str) -> Tensor:
        if operation == "none":
            return self._fitted_identity(x, stride, scope)
        if operation.startswith("separable"):
            x = self._stacked_separable(x, operation, stride, scope)
            x = self._clipped(x, scope)
        else:
            x = self._pooled(x, operation, stride, scope)
        return layers.drop_path(x, self.keep_prob, name=f"{scope}/drop_path")

    def _fitted_identity(self, x: Tensor, stride: int, scope: str) -> Tensor:
        fits = stride == 1 and x.channels == self.filters
        if self.arg_scope.is_bounded or not fits:
            x = self.arg_scope.activate(x, scope)
        if fits:
            return x
        names = {"conv": f"{scope}/1x1", "norm": f"{scope}/bn_1"}
        return self._clipped(self.arg_scope.conv_norm(x, self.filters, 1, stride=stride, **names), scope)

    def _stacked_separable(self, x: Tensor, operation: str, stride: int, scope: str) -> Tensor:
        _, kernel, count = operation.split("_")
        for index in range(1, int(count) + 1):
            x = self.arg_scope.activate(x, f"{scope}/before_{index}")
            x = layers.separable_conv2d(
                x,
                self.filters,
                int(kernel[0]),
                depth_multiplier=1,
                stride=stride if index == 1 else 1,
                activation=None,
                biases_initializer=None,
                name=f"{scope}/separable_{kernel}_{index}",
                **self.arg_scope.options,
            )
            x = layers.batch_norm(x, self.arg_scope.batch_norm, name=f"{scope}/bn_sep_{kernel}_{index}")
        return x

    def _pooled(self, x: Tensor, operation: str, stride: int, scope: str) -> Tensor:
        kind, _, window = operation.split("_")
        if self.arg_scope.is_bounded:
            x = self.arg_scope.activate(x, scope)
        pool = layers.avg_pool2d if kind == "avg" else layers.max_pool2d
        x = pool(x, int(window[0]), stride=stride, padding="SAME", name=f"{scope}/{operation}")
        if x.channels == self.filters:
            # Between 0 and 6 already where the activation is bounded.
            return x
        names = {"conv": f"{scope}/1x1", "norm": f"{scope}/bn_1"}
        return self._clipped(self.arg_scope.conv_norm(x, self.filters, 1, **names), scope)

    def _clipped(self, x: Tensor, scope: str) -> Tensor:
        return activations.clip_to_6(x, name=f"{scope}/clip_by_value") if self.arg_scope.is_bounded else x

    def _combine_unused(self, states: list[Tensor]) -> Tensor:
        final = states[-1]

        def fitted(state: Tensor, scope: str) -> Tensor:
            if state.shape[1] != final.shape[1]:
                return self.arg_scope.factorized_reduction(state, final.channels, scope=scope)
            if state.channels != final.channels:
                names = {"conv": f"{scope}/path_conv", "norm": f"{scope}/path_bn"}
                return self.arg_scope.conv_norm(state, final.channels, 1, **names)
            return state

        unused = [
            fitted(state, f"{self.scope}/cell_output/reduction_{index}")
            for index, (state, is_used) in enumerate(zip(states, self.cell.used, strict=True))
            if not is_used
        ]
        return shapes.concat(unused, name=f"{self.scope}/cell_output/concat")


@dataclass(frozen=True)
class _Hyperparameters:
    """slim's ``hparams``, by slim's names, of which the layers depend."""

    stem_multiplier: float
    drop_path_keep_prob: float
    num_cells: int
    num_conv_filters: int
    dense_dropout_keep_prob: float
    filter_scaling_rate: float
    num_reduction_layers: int
    skip_reduction_layer_input: int | bool

    @property
    def reduction_indices(self) -> list[int]:
        """Cells before which the size is halved, evenly spread.

        Source: research/slim/nets/nasnet/nasnet_utils.py, ``calc_reduction_layers``.
        """
        parts = range(1, self.num_reduction_layers + 1)
        return [int(part / (self.num_reduction_layers + 1) * self.num_cells) for part in parts]


@dataclass(frozen=True)
class _Network:
    """A family at a scope, with hyperparameters.

    ``outputs`` are what stem and cells have given so far, slim's ``cell_outputs``; each cell appends its own.

    Source: research/slim/nets/nasnet/nasnet.py, ``_build_nasnet_base``; pnasnet.py, ``_build_pnasnet_base``.
    """

    row: _Row
    hparams: _Hyperparameters
    arg_scope: _ArgScope
    scope: str

    def end_points(self, x: Tensor, num_classes: int, *, use_aux_head: bool) -> Iterator[tuple[str, Tensor]]:
        """Lay one end point after the other, in slim's order."""
        outputs = self.stem(x)
        yield "Stem", outputs[-1]
        reductions = self.hparams.reduction_indices
        aux_index = reductions[1] - 1 if use_aux_head and len(reductions) > 1 else None
        lay_cells = self.pnasnet_cells if self.row.reduction is None else self.nasnet_cells
        for name, cell in lay_cells(outputs):
            yield name, cell
            if name == f"Cell_{aux_index}":
                scope = join(self.scope, f"aux_{aux_index}")
                yield "AuxLogits", _aux_head(cell, self.arg_scope, num_classes=num_classes, scope=scope)
        yield from self.final_layer(outputs[-1], num_classes)

    def stem(self, x: Tensor) -> list[Tensor]:
        """A convolution; for ImageNet it strides, and so do two cells behind it."""
        hparams = self.hparams
        if not self.row.imagenet_stem:
            names = {"conv": join(self.scope, "l1_stem_3x3"), "norm": join(self.scope, "l1_stem_bn")}
            filters = int(hparams.num_conv_filters * hparams.stem_multiplier)
            return [self.arg_scope.conv_norm(x, filters, 3, **names)]
        names = {"conv": join(self.scope, "conv0"), "norm": join(self.scope, "conv0_bn")}
        filters = int(32 * hparams.stem_multiplier)
        outputs = [self.arg_scope.conv_norm(x, filters, 3, stride=2, padding="VALID", **names)]
        for index in range(2):
            cell = self.row.reduction or self.row.normal
            scaling = hparams.filter_scaling_rate ** (index - 2)
            self.append_cell(outputs, cell, f"cell_stem_{index}", scaling, stride=2, previous=_before_last(outputs))
        return outputs

    def nasnet_cells(self, outputs: list[Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Normal cells, before some of which lies a reduction cell.

        With ``skip_reduction_layer_input`` the second input of the cell behind it skips that one.
        """
        row, hparams = self.row, self.hparams
        assert row.reduction is not None
        scaling = 1.0
        for index in range(hparams.num_cells):
            previous = _before_last(outputs)
            if index in hparams.reduction_indices:
                scaling *= hparams.filter_scaling_rate
                number = hparams.reduction_indices.index(index)
                x = self.append_cell(
                    outputs, row.reduction, f"reduction_cell_{number}", scaling, stride=2, previous=previous
                )
                yield f"Reduction_Cell_{number}", x
                if not hparams.skip_reduction_layer_input:
                    previous = _before_last(outputs)
            x = self.append_cell(outputs, row.normal, f"cell_{index}", scaling, stride=1, previous=previous)
            yield f"Cell_{index}", x

    def pnasnet_cells(self, outputs: list[Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Normal cells, some of which stride.

        Without ``skip_reduction_layer_input`` such a cell has the second input of the cell before it.
        """
        hparams = self.hparams
        scaling, previous = 1.0, None
        for index in range(hparams.num_cells):
            is_reduction = index in hparams.reduction_indices
            if is_reduction:
                scaling *= hparams.filter_scaling_rate
            if hparams.skip_reduction_layer_input or not is_reduction:
                previous = _before_last(outputs)
            stride = 2 if is_reduction else 1
            x = self.append_cell(outputs, self.row.normal, f"cell_{index}", scaling, stride=stride, previous=previous)
            yield f"Cell_{index}", x

    def append_cell(
        self, outputs: list[Tensor], cell: _Cell, name: str, scaling: float, *, stride: int, previous: Tensor | None
    ) -> Tensor:
        """Lay a cell on the last output; drop-path is the stronger, the more cells lie before it."""
        hparams = self.hparams
        depth = len(outputs) / (hparams.num_cells + self.row.cells_beside)
        keep_prob = 1.0 - depth * (1.0 - hparams.drop_path_keep_prob)
        filters = int(hparams.num_conv_filters * scaling)
        place = _CellLayer(cell, self.arg_scope, join(self.scope, name), filters, stride, keep_prob)
        outputs.append(place.lay(outputs[-1], previous))
        return outputs[-1]

    def final_layer(self, x: Tensor, num_classes: int) -> Iterator[tuple[str, Tensor]]:
        """Features, and with classes logits and predictions."""
        scope = join(self.scope, "final_layer")
        x = layers.global_avg_pool(self.arg_scope.activate(x, scope), keepdims=False, name=f"{scope}/Mean")
        yield "global_pool", x
        if not num_classes:
            return
        x = layers.dropout(x, self.hparams.dense_dropout_keep_prob, name=f"{scope}/dropout")
        x = layers.fully_connected(x, num_classes, activation=None, name=f"{scope}/FC", **self.arg_scope.options)
        x = name_logits(x, "Logits")
        yield "Logits", x
        yield "Predictions", layers.softmax(x, name=f"{scope}/predictions")


def _before_last(outputs: list[Tensor]) -> Tensor | None:
    return outputs[-2] if len(outputs) > 1 else None


def _aux_head(x: Tensor, arg_scope: _ArgScope, *, num_classes: int, scope: str) -> Tensor:
    x = arg_scope.activate(x, scope)
    scope = f"{scope}/aux_logits"
    x = layers.avg_pool2d(x, 5, stride=3, name=f"{scope}/AvgPool2D")
    x = arg_scope.conv_norm(x, 128, 1, conv=f"{scope}/proj", norm=f"{scope}/aux_bn0")
    x = arg_scope.activate(x, f"{scope}/aux_bn0")
    window = whole_kernel_size(x, name=f"{scope}/Conv")
    x = arg_scope.conv_norm(x, 768, window, padding="VALID", conv=f"{scope}/Conv", norm=f"{scope}/aux_bn1")
    x = shapes.flatten(arg_scope.activate(x, f"{scope}/aux_bn1"), name=f"{scope}/Flatten")
    x = layers.fully_connected(x, num_classes, activation=None, name=f"{scope}/FC", **arg_scope.options)
    return name_logits(x, "AuxLogits")


def nasnet(
    row: _Row,
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1001,
    scope: str,
    final_endpoint: arguments.FinalEndPoint = None,
    stem_multiplier: float,
    drop_path_keep_prob: arguments.DropPathKeepProb,
    num_cells: int,
    use_aux_head: int | bool = 1,
    num_conv_filters: int,
    dense_dropout_keep_prob: arguments.KeepProb,
    filter_scaling_rate: float = 2.0,
    num_reduction_layers: int = 2,
    skip_reduction_layer_input: int | bool,
    total_training_steps: int,  # noqa: ARG001 (read by slim2keras.drop_path)
    use_bounded_activation: arguments.ShownSwitch = False,
    weight_decay: arguments.WeightDecay,
    batch_norm_decay: arguments.BatchNormDecay = 0.9997,
    batch_norm_epsilon: arguments.BatchNormEpsilon = 0.001,
) -> list[Tensor]:
    """Lay a NASNet or PNASNet; slim's hyperparameters are arguments. With ``final_endpoint`` only what leads there.

    Drop-path has the rates of the end of slim's schedule, ``total_training_steps``; see ``slim2keras.drop_path``.

    Source: research/slim/nets/nasnet/nasnet.py, ``_build_nasnet_base``; pnasnet.py, ``_build_pnasnet_base``.
    """
    if None in x.shape:
        shapes.refuse_open_size(x, "NASNet")
    arg_scope = _ArgScope(
        options={"weight_decay": weight_decay, "weights_initializer": variance_scaling("fan_out")},
        batch_norm=BatchNorm(batch_norm_decay, batch_norm_epsilon, scale=True),
        activation="relu6" if use_bounded_activation else "relu",
    )
    hparams = _Hyperparameters(
        stem_multiplier=stem_multiplier,
        drop_path_keep_prob=drop_path_keep_prob,
        num_cells=num_cells,
        num_conv_filters=num_conv_filters,
        dense_dropout_keep_prob=dense_dropout_keep_prob,
        filter_scaling_rate=filter_scaling_rate,
        num_reduction_layers=num_reduction_layers,
        skip_reduction_layer_input=skip_reduction_layer_input,
    )
    network = _Network(row, hparams, arg_scope, scope)
    ends = x.graph.end_points
    has_aux_head = bool(use_aux_head and num_classes and not final_endpoint)
    for name, tensor in network.end_points(x, num_classes or 0, use_aux_head=has_aux_head):
        ends[name] = tensor
        if name == final_endpoint:
            return [tensor]
    if final_endpoint:
        raise UnsupportedArgumentError(
            f"final_endpoint must be one of {', '.join(ends)}. Received: final_endpoint={final_endpoint!r}."
            + did_you_mean(final_endpoint, ends)
        )
    return [ends[name] for name in ("Logits" if num_classes else "global_pool", "AuxLogits") if name in ends]


_HYPERPARAMETERS: dict[str, tuple[_Row, int, str, dict[str, Any]]] = {
    "nasnet_cifar": (
        _CIFAR,
        32,
        "cifar_config",
        {
            "num_classes": 10,
            "stem_multiplier": 3.0,
            "drop_path_keep_prob": 0.6,
            "num_cells": 18,
            "num_conv_filters": 32,
            "dense_dropout_keep_prob": 1.0,
            "skip_reduction_layer_input": 0,
            "total_training_steps": 937500,
            "weight_decay": 5e-4,
            "batch_norm_decay": 0.9,
            "batch_norm_epsilon": 1e-5,
        },
    ),
    "nasnet_mobile": (
        _NASNET,
        224,
        "mobile_imagenet_config",
        {
            "stem_multiplier": 1.0,
            "drop_path_keep_prob": 1.0,
            "num_cells": 12,
            "num_conv_filters": 44,
            "dense_dropout_keep_prob": 0.5,
            "skip_reduction_layer_input": 0,
            "total_training_steps": 250000,
            "weight_decay": 4e-5,
        },
    ),
    "nasnet_large": (
        _NASNET,
        331,
        "large_imagenet_config",
        {
            "stem_multiplier": 3.0,
            "drop_path_keep_prob": 0.7,
            "num_cells": 18,
            "num_conv_filters": 168,
            "dense_dropout_keep_prob": 0.5,
            "skip_reduction_layer_input": 1,
            "total_training_steps": 250000,
            "weight_decay": 5e-5,
        },
    ),
    "pnasnet_mobile": (
        _PNAS,
        224,
        "mobile_imagenet_config",
        {
            "stem_multiplier": 1.0,
            "drop_path_keep_prob": 1.0,
            "num_cells": 9,
            "num_conv_filters": 54,
            "dense_dropout_keep_prob": 0.5,
            "skip_reduction_layer_input": 1,
            "total_training_steps": 250000,
            "weight_decay": 4e-5,
        },
    ),
    "pnasnet_large": (
        _PNAS,
        331,
        "large_imagenet_config",
        {
            "stem_multiplier": 3.0,
            "drop_path_keep_prob": 0.6,
            "num_cells": 12,
            "num_conv_filters": 216,
            "dense_dropout_keep_prob": 0.5,
            "skip_reduction_layer_input": 1,
            "total_training_steps": 250000,
            "weight_decay": 4e-5,
        },
    ),
}
"""Cells, image size, slim's function for the hyperparameters, and those that differ in it."""


def _read_arguments(row: _Row, variables: VariableShapes) -> Iterator[dict[str, Any]]:
    """Hyperparameters from the widths of the first and the last cell and from the scopes that there are."""
    cells = {int(found[1]) for name in variables if (found := re.match(r"cell_(\d+)/", name))}
    reductions = {name.split("/")[0] for name in variables if name.startswith("reduction_cell_")}
    filters = _filters_of(variables, "cell_0")
    read: dict[str, Any] = {
        "num_classes": classes_in(variables, "final_layer/FC"),
        "use_aux_head": int(any(name.startswith("aux_") for name in variables)),
    }
    if cells and filters:
        stem = (
            variables["conv0/weights"][-1] / 32 if row.imagenet_stem else variables["l1_stem_3x3/weights"][-1] / filters
        )
        read |= {"num_cells": max(cells) + 1, "num_conv_filters": filters, "stem_multiplier": stem}
    if reductions:
        read["num_reduction_layers"] = len(reductions)
    # Behind a final_endpoint there are cells that the variables do not tell of. Nor do they always tell which layer a
    # cell takes its second input from: the network's own way comes first.
    for known in (read, {name: value for name, value in read.items() if name != "num_cells"}):
        yield known
        yield {**known, "skip_reduction_layer_input": 0}
        yield {**known, "skip_reduction_layer_input": 1}


def _filters_of(variables: VariableShapes, cell: str) -> int | None:
    shape = variables.get(f"{cell}/beginning_bn/beta")
    return shape[0] if shape else None


_REFUSED = {
    "config": "give its hyperparameters by their names, e.g. num_cells=12",
    "current_step": "drop-path follows the training step, see slim2keras.drop_path",
}


def _slim_config(name: str, module: ModuleType, given: Mapping[str, Any]) -> tuple[Any, frozenset[str]]:
    """The hyperparameters as slim has them, with those of ours that it knows."""
    config = getattr(module, name)()
    known = frozenset(config.values()).intersection(given)
    for argument in known:
        config.set_hparam(argument, given[argument])
    return config, known


NETS = tuple(
    Net(
        name=name,
        lay=partial(nasnet, row, **hyperparameters),
        scope="",
        image_size=image_size,
        preprocessing="cifarnet" if image_size == 32 else "inception",
        labels_offset=0,
        anchor="conv0/weights" if row.imagenet_stem else "l1_stem_3x3/weights",
        read_arguments=partial(_read_arguments, row),
        slim=SlimFunction(parameter="config", make=partial(_slim_config, config)),
        refused=_REFUSED,
    )
    for name, (row, image_size, config, hyperparameters) in _HYPERPARAMETERS.items()
)
