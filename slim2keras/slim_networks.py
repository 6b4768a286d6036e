"""Slim's own networks, built by slim itself: the judge behind ``verify``."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.nets import NETS, find_net
from slim2keras.nets.spec import NetSpec
from slim2keras.network import Network
from slim2keras.slim_runtime import DOWNLOAD_SLIM, import_tf_slim, slim_directory, slim_graph, slim_source_modules

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

# Arguments that change only what lies behind the last block: the end points before it are judged all the same.
_CHANGES_HEAD_ONLY = frozenset({"global_pool", "final_endpoint", "base_only"})
_HEAD_END_POINTS = re.compile(r"global_pool|AvgPool_.*|PreLogits|Logits|Predictions|.*/fc8")
# Arguments that slim's MobileNets hand on without naming them: those of the network and those of the arg scope.
_HANDED_ON = (
    *("is_training", "final_endpoint", "output_stride", "use_explicit_padding", "base_only"),
    "use_reduce_mean_for_pooling",
)
_HANDED_ON_BY_ARG_SCOPE = ("is_training", "weight_decay", "stddev", "dropout_keep_prob", "bn_decay")
# What tf_slim's ResNets do not take but their blocks decide; they never squeeze, which a comparison sees through.
_OF_RESNET_BLOCKS = ("depth_multiplier", "min_base_depth", "spatial_squeeze")
_CONFIGS = {"cifar": "cifar_config", "mobile": "mobile_imagenet_config", "large": "large_imagenet_config"}


@dataclass(frozen=True)
class SlimNetwork:
    """A network of slim in a graph of its own.

    Attributes:
        graph: The graph.
        images: Placeholder, float32, (batch, height, width, channels), or with frames after the batch.
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


@dataclass(frozen=True)
class Judge:
    """A cut of slim.

    Attributes:
        label: What to call it.
        functions: Network function and arg scope function of a network.
    """

    label: str
    functions: Callable[[NetSpec], tuple[Any, Any]]

    def unjudged_end_points(self, network: Network, names: Sequence[str]) -> list[str]:
        """End points of ours that this cut cannot judge, because it lacks an argument that they depend on.

        Raises:
            UnsupportedArgumentError: If it lacks the network, or an argument that changes more than the head.
        """
        spec = _of_zoo(network)
        changed = self._changed(spec)
        beyond = [name for name in changed if name not in _CHANGES_HEAD_ONLY]
        if beyond:
            raise UnsupportedArgumentError(
                f"{self.label}'s {spec.net} has no argument {', '.join(beyond)}, so it cannot judge "
                f"{', '.join(f'{name}={spec.arguments[name]!r}' for name in beyond)}."
            )
        return [name for name in names if _HEAD_END_POINTS.fullmatch(name)] if changed else []

    def _not_taken(self, spec: NetSpec) -> list[str]:
        function, arg_scope = self.functions(spec)
        taken = {
            "scope",
            *_taken(function, spec.arguments, _HANDED_ON),
            *_taken(arg_scope, spec.arguments, _HANDED_ON_BY_ARG_SCOPE),
            *(_config(function, spec).values() if "config" in _parameters(function) else ()),
            *(_OF_RESNET_BLOCKS if "blocks" in _parameters(function) else ()),
        }
        return [name for name in spec.arguments if name not in taken]

    def build(
        self, network: Network, images_shape: tuple[int, ...], *, is_training: bool, dropout_keep_prob: float = 1.0
    ) -> SlimNetwork:
        """Build the network.

        Args:
            network: Network and arguments.
            images_shape: (batch, height, width, channels).
            is_training: As in slim.
            dropout_keep_prob: 1 switches dropout and drop-path off, so that runs can be compared.
        """
        import tensorflow as tf
        from tf_slim.ops.arg_scope import arg_scope as use_arg_scope

        spec = _of_zoo(network)
        function, arg_scope = self.functions(spec)
        given = {**spec.arguments, "is_training": is_training, "dropout_keep_prob": dropout_keep_prob}
        given["num_classes"] = given["num_classes"] or None
        judges_output = bool(given["num_classes"]) or spec.net.startswith("resnet")
        if not judges_output:
            # Not all of slim's functions can leave the classifier out; one that nobody compares does no harm.
            given["num_classes"] = 2
        if given.get("final_endpoint") and "final_endpoint" in self._not_taken(spec):
            # The head is not compared, and a small image may not reach through it.
            given["create_aux_logits"] = False
        if given.get("activation_fn"):
            given["activation_fn"] = getattr(tf.nn, given["activation_fn"])
        if "config" in _parameters(function):
            given["config"] = _config(function, spec)
            given["config"].set_hparam("drop_path_keep_prob", dropout_keep_prob)
            given["config"].set_hparam("dense_dropout_keep_prob", dropout_keep_prob)
        taken = _taken(function, given, _HANDED_ON)
        with slim_graph() as graph, contextlib.ExitStack() as scopes:
            images = tf.compat.v1.placeholder(tf.float32, images_shape)
            scopes.enter_context(use_arg_scope(arg_scope(**_taken(arg_scope, given, _HANDED_ON_BY_ARG_SCOPE))))
            if "scope" not in taken and spec.scope:
                scopes.enter_context(tf.compat.v1.variable_scope(spec.scope))
            logits, end_points = function(images, **taken)
            judges_output = judges_output and not _CHANGES_HEAD_ONLY.intersection(self._changed(spec))
            return collected_network(graph, images, {**end_points, "output": logits}, judges_output=judges_output)

    def _changed(self, spec: NetSpec) -> list[str]:
        """Arguments that this cut does not take and that are not the defaults of the function that judges."""
        defaults = find_net(find_net(spec.net).slim_name or spec.net).defaults
        return [name for name in self._not_taken(spec) if spec.arguments[name] != defaults[name]]


