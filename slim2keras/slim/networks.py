"""Slim's own networks, built by slim itself: the judge behind ``verify``."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs.network import Network
from slim2keras.nets import find_net
from slim2keras.nets.arguments import CUTS, ActivationName, ChangesOnly, KeepProbability, OfArgScope
from slim2keras.nets.registry import Net
from slim2keras.nets.spec import NetSpec
from slim2keras.slim.functions import call_function, open_function, outputs_and_end_points
from slim2keras.slim.runtime import DOWNLOAD_SLIM, import_tf_slim, slim_directory, slim_graph, slim_source_modules

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray


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
        changes_only = find_net(spec.net).marked(ChangesOnly)
        beyond = [name for name in changed if name not in changes_only]
        if beyond:
            raise UnsupportedArgumentError(
                f"{self.label}'s {spec.net} has no argument {', '.join(beyond)}, so it cannot judge "
                f"{', '.join(f'{name}={spec.arguments[name]!r}' for name in beyond)}."
            )
        return [name for name in names if any(re.fullmatch(changes_only[item].end_points, name) for item in changed)]

    def _not_taken(self, spec: NetSpec) -> list[str]:
        for_function, for_arg_scope, replaced = self._divided(spec, spec.arguments)
        taken = {"scope", *for_function, *for_arg_scope, *replaced}
        return [name for name in spec.arguments if name not in taken]

    def _divided(
        self, spec: NetSpec, given: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any], frozenset[str]]:
        """What network function and arg scope function take, and the arguments that one object stands for."""
        slim = find_net(spec.net).slim
        function, arg_scope = self.functions(spec)
        of_arg_scope = find_net(spec.net).marked(OfArgScope).keys()
        for_function = _taken(function, given, given.keys() - of_arg_scope)
        for_arg_scope = _taken(arg_scope, given, {"is_training", *of_arg_scope})
        if slim.make is None or slim.parameter not in _parameters(function):
            return for_function, for_arg_scope, frozenset()
        made, replaced = slim.make(sys.modules[function.__module__], given)
        return {**for_function, slim.parameter: made}, for_arg_scope, replaced

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

        spec = _of_zoo(network)
        function = self.network_function(spec, is_training=is_training, dropout_keep_prob=dropout_keep_prob)
        judges_output = self._has_head(spec) and not self._lacking(spec)
        with slim_graph() as graph:
            images = tf.compat.v1.placeholder(tf.float32, images_shape)
            logits, end_points = function(images)
            return collected_network(graph, images, {**end_points, "output": logits}, judges_output=judges_output)

    def network_function(
        self, spec: NetSpec, *, is_training: bool, dropout_keep_prob: float = 1.0
    ) -> Callable[[Any], tuple[Any, Mapping[str, Any]]]:
        """What ``nets_factory.get_network_fn`` gives: lays the network on images in a slim graph, see ``build``."""
        import tensorflow as tf
        from tf_slim.ops.arg_scope import arg_scope as use_arg_scope

        net = find_net(spec.net)
        function, arg_scope = self.functions(spec)
        kept = dict.fromkeys(net.marked(KeepProbability), dropout_keep_prob)
        given = {**spec.arguments, **kept, "is_training": is_training}
        # Not all of slim's functions can leave the classifier out; one that nobody compares does no harm.
        given["num_classes"] = (given["num_classes"] or None) if self._has_head(spec) else 2
        if CUTS in self._lacking(spec):
            # slim lays the whole network, and a small image may not reach through all of its branches.
            marks = net.marked(ChangesOnly)
            given |= {name: mark.where_cut for name, mark in marks.items() if mark.where_cut is not None}
        for name in net.marked(ActivationName):
            given[name] = getattr(tf.nn, given[name]) if given[name] else None
        for_function, for_arg_scope, _ = self._divided(spec, given)

        def lay(images: Any) -> tuple[Any, Mapping[str, Any]]:
            with contextlib.ExitStack() as scopes:
                scopes.enter_context(use_arg_scope(arg_scope(**for_arg_scope)))
                if "scope" not in for_function and spec.scope:
                    scopes.enter_context(tf.compat.v1.variable_scope(spec.scope))
                return function(images, **for_function)  # type: ignore[no-any-return]

        return lay

    def _has_head(self, spec: NetSpec) -> bool:
        return bool(spec.arguments["num_classes"]) or find_net(spec.net).slim.ends_in_features

    def _lacking(self, spec: NetSpec) -> list[ChangesOnly]:
        changes_only = find_net(spec.net).marked(ChangesOnly)
        return [changes_only[name] for name in self._changed(spec) if name in changes_only]

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
    graph: tf.Graph,
    images: Any,
    end_points: Mapping[str, Any],
    *,
    judges_output: bool = True,
    variables: str = "model_variables",
) -> SlimNetwork:
    """The network that was just built in a graph, with what slim put into its collections.

    Args:
        variables: The collection that its variables are in.
    """
    import tensorflow as tf

    collect, keys = tf.compat.v1.get_collection, tf.compat.v1.GraphKeys
    return SlimNetwork(
        graph=graph,
        images=images,
        end_points=end_points,
        variables={variable.op.name: variable for variable in collect(variables)},
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

    Raises:
        UnsupportedArgumentError: If it drops at random: two runs cannot be compared then.
    """
    import tensorflow as tf

    with open_function(function), slim_graph() as graph:
        images = tf.compat.v1.placeholder(tf.float32, images_shape)
        outputs, end_points = outputs_and_end_points(call_function(function, images, {}, is_training=is_training))
        output = outputs[0]
        if random := _random_ops(graph, output):
            raise UnsupportedArgumentError(
                f"The function draws at random, {random[0]} the first time, so that two runs cannot be compared. Give "
                "one without dropout (keep_prob 1) in training mode too."
            )
        # The function may make variables that slim does not know of.
        return collected_network(graph, images, {**end_points, "output": output}, variables="variables")


