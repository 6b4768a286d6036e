"""What a user says of a graph: where it is, and where the network in it begins and ends."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.importing.node import tensor_name

if TYPE_CHECKING:
    from slim2keras.importing.imported import ImportedGraph
    from slim2keras.importing.sources import GraphSource


@dataclass(frozen=True)
class GraphRequest:
    """What a user says of a graph; ``convert`` describes it. Tensors are named without ``:0``.

    Attributes:
        path: Of its file, ``None`` where the checkpoint is it or lies beside it.
        input_tensors: Where the network begins, found if left out.
        output_tensors: Where it ends, found likewise.
        placeholder_values: Values of placeholders that are no images, by name.
        input_shape: (height, width, channels) of the first input.
    """

    path: Path | None = None
    input_tensors: Sequence[str] = ()
    output_tensors: Sequence[str] = ()
    placeholder_values: Mapping[str, Any] = field(default_factory=dict)
    input_shape: tuple[int | None, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("input_tensors", "output_tensors"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise UnsupportedArgumentError(f"{name} must be a list of tensor names. Received: {name}={value!r}")
            object.__setattr__(self, name, tuple(map(tensor_name, value)))
        values = {tensor_name(name): value for name, value in self.placeholder_values.items()}
        object.__setattr__(self, "placeholder_values", values)

    @classmethod
    def asked(
        cls,
        graph: str | Path | None,
        input_tensors: Sequence[str] | None,
        output_tensors: Sequence[str] | None,
        placeholder_values: Mapping[str, Any] | None,
    ) -> GraphRequest:
        """The arguments of ``convert`` and ``diagnose``."""
        path = None if graph is None else Path(graph)
        return cls(path, input_tensors or (), output_tensors or (), placeholder_values or {})

    @property
    def told(self) -> list[str]:
        """Names of what was given."""
        given = {
            "graph": self.path,
            "input_tensors": self.input_tensors,
            "output_tensors": self.output_tensors,
            "placeholder_values": self.placeholder_values,
        }
        return [name for name, value in given.items() if value]

    def import_source(self, source: GraphSource, training: GraphSource | None = None) -> ImportedGraph:
        """Import a graph as it is asked for, see ``import_graph``.

        Args:
            training: The same network, as it trains.
        """
        from slim2keras.importing.imported import import_graph

        return import_graph(
            source,
            name=network_name(source),
            input_tensors=self.input_tensors,
            output_tensors=self.output_tensors,
            placeholder_values=self.placeholder_values,
            input_shape=self.input_shape,
            training=training,
        )


@dataclass(frozen=True, eq=False)
class FoundGraph:
    """A graph that was found and imported.

    Attributes:
        source: Where it is from.
        imported: The network in it.
        variables: Names of the variables of all of the graph, those outside of the network too.
        why: Why this graph was taken, where the user did not ask for it.
    """

    source: GraphSource
    imported: ImportedGraph
    variables: frozenset[str]
    why: str = ""


def network_name(source: GraphSource) -> str:
    """What to call the network of a graph: as its function or its file, without what follows the first dot."""
    last = source.path.rpartition(".")[2] if source.kind == "function" else Path(source.path).name.partition(".")[0]
    return re.sub(r"\W+", "_", last).strip("_") or "network"
