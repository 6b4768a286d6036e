"""What a model is compared with: slim's own network, or the graph that it was imported from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slim2keras.errors import UnsupportedArgumentError, UnsupportedGraphError
from slim2keras.importing.damage import told_as_damage
from slim2keras.importing.judged_graph import JudgedGraph
from slim2keras.slim.networks import SlimNetwork, assign_variables
from slim2keras.slim.runtime import op_by_op_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = Mapping[str, "NDArray[Any]"]
Images = Sequence["NDArray[Any]"]
"""One array an input, (batch, height, width, channels)."""


@dataclass(frozen=True)
class Run:
    """Numbers of one forward pass: end points and ``output``, moving statistics after it, sum of the losses.

    The sum is ``None`` where a loss cannot be computed.
    """

    activations: Arrays
    moved: Arrays
    regularization_loss: float | None = 0.0


@dataclass(frozen=True)
class Original:
    """A network that judges, at inference or in training.

    Attributes:
        run: From the values of its variables and from images to numbers.
        shapes: Of its variables.
        judges_output: Whether its classifier stands for ours.
        knows_all_variables: Whether a model must have no other variables, nor fewer.
        trained: Names of the variables that it trains, ``None`` where it does not tell.
        locked: Moving variances of the BatchNorm layers that normalise with moving statistics in training too.
        refused: Ops that were not run, nor what depends on them.
    """

    run: Callable[[Arrays, Images], Run]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    judges_output: bool = True
    knows_all_variables: bool = True
    trained: frozenset[str] | None = None
    locked: frozenset[str] = frozenset()
    refused: Sequence[str] = ()


def of_slim(network: SlimNetwork) -> Original:
    """A network that slim's functions built."""

    def run(values: Arrays, images: Images) -> Run:
        with op_by_op_session(network.graph) as session:
            assign_variables(network, session, values)
            fetches = {"activations": dict(network.end_points), "losses": list(network.regularization_losses)}
            fetched, _ = session.run((fetches, list(network.update_ops)), {network.images: images[0]})
            statistics = {name: item for name, item in network.variables.items() if name not in network.trainable}
            return Run(fetched["activations"], session.run(statistics), float(sum(map(float, fetched["losses"]))))

    shapes = {name: tuple(variable.shape) for name, variable in network.variables.items()}
    return Original(run, shapes, network.judges_output)


def of_graph(
    judged: JudgedGraph,
    outputs: Sequence[str],
    names: Mapping[str, str],
    variables: frozenset[str],
    *,
    trained: frozenset[str] | None = None,
    knows_all_variables: bool = False,
) -> Original:
    """A graph that a model was imported from, or that lays the same network.

    Args:
        outputs: Tensors that its network ends in; the first is ``output``.
        names: End point of ours to the tensor of the graph.
        variables: Names of the model's; losses of others are left out.
        trained: As in ``Original``.
        knows_all_variables: As in ``Original``.
    """
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default(), told_as_damage("The graph that is to judge"):
        tf.graph_util.import_graph_def(judged.graph, name="")
    found = {name: judged.tensors[tensor] for name, tensor in names.items() if tensor in judged.tensors}
    if outputs[0] in judged.tensors:
        found["output"] = judged.tensors[outputs[0]]
    names_there = {operation.name for operation in graph.get_operations()}
    losses = [item for item, behind in judged.losses.items() if behind <= variables]
    kept_losses = [judged.tensors[item] for item in losses if item in judged.tensors]

    def run(values: Arrays, images: Images) -> Run:
        feeds = {f"{name}:0": image for name, image in zip(judged.inputs, images, strict=True)}
        feeds |= {f"{name}:0": values[name] for name in judged.variables if name in values}
        fetches = {
            "activations": {name: _full(tensor) for name, tensor in found.items()},
            "moved": {name: _full(tensor) for name, (tensor, _) in judged.moved.items()},
            "losses": [_full(tensor) for tensor in kept_losses],
        }
        with op_by_op_session(graph) as session:
            there = {name: value for name, value in feeds.items() if name.partition(":")[0] in names_there}
            numbers = _numbers(session, fetches, there, [image.shape for image in images])
        moved = {
            name: values[name] - value if judged.moved[name][1] else value for name, value in numbers["moved"].items()
        }
        loss = float(sum(map(float, numbers["losses"])))
        return Run(numbers["activations"], moved, loss if len(kept_losses) == len(losses) else None)

    return Original(
        run,
        judged.variables,
        knows_all_variables=knows_all_variables,
        trained=trained,
        locked=judged.locked,
        refused=judged.refused,
    )


def _full(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"


def _numbers(session: Any, fetches: Any, feeds: Mapping[str, Any], shapes: Sequence[Any]) -> Any:
    import tensorflow as tf

    try:
        return session.run(fetches, feeds)
    except tf.errors.InvalidArgumentError as error:
        why = next((line for line in error.message.splitlines() if "shape" in line.lower()), error.message)
        raise UnsupportedArgumentError(
            f"The graph cannot be run on images of {', '.join(map(str, shapes))}: {why:.200}. Give images that fit "
            "each other, one array an input: verify(checkpoint, model, images=[...])."
        ) from error
    except tf.errors.OpError as error:
        raise UnsupportedGraphError(
            f"The graph cannot be run on images of {', '.join(map(str, shapes))}: {error.message:.200}. Nothing was "
            "compared; give smaller images, verify(checkpoint, model, images=...), or another graph."
        ) from error
