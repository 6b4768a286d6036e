"""Which network, with which arguments, has exactly these variables?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slim2keras.errors import UnrecognisedNetError, UnsupportedArgumentError
from slim2keras.graphs.graph import Shape, Variable
from slim2keras.nets import NETS, find_net
from slim2keras.nets.registry import Net, VariableShapes
from slim2keras.nets.spec import NetSpec
from slim2keras.scopes import in_any_scope, in_scope


def format_arguments(arguments: Mapping[str, Any]) -> str:
    """Arguments as a call would have them: ``num_classes=5, output_stride=16``."""
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


@dataclass(frozen=True)
class Candidate:
    """A network that might have written a checkpoint, and how far its variables agree.

    Attributes:
        spec: The network with the arguments that fit best.
        own: The same with the arguments that the checkpoint itself tells, where the user asked for others.
        missing: Variables that the checkpoint lacks.
        unexpected: Variables below the root scope that the network lacks.
        wrong_shape: Variables of another shape.
        agreed: Variables that agree.
    """

    spec: NetSpec
    own: NetSpec
    missing: int
    unexpected: int
    wrong_shape: int
    agreed: int

    @property
    def fits(self) -> bool:
        return not (self.missing or self.unexpected or self.wrong_shape)

    @property
    def likeness(self) -> float:
        """Share of all variables involved that agree, 0 to 1."""
        return self.agreed / max(1, self.agreed + self.missing + self.unexpected + self.wrong_shape)

    def describe(self) -> str:
        arguments = format_arguments(self.own.changed_arguments())
        disagreement = f"{self.missing} missing, {self.unexpected} more, {self.wrong_shape} of another shape"
        return f"{self.spec.net}({arguments}): {self.agreed} variables agree, {disagreement}"


def recognise(
    shapes: VariableShapes,
    *,
    net: str | None = None,
    input_shape: Shape | None = None,
    arguments: Mapping[str, Any] | None = None,
    exclude: Sequence[str] = (),
    source: str = "The checkpoint",
) -> Candidate:
    """Tell the network from names and shapes of model variables.

    Args:
        shapes: Shape of every model variable of a checkpoint, without slots and shadows.
        net: Name of the network if it is known.
        input_shape: (height, width, channels) if it is known; else the network's own size and the channels found.
        arguments: slim arguments that are known, ``scope`` among them; the rest is found.
        exclude: Scopes that need not agree.
        source: What to call the checkpoint in an error.

    Returns:
        The one candidate that fits, or the nearest if most of it does: then ``plan_load`` says what does not.

    Raises:
        UnrecognisedNetError: If several networks fit, or none comes near; lists the candidates.
    """
    arguments = dict(arguments or {})
    found: list[Candidate] = []
    refusals = []
    for its_net, scope in _places([find_net(net)] if net else NETS.values(), shapes, arguments):
        if any(_is_beyond_doubt(candidate, scope) for candidate in found):
            continue
        try:
            found.append(_best_arguments(its_net, scope, shapes, input_shape, arguments, exclude))
        except UnsupportedArgumentError as error:
            # Arguments or size are not for this network; that matters if it is the one.
            if net or _best_arguments(its_net, scope, shapes, None, {}, exclude).fits:
                refusals.append(error)
    found.sort(key=lambda candidate: (-candidate.fits, -candidate.likeness, candidate.own.strangeness))
    fitting = [candidate for candidate in found if candidate.fits]
    if len({candidate.spec.scope for candidate in fitting}) > 1:
        raise UnrecognisedNetError(
            f"{source} fits {len(fitting)} networks:\n{_listed(fitting)}\n"
            "Say which: net=..., scope=... (command line: --net, --set scope=...)."
        )
    if refusals and not fitting:
        raise refusals[0]
    if found and (found[0].fits or found[0].likeness > 0.5):
        return found[0]
    raise UnrecognisedNetError(_unrecognised(source, shapes, net, found))


def _unrecognised(source: str, shapes: VariableShapes, net: str | None, found: Sequence[Candidate]) -> str:
    what = f"a {net}" if net else "a network that slim2keras knows"
    lines = [f"{source} is not {what}: {len(shapes)} model variables, beginning {', '.join(list(shapes)[:3])}."]
    if net:
        with contextlib.suppress(UnrecognisedNetError):
            lines.append(f"It looks like {recognise(shapes).spec.net}: leave net out (command line: --net).")
    elif found:
        lines.append(f"Nearest:\n{_listed(found[:3])}")
    if len(lines) == 1:
        lines.append(
            "All networks: slim2keras nets. Their scope can be given, scope=... (command line: --set scope=...)."
        )
    lines.append(
        "A network of your own: keep the .meta beside the checkpoint, or give graph=PATH or network=function (command "
        "line: --graph, --network). Or make a tf_keras model whose layers are named after its scopes: "
        "slim2keras.load_checkpoint(model, checkpoint) gives it the values."
    )
    return "\n".join(lines)


def _listed(candidates: Sequence[Candidate]) -> str:
    return "\n".join(f"  {candidate.describe()}" for candidate in candidates)


def root_scopes(net: Net, shapes: VariableShapes, arguments: Mapping[str, Any]) -> list[str]:
    """Scopes below which the network may lie: where its anchor is."""
    if "scope" in arguments:
        return [net.check_arguments({"scope": arguments["scope"]})["scope"]]
    ends = [name for name in shapes if name == net.anchor or name.endswith(f"/{net.anchor}")]
    return [name[: -len(net.anchor)].rstrip("/") for name in ends]


def _places(nets: Iterable[Net], shapes: VariableShapes, arguments: Mapping[str, Any]) -> list[tuple[Net, str]]:
    """Where each network may lie, slim's own scopes first."""
    places = [(net, scope) for net in nets for scope in root_scopes(net, shapes, arguments)]
    return sorted(places, key=lambda place: place[1] != place[0].scope)


