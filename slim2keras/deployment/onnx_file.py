"""ONNX files, by tf2onnx, whose BatchNorm is folded and whose input stays channels last.

tf2onnx goes on after an op that it does not know, and writes a file that nothing can run: what it logs is collected,
and its graph looked through, so that the error names the op and its layer.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.deployment.elsewhere import run_elsewhere
from slim2keras.deployment.ends import IMAGES, axis_names, output_names
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.proof import Proof, prove
from slim2keras.deployment.subject import Subject
from slim2keras.deployment.ways import Written
from slim2keras.errors import UnsupportedArgumentError, UnsupportedGraphError
from slim2keras.models.overrides import Overrides
from slim2keras.version import __version__

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

_OLDEST_OPSET = 9
"""Before it tf2onnx writes initializers as inputs."""
_LARGEST = 2**31 - 2**20
"""Bytes of weights; a protocol buffer ends at two GiB, and the graph needs a little."""
_GIVEN_BY_TF2ONNX = re.compile(r"unk__\d+")


def write(subject: Subject, draft: Path, options: DeploymentOptions) -> Written:
    """Write ``.onnx``, run it with onnxruntime, and compare.

    Raises:
        UnsupportedArgumentError: If the opset is none of tf2onnx', or the model too large for a file of ONNX.
        UnsupportedGraphError: If ONNX has not all of its ops.
    """
    import onnx
    import tf2onnx

    _check_opset(options.opset)
    _check_size(subject)
    message = _converted(subject, options.opset)
    _name_axes(message, subject)
    _describe(message, subject)
    onnx.save(message, draft)
    _check_file(draft, subject.network.name)
    facts = {
        "exporter": f"tf2onnx {tf2onnx.__version__}",
        "opset": _opset_of(message),
        "ir_version": message.ir_version,
        "inputs": _shapes(message.graph.input),
        "outputs": _shapes(message.graph.output),
    }
    return Written(_proof(subject, draft), {"onnx": facts})


def _check_opset(opset: int | None) -> None:
    from tf2onnx.constants import OPSET_TO_IR_VERSION

    newest = max(OPSET_TO_IR_VERSION)
    if opset is not None and not _OLDEST_OPSET <= opset <= newest:
        raise UnsupportedArgumentError(
            f"opset must be {_OLDEST_OPSET} to {newest}, those that tf2onnx writes. Received: opset={opset}"
        )


def _check_size(subject: Subject) -> None:
    size = 4 * subject.model.count_params()
    if size > _LARGEST:
        raise UnsupportedArgumentError(
            f"{subject.network.name} has {size / 2**30:.1f} GiB of weights, and an ONNX file ends at 2. Write a "
            "SavedModel: a directory without suffix."
        )


def _converted(subject: Subject, opset: int | None) -> onnx.ModelProto:
    """By tf2onnx; outputs in the order of the model."""
    import tensorflow as tf
    import tf2onnx

    names = output_names(subject.network)
    signature = [tf.TensorSpec(subject.model.inputs[0].shape, tf.float32, name=IMAGES)]

    def infer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(names, tf.nest.flatten(subject.model(images, training=False)), strict=True))

    message: onnx.ModelProto
    with _told_by_tf2onnx() as said, optimizers_kept_small():
        try:
            message, _ = tf2onnx.convert.from_function(tf.function(infer, signature), signature, opset=opset)
        except Exception as error:
            # tf2onnx has no errors of its own.
            raise _unsupported(subject.network.name, said or [f"{type(error).__name__}: {error}"]) from error
    _check_ops(message, subject.network.name)
    by_name = {output.name: output for output in message.graph.output}
    del message.graph.output[:]
    message.graph.output.extend(by_name[name] for name in names)
    return message


@contextlib.contextmanager
def _told_by_tf2onnx() -> Iterator[list[str]]:
    """Within it tf2onnx logs its errors to a list, and nothing to anybody else."""
    said: list[str] = []
    handler, logger = logging.Handler(logging.ERROR), logging.getLogger("tf2onnx")
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    with Overrides() as overrides:
        overrides.set(logger, "propagate", False)
        overrides.set(logger, "handlers", [handler])
        yield said


@contextlib.contextmanager
def optimizers_kept_small() -> Iterator[None]:
    """Within it tf2onnx's optimizers take neither the time nor the memory that they take by themselves.

    They fold constants first, before they move transposes: the whole graph would be sorted anew for the weights of
    every depthwise convolution, which of a NASNet takes as long as all else. And the copies of the graph, one for each
    optimizer, are let go one by one: they are circles of few objects, for which Python looks late; of a VGG it held
    fifty, 24 GB.
    """
    from tf2onnx import optimizer

    def collecting(factory: Any) -> Any:
        gc.collect()
        return factory()

    known, first = getattr(optimizer, "_optimizers", {}), "fold_constants"
    ordered = {first: known[first], **known} if first in known else known
    with Overrides() as overrides:
        overrides.set(
            optimizer, "_optimizers", {name: functools.partial(collecting, make) for name, make in ordered.items()}
        )
        # What was there before is not looked through each time, which takes ten times as long as the copies.
        gc.freeze()
        overrides.callback(gc.unfreeze)
        yield


def _check_ops(message: onnx.ModelProto, network: str) -> None:
    """Refuse a graph with an op that ONNX has not.

    Raises:
        UnsupportedGraphError: With all of them, and their layers.
    """
    import onnx

    strange = [node for node in message.graph.node if not onnx.defs.has(node.op_type, node.domain)]
    if strange:
        raise _unsupported(
            network, [f"tf2onnx does not know {node.op_type}, of {_layer_of(node.name, network)}" for node in strange]
        )


def _check_file(file: Path, network: str) -> None:
    """Let ONNX look at the file, and go through its shapes.

    Raises:
        UnsupportedGraphError: If it finds fault.
    """
    import onnx

    try:
        onnx.checker.check_model(file, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _unsupported(network, [f"tf2onnx wrote what ONNX does not take: {error}"]) from error


def _layer_of(node: str, network: str) -> str:
    return node.removeprefix(f"{network}/").rpartition("/")[0] or node


_SHOWN, _LONGEST_LINE = 10, 300


def _unsupported(network: str, problems: list[str]) -> UnsupportedGraphError:
    lines = [f"  {problem[:_LONGEST_LINE]}" for problem in problems[:_SHOWN]]
    more = [f"  and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return UnsupportedGraphError(
        "\n".join([f"{network} cannot be an ONNX file:", *lines, *more])
        + "\nWrite a SavedModel, a directory without suffix, which takes any op of TensorFlow."
    )


def _name_axes(message: onnx.ModelProto, subject: Subject) -> None:
    """Open axes by what they are, in the place of numbers."""
    names = axis_names(subject.network)
    for value in message.graph.input:
        _name_open(value, names)
    for value in message.graph.output:
        _name_open(value, names[:1])


def _name_open(value: onnx.ValueInfoProto, names: tuple[str, ...]) -> None:
    for place, axis in enumerate(value.type.tensor_type.shape.dim):
        if _GIVEN_BY_TF2ONNX.fullmatch(axis.dim_param):
            axis.dim_param = names[place] if place < len(names) else f"{value.name}_axis_{place}"


def _describe(message: onnx.ModelProto, subject: Subject) -> None:
    """Who wrote it, of what, and what the network wants of its images."""
    from onnx import helper

    images = subject.describe_images()
    message.producer_name, message.producer_version = "slim2keras", __version__
    message.graph.name = subject.network.name
    message.doc_string = f"{subject.network.name}. Images: {images['words'] or 'nobody knows their preprocessing'}"
    del message.metadata_props[:]
    flat = {name: _text(item) for name, item in images.items()}
    helper.set_model_props(message, {IMAGES: _text(images), **flat})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _opset_of(message: onnx.ModelProto) -> int:
    return next(int(item.version) for item in message.opset_import if not item.domain)


def _shapes(values: Any) -> dict[str, list[int | str]]:
    return {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in values
    }


def _proof(subject: Subject, file: Path) -> Proof:
    images, of = subject.images()
    found, runtime = run_elsewhere("run_onnx", file, {IMAGES: images})

    def theirs(_: NDArray[Any]) -> list[NDArray[Any]]:
        return found

    return prove(subject.outputs, theirs, images, runtime=runtime, of=of, shaken=subject.shaken)
