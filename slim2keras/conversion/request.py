"""What a user asks of a checkpoint, in Python and on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slim2keras.checkpoints.load_plan import LoadOptions
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs.graph import Shape
from slim2keras.graphs.network import Network
from slim2keras.importing.request import FoundGraph, GraphRequest
from slim2keras.outputs.formats import is_model_file

SlimFunction = Callable[..., Any]


@dataclass(frozen=True)
class CheckpointRequest:
    """What a user asks of a checkpoint; ``convert`` describes it.

    Attributes:
        net: Name of the network, found from names and shapes if left out.
        arguments: slim arguments of the network, found likewise as far as they are left out; or those of a function.
        input_shape: (height, width, channels).
        load: How variables are loaded.
        network: The network itself, of nobody's zoo, or the user's own slim function that builds it.
        graph: What is said of the graph that the checkpoint came with.
        found: The graph, once it was found and imported.
    """

    net: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input_shape: Shape | None = None
    load: LoadOptions = field(default_factory=LoadOptions)
    network: Network | SlimFunction | None = None
    graph: GraphRequest = field(default_factory=GraphRequest)
    found: FoundGraph | None = None

    def __post_init__(self) -> None:
        if isinstance(self.network, Network):
            self._refuse(f"The network {self.network.name} says itself what it is", "network")
        elif self.network is not None:
            self._check_function(self.network)
        elif self.graph.told:
            self._refuse("A graph says itself which network it is", *self.graph.told, "input_shape")

    def _check_function(self, function: SlimFunction) -> None:
        if not callable(function):
            raise UnsupportedArgumentError(
                "network must be a Network, a layer graph with its facts, or a function of slim, function(images, "
                f"is_training). Received: {type(function).__name__}"
            )
        self._refuse("The function builds the network", "network", "input_shape", "placeholder_values", *self.arguments)
        if self.input_shape is None:
            raise UnsupportedArgumentError(
                "A function is traced with images of a size: give input_shape=(H, W, C), None for what is open "
                "(command line: --input-shape H,W,C)."
            )

    def _refuse(self, why: str, *but: str) -> None:
        told = [name for name in self.told_of_network if name not in but]
        if told:
            raise UnsupportedArgumentError(f"{why}: leave {', '.join(told)} out.")

    @property
    def told_of_network(self) -> list[str]:
        """Names of what was given to say which network it is."""
        given = {"network": self.network, "net": self.net, "input_shape": self.input_shape}
        told = [name for name, value in given.items() if value is not None]
        return [*told, *self.graph.told, *self.arguments]

    @property
    def of_graph(self) -> GraphRequest:
        """What is said of a graph, the shape of its images included."""
        return replace(self.graph, input_shape=self.input_shape)

    @property
    def known_network(self) -> Network | None:
        """The network, where it is given or was imported."""
        network = self.network if self.found is None else self.found.imported.network
        return network if isinstance(network, Network) else None

    @property
    def names_network(self) -> bool:
        """Whether the user says which network it is, so that no other is looked for."""
        return self.network is not None or self.net is not None or bool(self.arguments)


def check_asks_nothing(path: Path, request: CheckpointRequest) -> None:
    """Refuse what is asked of a file that says itself which network it is.

    Raises:
        UnsupportedArgumentError: With what was asked.
    """
    given = [*request.told_of_network, *(["use_ema"] if request.load.use_ema else [])]
    if given and is_model_file(path):
        raise UnsupportedArgumentError(
            f"{path} is a model file, which says itself what it is: leave {', '.join(given)} out."
        )
