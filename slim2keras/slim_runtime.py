"""Makes ``tf_slim`` work on today's TensorFlow, and runs its networks; the only place that touches private modules."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from slim2keras.errors import Slim2KerasError, UnsupportedArgumentError
from slim2keras.nets import NETS
from slim2keras.recognition import NetSpec

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

_LEGACY_LAYERS = "tf_keras.legacy_tf_layers"
_LEGACY_SUBMODULES = ("base", "convolutional", "core", "normalization", "pooling")

# The judge that PyPI has is an older cut of research/slim. Where it lacks an argument it behaves like this value.
_JUDGE_LACKS: Mapping[str, Any] = {
    "global_pool": False,
    "store_non_strided_activations": False,
    "final_endpoint": None,
    "fc_conv_padding": "VALID",
    "use_separable_conv": True,
    "use_batch_norm": True,
    "batch_norm_scale": False,
    "separable_batch_norm": False,
}
# Arguments that change only what lies behind the last block: the end points before it are judged all the same.
_CHANGES_HEAD_ONLY = frozenset({"global_pool", "final_endpoint"})
_HEAD_END_POINTS = re.compile(r"global_pool|AvgPool_.*|PreLogits|Logits|Predictions|.*/fc8")


def import_tf_slim() -> ModuleType:
    """Import ``tf_slim``, which looks for layers where tf_keras no longer has them.

    Raises:
        Slim2KerasError: If ``tf_slim`` is not installed, or cannot be repaired with this TensorFlow.
    """
    try:
        if _LEGACY_LAYERS not in sys.modules:
            sys.modules[_LEGACY_LAYERS] = importlib.import_module("tf_keras.src.legacy_tf_layers")
            for name in _LEGACY_SUBMODULES:
                module = importlib.import_module(f"tf_keras.src.legacy_tf_layers.{name}")
                sys.modules[f"{_LEGACY_LAYERS}.{name}"] = module
        return importlib.import_module("tf_slim")
    except ImportError as error:
        raise Slim2KerasError(
            f"slim itself cannot be imported: {error}. Install it with: pip install tf-slim==1.1.0"
        ) from error


@contextlib.contextmanager
def slim_graph() -> Iterator[tf.Graph]:
    """A new default graph in which slim builds networks.

    Building a slim layer makes tf_keras swap the base class of its own layers for that of TensorFlow 1, in place and
    for the whole process: Keras models made before would fail when called. Here the classes get their bases back.
    slim's use of deprecated TensorFlow calls does not warn, since its user can do nothing about it.
    """
    import_tf_slim()
    import tensorflow as tf
    import tf_keras

    bases = {layer_class: layer_class.__bases__ for layer_class in _subclasses(tf_keras.layers.Layer)}
    graph = tf.Graph()
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        with graph.as_default(), warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=".*deprecated and will be removed in a future version.*", category=UserWarning
            )
            yield graph
    finally:
        logger.setLevel(level)
        for layer_class, its_bases in bases.items():
            if layer_class.__bases__ != its_bases:
                layer_class.__bases__ = its_bases


def _subclasses(base: type) -> Iterator[type]:
    subclass: type
    for subclass in base.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


@dataclass(frozen=True)
class SlimNetwork:
    """A network of slim in a graph of its own.

    Attributes:
        graph: The graph.
        images: Placeholder, float32, (batch, height, width, channels).
        end_points: slim's end points, and its first return value as ``output``.
        variables: Model variables by name.
        trainable: Names of the trainable ones.
        update_ops: Moves the moving statistics.
        regularization_losses: One per regularized variable.
        judges_output: Whether its classifier stands for ours; where ours has none, slim's older functions have one.
    """

    graph: tf.Graph
    images: Any
    end_points: Mapping[str, Any]
    variables: Mapping[str, Any]
    trainable: frozenset[str]
    update_ops: Sequence[Any]
    regularization_losses: Sequence[Any]
    judges_output: bool


def unjudged_end_points(spec: NetSpec, names: Sequence[str]) -> list[str]:
    """End points of ours that slim's own network cannot judge, because its cut lacks an argument that they depend on.

    Raises:
        UnsupportedArgumentError: If the argument changes more than the head, so that nothing can be judged.
    """
    function, arg_scope = _slim_functions(spec)
    taken = {*_parameters(function), *_parameters(arg_scope)}
    changed = [
        name
        for name, value in spec.arguments.items()
        if name not in taken and name in _JUDGE_LACKS and value != _JUDGE_LACKS[name]
    ]
    beyond = [name for name in changed if name not in _CHANGES_HEAD_ONLY]
    if beyond:
        raise UnsupportedArgumentError(
            f"tf_slim's {spec.net} has no argument {', '.join(beyond)}, so it cannot judge "
            f"{', '.join(f'{name}={spec.arguments[name]!r}' for name in beyond)}."
        )
    if not changed:
        return []
    return [name for name in names if _HEAD_END_POINTS.fullmatch(name)]


def build_slim_network(
    spec: NetSpec, images_shape: tuple[int, ...], *, is_training: bool, dropout_keep_prob: float = 1.0
) -> SlimNetwork:
    """Build the network with slim itself.

    Args:
        spec: Network and arguments.
        images_shape: (batch, height, width, channels).
        is_training: As in slim.
        dropout_keep_prob: 1 switches dropout off, so that runs can be compared.
    """
    import_tf_slim()
    import tensorflow as tf
    from tf_slim.ops.arg_scope import arg_scope as use_arg_scope

    function, arg_scope = _slim_functions(spec)
    given = {**spec.arguments, "is_training": is_training, "dropout_keep_prob": dropout_keep_prob}
    given["num_classes"] = given["num_classes"] or None
    judges_output = bool(given["num_classes"]) or spec.net.startswith("resnet")
    if not judges_output:
        # tf_slim's functions cannot leave the classifier out; one that nobody compares does no harm.
        given["num_classes"] = 2
    with slim_graph() as graph:
        images = tf.compat.v1.placeholder(tf.float32, images_shape)
        with use_arg_scope(arg_scope(**_taken(arg_scope, given))):
            logits, end_points = function(images, **_taken(function, given))
        collect = tf.compat.v1.get_collection
        keys = tf.compat.v1.GraphKeys
        return SlimNetwork(
            graph=graph,
            images=images,
            end_points={**end_points, "output": logits},
            variables={variable.op.name: variable for variable in collect(keys.MODEL_VARIABLES)},
            trainable=frozenset(variable.op.name for variable in collect(keys.TRAINABLE_VARIABLES)),
            update_ops=collect(keys.UPDATE_OPS),
            regularization_losses=collect(keys.REGULARIZATION_LOSSES),
            judges_output=judges_output and not spec.arguments.get("final_endpoint"),
        )


def op_by_op_session(graph: tf.Graph) -> Any:
    """A session that runs the graph as it stands: no op is rewritten, fused or folded."""
    import tensorflow as tf
    from tensorflow.core.protobuf import rewriter_config_pb2

    options = tf.compat.v1.GraphOptions(
        rewrite_options=rewriter_config_pb2.RewriterConfig(disable_meta_optimizer=True),
        optimizer_options=tf.compat.v1.OptimizerOptions(opt_level=tf.compat.v1.OptimizerOptions.L0),
    )
    return tf.compat.v1.Session(graph=graph, config=tf.compat.v1.ConfigProto(graph_options=options))


def assign_variables(network: SlimNetwork, session: Any, values: Mapping[str, NDArray[Any]]) -> None:
    """Give variables of the network their values; the others are drawn by slim's initializers."""
    initial = {variable.initial_value: values[name] for name, variable in network.variables.items() if name in values}
    session.run([variable.initializer for variable in network.variables.values()], initial)