@contextlib.contextmanager
def open_judge(slim_source: Path | None = None) -> Iterator[Judge]:
    """The slim that judges: ``tf_slim``, or the user's ``research/slim``, see ``slim_directory``.

    Raises:
        UnsupportedArgumentError: If ``slim_source`` is no such thing.
        CheckpointReadError: If it is an archive that cannot be unpacked.
        Slim2KerasError: If slim cannot be imported.
    """
    if slim_source is None:
        import_tf_slim()
        yield Judge("tf_slim", _functions_of_tf_slim)
        return
    with slim_directory(slim_source) as directory, slim_source_modules(directory) as factory:
        yield Judge("research/slim", functools.partial(_functions_of_factory, factory))


def _of_zoo(network: Network) -> NetSpec:
    if not isinstance(network, NetSpec):
        raise UnsupportedArgumentError(
            f"{network.name} is no network of slim's zoo, so slim cannot judge it. Give the function that built it: "
            "network=function, function(images, is_training)."
        )
    return network


def collected_network(
    graph: tf.Graph, images: Any, end_points: Mapping[str, Any], *, judges_output: bool = True
) -> SlimNetwork:
    """The network that was just built in a graph, with what slim put into its collections."""
    import tensorflow as tf

    collect, keys = tf.compat.v1.get_collection, tf.compat.v1.GraphKeys
    return SlimNetwork(
        graph=graph,
        images=images,
        end_points=end_points,
        variables={variable.op.name: variable for variable in collect(keys.MODEL_VARIABLES)},
        trainable=frozenset(variable.op.name for variable in collect(keys.TRAINABLE_VARIABLES)),
        update_ops=collect(keys.UPDATE_OPS),
        regularization_losses=collect(keys.REGULARIZATION_LOSSES),
        judges_output=judges_output,
    )


