"""Where a network begins and ends in the graph around it: queues, losses, gradients and savers are not of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from slim2keras.errors import UnsupportedGraphError, did_you_mean
from slim2keras.importing.node import Node, split_tensor, tensor_name
from slim2keras.importing.nodes import PLACEHOLDERS, VARIABLES, Nodes, is_weight

_QUEUES = ("QueueDequeue", "QueueDequeueV2", "QueueDequeueMany", "QueueDequeueManyV2", "QueueDequeueUpTo")
_SOURCES = PLACEHOLDERS | frozenset((*_QUEUES, "QueueDequeueUpToV2", "IteratorGetNext", "IteratorGetNextSync"))
"""Ops from which images come."""
_LOSSES = ("SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits")
_LAYERS = ("Conv2D", "Conv3D", "DepthwiseConv2dNative", "MatMul", "Conv2DBackpropInput")
_CHANGES_VARIABLES = ("Assign", "Apply", "ResourceApply", "SparseApply", "ResourceSparseApply", "Scatter")
_BOOKKEEPING = frozenset(
    {"SaveV2", "SaveSlices", "RestoreV2", "ScalarSummary", "HistogramSummary"}
    | {"ImageSummary", "MergeSummary", "NoOp", "ArgMax", "InTopK", "InTopKV2", "TopKV2", "TopK", "Assert", "Print"}
    | {"IsVariableInitialized", "Shape", "L2Loss", "Equal"}
)
_REACHES_FLOAT = frozenset({"Identity", "Reshape", "ExpandDims", "Squeeze", "Cast"})
_FOLLOWED = frozenset(
    {"BiasAdd", "Add", "AddV2", "Relu", "Relu6", "LeakyRelu", "Sigmoid", "Tanh", "Softmax", "Reshape", "Squeeze"}
    | {"FusedBatchNorm", "FusedBatchNormV3", "DepthToSpace", "ResizeBilinear", "Mean", "MaxPool", "AvgPool"}
)
_AUXILIARY = "aux"
"""In the names of heads beside the main one, as slim has them."""
_NUM_LISTED = 12
# Of one network: heads, times the copies of it on several devices.
_MOST_LOSSES = 100


def find_outputs(
    nodes: Nodes, given: Sequence[str], told: Sequence[str], remarks: list[str], *, before_softmax: bool
) -> list[str]:
    """The tensors that a network ends in.

    Args:
        given: By the user.
        told: By the file, in a signature.
        remarks: Takes what the user must be told.
        before_softmax: Whether a graph without loss ends in what its last softmax is of.

    Raises:
        UnsupportedGraphError: If one is not there, or if it is not clear; lists candidates.
    """
    for named in (given, told):
        if named:
            return [_checked(nodes, tensor) for tensor in named]
    logits = _logits(nodes)
    if logits:
        remarks += _other_heads(nodes, logits)
        return logits
    ends = _ends(nodes)
    found = _main_first(ends) or _main_first(last_layers(nodes))
    if found:
        return _without_softmax(nodes, found, remarks) if before_softmax else found
    raise UnsupportedGraphError(
        "It is not clear in which tensors the network ends. Candidates are what the last layers give, and what nothing "
        f"takes:\n{listed(nodes, [*last_layers(nodes), *ends])}"
        "Name them: output_tensors=[...] (command line: --output-tensor NAME)."
    )


def _main_first(candidates: Sequence[str]) -> list[str]:
    """The one head that is no auxiliary one, and those behind it; nothing if there are several."""
    unique = list(dict.fromkeys(candidates))
    main = [tensor for tensor in unique if _AUXILIARY not in tensor.lower()]
    return [*main, *(tensor for tensor in unique if tensor not in main)] if len(main) == 1 else []


def _other_heads(nodes: Nodes, outputs: Sequence[str]) -> list[str]:
    """What to say of layers that lead to a loss of another kind."""
    behind = {node.name for node in nodes.ordered(outputs)}
    others = [tensor for tensor in dict.fromkeys(last_layers(nodes)) if split_tensor(tensor)[0] not in behind]
    weights = {name for tensor in outputs for name in _variables(nodes, tensor)}
    others = [tensor for tensor in others if not _variables(nodes, tensor) <= weights]
    if not others:
        return []
    remark = (
        f"The model ends in {', '.join(outputs)}, of which the graph takes a cross-entropy. It has more heads, "
        f"{', '.join(others[:_NUM_LISTED])}: name all that you want, output_tensors=[...] (command line: "
        "--output-tensor NAME)."
    )
    return [remark]


def _variables(nodes: Nodes, tensor: str) -> frozenset[str]:
    return frozenset(node.name for node in nodes.ordered([tensor]) if node.op in VARIABLES)


def _without_softmax(nodes: Nodes, tensors: Sequence[str], remarks: list[str]) -> list[str]:
    found = [_unsoftened(nodes, tensor) for tensor in tensors]
    cut = [tensor for tensor in tensors if tensor not in found]
    if cut:
        remarks.append(
            f"The model ends in the logits {', '.join(found)}, on which training goes on; for probabilities name "
            f"{', '.join(cut)}: output_tensors=[...] (command line: --output-tensor NAME)."
        )
    return found


def _checked(nodes: Nodes, tensor: str) -> str:
    name = tensor_name(tensor)
    if name not in nodes:
        close = did_you_mean(name, nodes.by_name)
        raise UnsupportedGraphError(f"The graph has no tensor {tensor!r}.{close}")
    return name


def _logits(nodes: Nodes) -> list[str]:
    """What cross-entropies are taken of, the deepest first: auxiliary heads lie before the main one.

    Of clones that train side by side on the same variables, the first.
    """
    found: dict[frozenset[str], tuple[str, int]] = {}
    for node in [node for node in nodes.by_name.values() if node.op in _LOSSES][:_MOST_LOSSES]:
        tensor = _before_reshapes(nodes, node)
        behind = nodes.ordered([tensor])
        variables = frozenset(item.name for item in behind if item.op in VARIABLES)
        found.setdefault(variables, (tensor, len(behind)))
    return [tensor for tensor, _ in sorted(found.values(), key=lambda item: -item[1])]


def _before_reshapes(nodes: Nodes, loss: Node) -> str:
    """What a loss is of, before it brings it into its own shape."""
    tensor, scope = nodes.source(loss.inputs[0]), loss.name.rpartition("/")[0]
    seen: set[str] = set()
    while (reshape := nodes.node(tensor)) is not None and reshape.op == "Reshape" and _is_of(reshape, scope):
        if tensor in seen:
            break
        seen.add(tensor)
        tensor = nodes.source(reshape.inputs[0])
    return tensor


def _is_of(node: Node, scope: str) -> bool:
    """Whether the loss itself made a node."""
    return bool(scope) and node.name.startswith(f"{scope}/")


def _ends(nodes: Nodes) -> list[str]:
    """Float tensors that depend on images and weights and that nothing takes."""
    taken = {
        split_tensor(nodes.source(item))[0]
        for node in nodes.by_name.values()
        if node.op not in _BOOKKEEPING and not _is_gradient(node)
        for item in node.inputs
    }
    open_nodes = [node for node in nodes.by_name.values() if _is_computed(node) and node.name not in taken]
    open_nodes = [node for node in open_nodes if node.shape() != ()]
    fed = _fed(nodes)
    return [nodes.source(node.name) for node in open_nodes if node.name in fed and _ends_in_float(node)]


def _is_computed(node: Node) -> bool:
    return bool(node.inputs) and _is_forward(node) and not node.op.endswith("Dataset")


def _ends_in_float(node: Node) -> bool:
    return node.dtype("T", "DstT", "dtype") == "float32"


def _fed(nodes: Nodes) -> set[str]:
    """Names of the nodes that depend on a source of images and on a layer with weights."""
    kinds: dict[str, int] = {}
    for node in nodes.ordered(list(nodes.by_name)):
        mark = 1 if node.op in _SOURCES else 0
        mark |= 2 if node.op in _LAYERS else 0
        for item in nodes.inputs_of(node.name):
            mark |= kinds.get(split_tensor(item)[0], 0)
        kinds[node.name] = mark
    return {name for name, mark in kinds.items() if mark == 3}


def last_layers(nodes: Nodes) -> list[str]:
    """What layers with weights give on whose results no other such layer depends, as it goes into a loss."""
    layers = [node for node in nodes.by_name.values() if _is_layer(nodes, node)]
    behind = {node.name for node in nodes.ordered(item for node in layers for item in nodes.inputs_of(node.name))}
    consumers = nodes.consumers(node for node in nodes.by_name.values() if _is_forward(node))
    return [_followed(consumers, node.name) for node in layers if node.name not in behind]


def _is_layer(nodes: Nodes, node: Node) -> bool:
    return node.op in _LAYERS and _is_forward(node) and is_weight(nodes, node.inputs[1])


def _is_forward(node: Node) -> bool:
    """Whether a node is of the network and the loss, and not of what trains it."""
    return not _is_gradient(node) and not node.op.startswith(_CHANGES_VARIABLES) and node.op not in _BOOKKEEPING


def _is_gradient(node: Node) -> bool:
    return "gradients" in node.name.split("/") or node.op.endswith("Grad")


def _followed(consumers: Mapping[str, list[Node]], tensor: str) -> str:
    """What becomes of a layer's result before anything else comes to it."""
    following, seen = consumers.get(tensor, []), {tensor}
    while len(following) == 1 and following[0].op in _FOLLOWED and following[0].name not in seen:
        tensor = following[0].name
        seen.add(tensor)
        following = consumers.get(tensor, [])
    return tensor


