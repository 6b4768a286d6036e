"""A TensorFlow 1 graph as a network: what slim2keras does for the nets of slim's zoo, it does for this one too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from slim2keras.errors import UnsupportedGraphError
from slim2keras.graphs.graph import LayerGraph, Shape, Tensor
from slim2keras.graphs.network import GraphNetwork
from slim2keras.importing.batch_norms import FUSED
from slim2keras.importing.damage import told_as_damage, told_of
from slim2keras.importing.ends import last_layers, listed
from slim2keras.importing.inputs import Input, describe_inputs
from slim2keras.importing.loose_variables import used_by_unlike_layers
from slim2keras.importing.node import tensor_name
from slim2keras.importing.nodes import FAKE_QUANTIZED, Nodes
from slim2keras.importing.origins import whereabouts
from slim2keras.importing.penalties import penalties_of
from slim2keras.importing.preparing import PreparedGraph, prepare
from slim2keras.importing.raw_ops import raw_op
from slim2keras.importing.sources import GraphSource
from slim2keras.importing.supported_ops import check_supported
from slim2keras.importing.translation import Activation, Facts, NotALayerError, Translation, translate

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_DECAY = 0.999
"""``slim.batch_norm``'s."""


@dataclass(frozen=True, eq=False)
class ImportedGraph:
    """A network that was read from a graph.

    Attributes:
        network: The network.
        constants: Values of variables that the graph holds as constants, by name; of a frozen graph all of them.
        remarks: What the user must be told.
        decay_is_known: Whether the graph tells the decay of every BatchNorm.
    """

    network: GraphNetwork
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    decay_is_known: bool = True


def import_graph(
    source: GraphSource,
    *,
    name: str,
    input_tensors: Sequence[str] = (),
    output_tensors: Sequence[str] = (),
    placeholder_values: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    training: GraphSource | None = None,
) -> ImportedGraph:
    """Import a graph as a network of Keras layers.

    Args:
        source: The graph: one that trains, one for inference, or one that switches between them.
        name: Of the network.
        input_tensors: Where images come in; found if left out.
        output_tensors: Where the network ends; found if left out.
        placeholder_values: Values of placeholders that are no images, by name.
        input_shape: (height, width, channels), where the graph leaves it open.
        training: The same network as it trains, where there are two graphs of it.

    Raises:
        UnsupportedGraphError: If an op is not imported, or it is not clear where the network begins or ends.
    """
    prepared = prepare(source, input_tensors, output_tensors, placeholder_values or {})
    with told_of(source.path), told_as_damage(source.path):
        imported = _translated(source, prepared, name, input_shape)
    origin = {
        **whereabouts(source),
        "kind": source.kind,
        "input_tensors": list(prepared.inputs),
        "output_tensors": list(prepared.outputs),
        "placeholder_values": dict(placeholder_values or {}),
        "training_switch": dict(prepared.switch.training),
    }
    imported = replace(imported, network=replace(imported.network, origin=origin))
    if training is None:
        return imported
    trained = import_graph(training, name=name, placeholder_values=placeholder_values, input_shape=input_shape)
    return _with_training(imported, trained)


def _translated(source: GraphSource, prepared: PreparedGraph, name: str, input_shape: Shape | None) -> ImportedGraph:
    inputs = describe_inputs(prepared.nodes, prepared.used(), prepared.inputs, input_shape)
    translation = _translation(source, prepared, inputs)
    graph = translation.graph
    graph.outputs += [_output(translation, tensor) for tensor in prepared.outputs]
    _check_computes(graph, prepared)
    graph.end_points |= _end_points(translation, source, inputs)
    unknown = _norms_of_unknown_decay(prepared)
    names = {variable.name for variable in graph.variables()}
    constants = {name: value for name, value in translation.constants.items() if name in names}
    network = GraphNetwork(name=name, layers=graph, num_classes=_num_classes(translation, prepared.outputs))
    remarks = (*prepared.remarks, *translation.remarks, *_remarks(prepared, unknown))
    return ImportedGraph(network, constants, remarks, not unknown)


def _translation(source: GraphSource, prepared: PreparedGraph, inputs: Sequence[Input]) -> Translation:
    """The layers of a graph; what turns out to be no layer, or to share variables unlike one, is laid op by op."""
    nodes, loose = prepared.nodes, frozenset[str]()
    penalties = penalties_of(nodes, source.regularization_losses)
    facts = Facts(
        trainable=source.trainable,
        penalties=penalties.by_variable,
        decays=prepared.decays,
        default_decay=DEFAULT_DECAY,
        baked_batch=next((item.batch for item in inputs if item.batch is not None), None),
    )
    while True:
        translation = Translation(nodes, facts)
        translation.remarks += [*penalties.remarks, *_penalties_elsewhere(nodes, source)]
        used = prepared.used()
        check_supported(nodes, used)
        translation.keep_loose(used_by_unlike_layers(nodes, used) | loose)
        for item in inputs:
            item.add_to(translation)
        try:
            for node in used:
                with told_as_damage(f"{node.name} ({node.op}) in {source.path}"):
                    translate(translation, node, raw_op)
        except NotALayerError as error:
            nodes.unmark(error.name)
            continue
        twice = _owned_twice(translation.graph)
        if not twice - loose:
            return translation
        loose |= twice