def _slim_functions(spec: NetSpec) -> tuple[Any, Any]:
    """The network function and the arg scope function of ``tf_slim.nets``."""
    import_tf_slim()
    family = spec.net.rpartition("_")[0] if spec.net.startswith(("resnet", "vgg")) else spec.net
    module_name = {"alexnet_v2": "alexnet"}.get(family, family)
    module = importlib.import_module(f"tf_slim.nets.{module_name}")
    if module_name.startswith("resnet"):
        return _resnet_function(spec, module), module.resnet_arg_scope
    if module_name.startswith("inception"):
        # research/slim has one arg scope for all Inceptions; tf_slim's v3 is the one that takes decay and epsilon.
        scopes = importlib.import_module("tf_slim.nets.inception_v3")
        return getattr(module, spec.net), scopes.inception_v3_arg_scope
    return getattr(module, spec.net), getattr(module, f"{family}_arg_scope")


def _resnet_function(spec: NetSpec, module: ModuleType) -> Any:
    """A ResNet from slim's generator and blocks, which take the depths that its named functions do not."""
    version = module.__name__.rpartition(".")[2]
    units = NETS[spec.net].lay.args[0].units  # type: ignore[attr-defined]
    multiplier = spec.arguments.get("depth_multiplier", 1.0)
    depths = [max(int(depth * multiplier), spec.arguments.get("min_base_depth", 8)) for depth in (64, 128, 256, 512)]
    block = getattr(module, f"{version}_block")
    blocks = [
        block(f"block{index}", base_depth=depth, num_units=count, stride=stride)
        for index, (depth, count, stride) in enumerate(zip(depths, units, (2, 2, 2, 1), strict=True), start=1)
    ]
    return functools.partial(getattr(module, version), blocks=blocks)


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def _taken(function: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name in _parameters(function)}