def network_of_function(
    function: Callable[..., Any], images_shape: tuple[int, ...], *, is_training: bool
) -> SlimNetwork:
    """The network that the user's own slim function builds.

    Args:
        function: ``function(images, is_training)`` gives the output, or (output, end points).
        images_shape: (batch, height, width, channels).
        is_training: As in slim.
    """
    import tensorflow as tf

    with slim_graph() as graph:
        images = tf.compat.v1.placeholder(tf.float32, images_shape)
        result = function(images, is_training)
        output, end_points = result if isinstance(result, tuple) else (result, {})
        return collected_network(graph, images, {**end_points, "output": output})


def _functions_of_factory(factory: ModuleType, spec: NetSpec) -> tuple[Any, Any]:
    names = [name for name in (spec.net, find_net(spec.net).slim_name) if name in factory.networks_map]
    sibling = f"{spec.net.rpartition('_')[0]}_50"
    if not names and spec.net.startswith("resnet") and sibling in factory.networks_map:
        module = sys.modules[factory.networks_map[sibling].__module__]
        return _resnet_function(spec, module), factory.arg_scopes_map[sibling]
    if not names:
        raise UnsupportedArgumentError(f"research/slim has no network {spec.net}, so it cannot judge it.")
    return factory.networks_map[names[0]], factory.arg_scopes_map[names[0]]


def _functions_of_tf_slim(spec: NetSpec) -> tuple[Any, Any]:
    net = find_net(spec.net).slim_name
    if net is None:
        raise UnsupportedArgumentError(
            f"slim has no network {spec.net}: it is not in nets_factory, and its original runs on TensorFlow 1 only. "
            "Neither tf_slim nor research/slim can judge it."
        )
    family = net.rpartition("_")[0] if net.startswith(("resnet", "vgg")) else net
    module_name = {"alexnet_v2": "alexnet"}.get(family, family)
    if importlib.util.find_spec(f"tf_slim.nets.{module_name}") is None:
        raise UnsupportedArgumentError(
            f"tf_slim has no network {spec.net}, so it cannot judge it. research/slim has it; its archive is fetched by"
            f"\n  {DOWNLOAD_SLIM}\n"
            "Give that, or a directory research/slim: slim_source=PATH (command line: --slim-source PATH)."
        )
    module = importlib.import_module(f"tf_slim.nets.{module_name}")
    if module_name.startswith("resnet"):
        return _resnet_function(spec, module), module.resnet_arg_scope
    if module_name.startswith("inception"):
        # research/slim has one arg scope for all Inceptions; tf_slim's v3 is the one that takes decay and epsilon.
        scopes = importlib.import_module("tf_slim.nets.inception_v3")
        return getattr(module, net), scopes.inception_v3_arg_scope
    return getattr(module, net), getattr(module, f"{family}_arg_scope")


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


def _config(function: Any, spec: NetSpec) -> Any:
    """NASNet's hyperparameters, as slim has them and with the arguments given."""
    slim_name = find_net(spec.net).slim_name
    assert slim_name is not None, "all NASNets are in slim's factory"
    size = slim_name.rpartition("_")[2]
    config = inspect.unwrap(function).__globals__[_CONFIGS[size]]()
    for name in config.values():
        if name in spec.arguments:
            config.set_hparam(name, spec.arguments[name])
    return config


def assign_variables(network: SlimNetwork, session: Any, values: Mapping[str, NDArray[Any]]) -> None:
    """Give variables of the network their values; the others are drawn by slim's initializers."""
    initial = {variable.initial_value: values[name] for name, variable in network.variables.items() if name in values}
    session.run([variable.initializer for variable in network.variables.values()], initial)


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def _taken(function: Any, arguments: Mapping[str, Any], handed_on: Sequence[str]) -> dict[str, Any]:
    """The arguments that a function of slim takes, ``handed_on`` among them if it takes any keyword."""
    parameters = _parameters(function)
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    return {name: value for name, value in arguments.items() if name in parameters or (takes_any and name in handed_on)}