def _penalties_elsewhere(nodes: Nodes, source: GraphSource) -> Iterator[str]:
    """What to say of weight decay that tutorials of TensorFlow put among the losses of the data."""
    others = [tensor for tensor in source.loss_tensors if tensor not in source.regularization_losses]
    found = penalties_of(nodes, others).by_variable
    if found:
        yield (
            f"The collection of losses has weight decay of {len(found)} variables, first {min(found)}, which is none "
            "of the regularization losses: the model has it not."
        )


def _owned_twice(graph: LayerGraph) -> frozenset[str]:
    """Names of variables that several layers own: only as tensors can they be one."""
    owners = Counter(variable.name for layer in graph.layers.values() for variable in layer.variables)
    return frozenset(name for name, number in owners.items() if number > 1)


def _check_computes(graph: LayerGraph, prepared: PreparedGraph) -> None:
    if all(graph.layers[output.layer_name].kind == "InputLayer" for output in graph.outputs):
        raise UnsupportedGraphError(
            f"Between the inputs, {', '.join(prepared.inputs)}, and the outputs, {', '.join(prepared.outputs)}, "
            "nothing is computed. Name others: input_tensors=[...], output_tensors=[...] (command line: --input-tensor "
            "NAME, --output-tensor NAME)."
        )


def _output(translation: Translation, tensor: str) -> Tensor:
    value = translation.value(tensor)
    if not isinstance(value, Activation):
        raise UnsupportedGraphError(f"The output {tensor} does not depend on the input. Name another one.")
    if not value.shape:
        nodes = translation.nodes
        raise UnsupportedGraphError(
            f"The output {tensor} is a single number, a loss perhaps. Name what the network gives, for example\n"
            f"{listed(nodes, last_layers(nodes))}output_tensors=[...] (command line: --output-tensor NAME)."
        )
    return value.tensor


def _num_classes(translation: Translation, outputs: Sequence[str]) -> int | None:
    shape = translation.value(outputs[0]).shape
    return shape[-1] if len(shape) == 2 and isinstance(shape[-1], int) else None


def _end_points(translation: Translation, source: GraphSource, inputs: Iterable[Input]) -> dict[str, Tensor]:
    """What every layer gives under the name of its op, and what a function or a signature names under that."""
    fed = {translation.nodes.source(item.tensor) for item in inputs}
    chosen = translation.nodes.chosen()
    found = {
        name: value.tensor
        for tensor, value in translation.values()
        if isinstance(value, Activation) and tensor not in fed
        for name in (tensor, *chosen.get(tensor, ()))
    }
    for name, tensor in source.end_points.items():
        value = translation.find(tensor_name(tensor))
        if isinstance(value, Activation):
            found[name] = value.tensor
    return found


def _norms_of_unknown_decay(prepared: PreparedGraph) -> list[str]:
    return [node.name for node in prepared.norms if not {node.facts.mean, node.facts.variance} & prepared.decays.keys()]


def _remarks(prepared: PreparedGraph, unknown: Sequence[str]) -> Iterable[str]:
    if unknown:
        yield (
            f"The graph does not tell the decay of {len(unknown)} BatchNorm layers, first {unknown[0]}: slim's default "
            f"{DEFAULT_DECAY} is assumed."
        )
    quantized = sum(node.op in FAKE_QUANTIZED for node in prepared.nodes.by_name.values())
    if quantized:
        yield f"{quantized} FakeQuant ops are left out: the network computes with whole float32 values."
    by_batch = [node.name for node in prepared.used() if node.op in FUSED and node.flag("is_training", default=True)]
    if by_batch:
        yield (
            f"{len(by_batch)} BatchNorm layers, first {by_batch[0]}, have no moving statistics: they normalise with "
            "the batch at inference too, so that what the network says of an image depends on the others."
        )


def _with_training(imported: ImportedGraph, trained: ImportedGraph) -> ImportedGraph:
    """The network as it trains if it is the same but for dropout, else the one for inference with its decays."""
    if _signature(imported.network) == _signature(trained.network):
        return replace(trained, network=replace(trained.network, origin=imported.network.origin))
    decays = trained.network.decays
    config = imported.network.to_config()
    for row in config["graph"]["layers"]:
        layer_name = row["config"]["name"]
        if layer_name in decays:
            row["config"]["momentum"] = decays[layer_name]
    remark = (
        "The function lays other layers in training than at inference: the model is the one for inference, with the "
        "decay of the one that trains, and nothing is dropped."
    )
    network = GraphNetwork.from_config(config)
    return replace(imported, network=network, remarks=(*trained.remarks, remark), decay_is_known=trained.decay_is_known)


def _signature(network: GraphNetwork) -> list[Any]:
    """What a network computes at inference, without the names of its ops."""
    dropped = {"Dropout"}
    layers = network.layers.layers.values()
    kept = [layer for layer in layers if layer.kind not in dropped]
    return [
        (
            layer.kind,
            {key: value for key, value in layer.config.items() if key not in ("momentum", "trainable")},
            [variable.name for variable in layer.variables],
        )
        for layer in kept
    ]