def _unsoftened(nodes: Nodes, tensor: str) -> str:
    """What the softmax at the end is of; the logits themselves if they are brought into another shape for it."""
    shaped = nodes.node(tensor)
    softmax = nodes.node(shaped.inputs[0]) if shaped is not None and shaped.op == "Reshape" else shaped
    if softmax is None or softmax.op != "Softmax":
        return tensor
    before = nodes.source(softmax.inputs[0])
    reshape = nodes.node(before)
    is_undone = softmax is not shaped and reshape is not None and reshape.op == "Reshape"
    return nodes.source(reshape.inputs[0]) if is_undone and reshape is not None else before


def possible_inputs(nodes: Nodes, outputs: Iterable[str]) -> list[str]:
    """All tensors that images may come from on the way to some outputs."""
    used = nodes.ordered(outputs)
    taken = dict.fromkeys(source for node in used for source in nodes.inputs_of(node.name))
    return [tensor for tensor in (*taken, *map(nodes.source, outputs)) if _is_source(nodes, tensor)]


def find_inputs(nodes: Nodes, outputs: Iterable[str], given: Sequence[str], told: Sequence[str]) -> list[str]:
    """The tensors that images come in by, in the order in which the graph has them.

    Raises:
        UnsupportedGraphError: If one is not there, or none is.
    """
    if given:
        return [_checked(nodes, tensor) for tensor in given]
    outputs = list(outputs)
    used = nodes.ordered(outputs)
    named = [_checked(nodes, tensor) for tensor in told]
    # A signature may list what only switches training.
    found = [tensor for tensor in named if _may_be_images(nodes, tensor)] or possible_inputs(nodes, outputs)
    as_float = (item for tensor in found for item in _as_float(nodes, used, tensor))
    inputs = list(dict.fromkeys(item for tensor in as_float for item in _batched(nodes, used, tensor)))
    if not inputs:
        raise UnsupportedGraphError(
            "No placeholder, queue or iterator of images leads to the outputs. Name the tensor that takes them: "
            "input_tensors=[...] (command line: --input-tensor NAME)."
        )
    if set(inputs) <= set(named):
        return inputs
    order = {name: position for position, name in enumerate(nodes.by_name)}
    return sorted(inputs, key=lambda tensor: (order[split_tensor(tensor)[0]], split_tensor(tensor)[1]))