def _random_ops(graph: tf.Graph, output: tf.Tensor) -> list[str]:
    """Names of the ops that an output depends on and that draw at random; initializers are none of these."""
    import tensorflow as tf

    needed = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), [output.op.name])
    return [node.name for node in needed.node if node.op.startswith(("Random", "Stateless", "Multinomial"))]


def _functions_of_factory(factory: ModuleType, spec: NetSpec) -> tuple[Any, Any]:
    net = find_net(spec.net)
    for name in (net.name, net.slim_name):
        if name in factory.networks_map:
            return factory.networks_map[name], factory.arg_scopes_map[name]
    functions = _functions_in(sys.modules.get(f"nets.{net.slim.module}"), net)
    if functions is None:
        raise UnsupportedArgumentError(f"research/slim has no network {net.name}, so it cannot judge it.")
    return functions


def _functions_of_tf_slim(spec: NetSpec) -> tuple[Any, Any]:
    net = find_net(spec.net)
    if net.slim_name is None:
        raise UnsupportedArgumentError(
            f"slim has no network {net.name}: it is not in nets_factory, and its original runs on TensorFlow 1 only. "
            "Neither tf_slim nor research/slim can judge it."
        )
    module = importlib.import_module(f"tf_slim.nets.{net.slim.module}") if net.slim.module else None
    functions = _functions_in(module, net)
    if functions is None:
        raise UnsupportedArgumentError(
            f"tf_slim has no network {net.name}, so it cannot judge it. research/slim has it; its archive is fetched by"
            f"\n  {DOWNLOAD_SLIM}\n"
            "Give that, or a directory research/slim: slim_source=PATH (command line: --slim-source PATH)."
        )
    return functions


def _functions_in(module: ModuleType | None, net: Net) -> tuple[Any, Any] | None:
    """Network function and arg scope function of slim's module, if it has the network."""
    function = getattr(module, net.slim.name or net.slim_name or "", None)
    return (function, getattr(module, net.slim.arg_scope)) if function else None


def assign_variables(network: SlimNetwork, session: Any, values: Mapping[str, NDArray[Any]]) -> None:
    """Give variables of the network their values; the others are drawn by slim's initializers."""
    initial = {variable.initial_value: values[name] for name, variable in network.variables.items() if name in values}
    session.run([variable.initializer for variable in network.variables.values()], initial)


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def _taken(function: Any, arguments: Mapping[str, Any], handed_on: Collection[str]) -> dict[str, Any]:
    """The arguments that a function of slim takes, ``handed_on`` among them if it takes any keyword."""
    parameters = _parameters(function)
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    return {name: value for name, value in arguments.items() if name in parameters or (takes_any and name in handed_on)}
