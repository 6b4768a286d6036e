"""What a network says of its arguments holds, and is all that others know of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pytest

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs import layers
from slim2keras.graphs.graph import LayerGraph, Tensor
from slim2keras.nets import NETS, list_nets
from slim2keras.nets.arguments import CUTS, ChangesOnly, KeepProb, LastEndPoint, OneOf, ShownInLayers
from slim2keras.nets.registry import Net
from slim2keras.nets.spec import NetSpec
from slim2keras.recognition.from_layers import recover_spec
from tests.parity.cases import SHAPES

MARKED = [(net, name) for net in list_nets() for name in NETS[net].marked(ChangesOnly)]


def layers_behind(graph: LayerGraph, end_point: str) -> dict[str, Any]:
    """What an end point is computed by; nothing where there is no such end point."""
    if end_point not in graph.end_points:
        return {}
    behind = (graph.layers[name] for name in graph.layers_to([graph.end_points[end_point]]))
    return {layer.name: (layer.kind, layer.config, [tensor.layer_name for tensor in layer.inputs]) for layer in behind}


@pytest.mark.parametrize(("net", "name"), MARKED)
def test_an_argument_changes_the_end_points_that_it_says_and_no_others(net: str, name: str) -> None:
    """Those that it leaves alone are judged by a slim that lacks the argument."""
    row, given = NETS[net], {"num_classes": 5}
    if "spatial_squeeze" in row.defaults:
        # Without a pool there is more than one pixel.
        given["spatial_squeeze"] = False
    whole = row.trace(SHAPES[net], **given)
    default = row.defaults[name]
    value = not default if isinstance(default, bool) else list(whole.end_points)[3]
    changed = row.trace(SHAPES[net], **given, **{name: value})
    mark = row.marked(ChangesOnly)[name]
    leaves_out = mark == CUTS or name in row.marked(LastEndPoint)
    for graph, other in [(changed, whole)] if leaves_out else [(changed, whole), (whole, changed)]:
        differing = {item for item in graph.end_points if layers_behind(graph, item) != layers_behind(other, item)}
        assert differing == {item for item in graph.end_points if re.fullmatch(mark.end_points, item)}


@pytest.mark.parametrize("net", list_nets())
def test_every_switch_shows_in_layers_or_in_variables(net: str) -> None:
    """A switch that neither tells would be lost when a model is loaded from a file."""
    row = NETS[net]
    shapes = {variable.name: variable.shape for variable in row.trace(row.default_input_shape, scope="").variables()}
    read = {name for candidate in row.read_arguments(shapes) for name in candidate}
    switches = {name for name, default in row.defaults.items() if isinstance(default, bool)}
    assert switches <= read | set(row.marked(ShownInLayers))


def toy(
    x: Tensor,
    *,
    scope: str,
    rim: Annotated[str, OneOf(("SAME", "VALID"))] = "SAME",
    left_over: KeepProb = 1.0,
    stop_at: Annotated[str | None, CUTS, LastEndPoint("conv.*")] = None,
) -> list[Tensor]:
    x = x.graph.end_points["conv1"] = layers.conv2d(x, 3, 3, padding=rim, name=f"{scope}/conv1")
    if stop_at == "conv1":
        return [x]
    x = layers.dropout(x, left_over, name=f"{scope}/dropout")
    return [layers.conv2d(x, 5, 1, name=f"{scope}/conv2")]


def read_nothing(shapes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {}


TOY = Net(
    name="toy",
    lay=toy,
    scope="toy",
    image_size=8,
    preprocessing="inception",
    labels_offset=0,
    anchor="conv1/weights",
    read_arguments=read_nothing,
)


def recovered(spec: NetSpec) -> NetSpec:
    graph = spec.trace()
    used = [graph.layers[name] for name in graph.layers if name in graph.layers_to(graph.outputs)]
    configs = {
        layer.name: {**layer.config, "kind": layer.kind, "calls": [[(item.layer_name, 0) for item in layer.inputs]]}
        for layer in used
    }
    return recover_spec({item.name: item.shape for item in graph.variables()}, configs, spec.input_shape)


@pytest.mark.parametrize("arguments", [{"rim": "VALID", "left_over": 0.75}, {"stop_at": "conv1", "rim": "VALID"}, {}])
def test_arguments_of_any_name_are_told_from_layers(monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]) -> None:
    """Recognition knows no argument by name: a network whose arguments are called otherwise is recovered too."""
    monkeypatch.setitem(NETS, "toy", TOY)
    spec = NetSpec.make("toy", None, arguments)
    assert recovered(spec) == spec


def test_a_value_that_an_argument_cannot_have_is_refused_with_those_that_it_can() -> None:
    """The values stand at the argument, and nowhere else."""
    with pytest.raises(UnsupportedArgumentError, match=r'rim of toy must be "SAME" or "VALID". Received: rim='):
        TOY.check_arguments({"rim": "FULL"})


@pytest.mark.parametrize(("keep_prob", "end"), [(0.55, None), (0.8, "Cell_2"), (1.0, None)])
def test_the_rate_of_drop_path_is_told_by_one_layer(keep_prob: float, end: str | None) -> None:
    """Whatever the depth at which the network ends."""
    spec = NetSpec.make("nasnet_mobile", None, {"drop_path_keep_prob": keep_prob, "final_endpoint": end})
    assert recovered(spec).arguments["drop_path_keep_prob"] == keep_prob