def _is_source(nodes: Nodes, tensor: str) -> bool:
    node = nodes.by_name.get(split_tensor(tensor)[0])
    return node is not None and node.op in _SOURCES and _may_be_images(nodes, tensor)


def _may_be_images(nodes: Nodes, tensor: str) -> bool:
    """Whether a tensor is neither a number nor a truth value, nor known already."""
    name, index = split_tensor(tensor)
    node = nodes.by_name[name]
    return node.op != "Const" and node.shape(index) != () and node.dtype("dtype") != "bool"


def _batched(nodes: Nodes, used: list[Node], tensor: str) -> Iterator[str]:
    """The tensor itself, or where it is a single image what puts it into a batch."""
    following = nodes.consumers(used).get(tensor, [])
    axes = [nodes.scalar(node.inputs[1]) for node in following if node.op == "ExpandDims"]
    if following and len(axes) == len(following) and set(axes) == {0.0}:
        yield from (node.name for node in following)
    else:
        yield tensor


def _as_float(nodes: Nodes, used: list[Node], tensor: str) -> Iterator[str]:
    """The tensor itself, or where it has whole numbers what it is cast to."""
    name, index = split_tensor(tensor)
    node = nodes.by_name[name]
    types = node.attr["component_types"].list.type if "component_types" in node.attr else ()
    types = types or (node.attr["output_types"].list.type if "output_types" in node.attr else ())
    import tensorflow as tf

    dtype = tf.as_dtype(types[index]).name if types else node.dtype("dtype")
    if dtype == "float32":
        yield tensor
        return
    consumers, pending, casts = nodes.consumers(used), [tensor], []
    while pending:
        for consumer in consumers.get(pending.pop(), ()):
            if consumer.op == "Cast" and consumer.dtype("DstT") == "float32":
                casts.append(consumer.name)
            elif consumer.op in _REACHES_FLOAT:
                pending.append(consumer.name)
    if not casts:
        raise UnsupportedGraphError(
            f"The input {tensor} has values of type {dtype}: only float images are imported. Name a tensor behind it: "
            "input_tensors=[...] (command line: --input-tensor NAME)."
        )
    yield from casts


def skip_defaults(nodes: Nodes, given: Iterable[str]) -> None:
    """See through placeholders that take what the graph gives unless they are fed; switches of training are none."""
    kept = {split_tensor(tensor_name(tensor))[0] for tensor in given}
    for node in list(nodes.by_name.values()):
        if node.op == "PlaceholderWithDefault" and node.name not in kept:
            default = nodes.constant(node.inputs[0])
            if default is None or (default.size == 1 and default.dtype.kind != "b"):
                nodes.stand_for(node.name, node.inputs[0])


def listed(nodes: Nodes, tensors: Sequence[str]) -> str:
    """Tensors for a message, a line each, with op and shape."""
    unique = list(dict.fromkeys(tensors))
    more = f"  and {len(unique) - _NUM_LISTED} more\n" if len(unique) > _NUM_LISTED else ""
    return "".join(f"  {tensor}{_described(nodes, tensor)}\n" for tensor in unique[:_NUM_LISTED]) + more


def _described(nodes: Nodes, tensor: str) -> str:
    node = nodes.by_name[split_tensor(tensor)[0]]
    shape = node.shape()
    sizes = "" if shape is None or node.op == "Conv2D" else f" {shape}"
    return f"   {node.op}{sizes}"