def _is_beyond_doubt(candidate: Candidate, scope: str) -> bool:
    """Whether a network fits below a scope that is its own and no other's, so that others need not be tried there."""
    of_scope = [net.name for net in NETS.values() if net.scope == scope]
    return candidate.fits and candidate.spec.scope == scope and of_scope == [candidate.spec.net]


def _is_in_net(name: str, net: Net, scope: str) -> bool:
    return in_scope(name, scope) or in_any_scope(name, net.beside)


def relative_shapes(shapes: VariableShapes, net: Net, scope: str) -> dict[str, tuple[int, ...]]:
    """Variables of a network by their names below the root scope; those beside it keep their names."""
    return {
        name[len(scope) :].lstrip("/") if in_scope(name, scope) else name: shape
        for name, shape in shapes.items()
        if _is_in_net(name, net, scope)
    }


def _best_arguments(
    net: Net,
    scope: str,
    shapes: VariableShapes,
    input_shape: Shape | None,
    given: Mapping[str, Any],
    exclude: Sequence[str],
) -> Candidate:
    """The arguments with which the network agrees best, read from the variables where they are not given."""
    below = {name: shape for name, shape in shapes.items() if _is_in_net(name, net, scope)}
    best: Candidate | None = None
    for read in net.read_arguments(relative_shapes(shapes, net, scope)):
        own = {**read, "scope": scope}
        candidate = _compare(net, below, input_shape, own, {**own, **given}, exclude)
        if candidate.wrong_shape and not (input_shape or candidate.missing or candidate.unexpected):
            candidate = _other_size(candidate, net, below, own, {**own, **given}, exclude)
        if candidate.fits:
            return candidate
        if best is None or candidate.likeness > best.likeness:
            best = candidate
    assert best is not None, f"{net.name}.read_arguments gives at least one candidate"
    return best


# Sizes of square images that slim's networks were trained on: where a fully connected layer takes in the whole map, the
# weights tell the size.
_IMAGE_SIZES = (28, 32, 64, 96, 128, 160, 192, 224, 256, 299, 320, 331)


def _other_size(
    candidate: Candidate,
    net: Net,
    below: VariableShapes,
    own: Mapping[str, Any],
    arguments: Mapping[str, Any],
    exclude: Sequence[str],
) -> Candidate:
    """The same network for images of another size, if its variables fit then."""
    shape = candidate.spec.input_shape
    for size in _IMAGE_SIZES:
        with contextlib.suppress(UnsupportedArgumentError):
            resized = _compare(net, below, (*shape[:-3], size, size, shape[-1]), own, arguments, exclude)
            if resized.fits:
                return resized
    return candidate


def _compare(
    net: Net,
    below: VariableShapes,
    input_shape: Shape | None,
    own: Mapping[str, Any],
    arguments: Mapping[str, Any],
    exclude: Sequence[str],
) -> Candidate:
    spec = NetSpec.make(net.name, input_shape, arguments)
    variables = list(spec.graph.variables())
    channels = _input_channels(variables, below)
    if input_shape is None and channels != spec.input_shape[-1]:
        spec = NetSpec.make(net.name, (*spec.input_shape[:-1], channels), arguments)
        variables = list(spec.graph.variables())
    own_spec = NetSpec(net.name, spec.input_shape, {**spec.arguments, **own})
    wanted = {variable.name: variable.shape for variable in variables if not in_any_scope(variable.name, exclude)}
    # Variables that only the user's own arguments leave out (num_classes=0) are no sign of another network.
    left_out = _variable_names(own_spec) if own_spec.arguments != spec.arguments else frozenset()
    return Candidate(
        spec=spec,
        own=own_spec,
        missing=sum(name not in below for name in wanted),
        unexpected=sum(
            name not in wanted and name not in left_out and not in_any_scope(name, exclude) for name in below
        ),
        wrong_shape=sum(name in below and below[name] != shape for name, shape in wanted.items()),
        agreed=sum(below.get(name) == shape for name, shape in wanted.items()),
    )


def _variable_names(spec: NetSpec) -> frozenset[str]:
    """Names of a network's variables, also where the user's size or pooling leaves its logits unsqueezable."""
    arguments = dict(spec.arguments)
    if "spatial_squeeze" in arguments:
        arguments["spatial_squeeze"] = False
    graph = find_net(spec.net).trace(spec.input_shape, **arguments)
    return frozenset(variable.name for variable in graph.variables())


def _input_channels(variables: Sequence[Variable], below: VariableShapes) -> int:
    """Channels that the first convolution takes in the checkpoint, else in the network: grey nets exist."""
    first = variables[0]
    shape = below.get(first.name, first.shape)
    return shape[-2] if len(shape) == len(first.shape) else first.shape[-2]


def variables_left_out(candidate: Candidate, shapes: VariableShapes) -> Iterator[tuple[str, str]]:
    """Checkpoint variables that need not be loaded, with the reason.

    They belong to parts of the network that the user's arguments leave out, or to another part of a larger model whose
    network lies below a scope of its own (detection: ``FeatureExtractor/InceptionV2``).
    """
    net = find_net(candidate.spec.net)
    if candidate.own.arguments != candidate.spec.arguments:
        for name in sorted(_variable_names(candidate.own) - _variable_names(candidate.spec)):
            if name in shapes:
                yield name, "left out by the arguments given"
    scope = candidate.spec.scope
    if "/" in scope or scope != net.scope:
        for name in shapes:
            if not _is_in_net(name, net, scope):
                yield name, f"outside of {scope}"
