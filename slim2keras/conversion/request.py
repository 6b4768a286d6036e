"""What a user asks of a checkpoint, in Python and on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slim2keras.checkpoints.load_plan import LoadOptions
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs.graph import Shape
from slim2keras.graphs.network import Network
from slim2keras.outputs.formats import is_model_file


@dataclass(frozen=True)
class CheckpointRequest:
    """What a user asks of a checkpoint; ``convert`` describes it.

    Attributes:
        net: Name of the network, found from names and shapes if left out.
        arguments: slim arguments of the network, found likewise as far as they are left out.
        input_shape: (height, width, channels).
        load: How variables are loaded.
        network: The network itself, of nobody's zoo.
    """

    net: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input_shape: Shape | None = None
    load: LoadOptions = field(default_factory=LoadOptions)
    network: Network | None = None

    def __post_init__(self) -> None:
        if self.network is None:
            return
        if not isinstance(self.network, Network):
            raise UnsupportedArgumentError(
                f"network must be a Network, a layer graph with its facts. Received: {type(self.network).__name__}. A "
                "function of slim judges a model that was converted: verify(checkpoint, model, network=function)."
            )
        told = [name for name in self.told_of_network if name != "network"]
        if told:
            raise UnsupportedArgumentError(
                f"The network {self.network.name} says itself what it is: leave {', '.join(told)} out."
            )

    @property
    def told_of_network(self) -> list[str]:
        """Names of what was given to say which network it is."""
        given = {"network": self.network, "net": self.net, "input_shape": self.input_shape}
        return [*(name for name, value in given.items() if value is not None), *self.arguments]


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
