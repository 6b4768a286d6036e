"""What would go to another runtime, said before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from slim2keras.deployment.ends import output_names
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.report import folding_page
from slim2keras.deployment.ways import Way
from slim2keras.graphs.network import Network
from slim2keras.models.folding import plan_folding


def plan_deployment(network: Network, way: Way | None, options: DeploymentOptions) -> dict[str, Any]:
    """What a network would become, as plain values.

    Args:
        network: Of the checkpoint.
        way: Out; ``None`` where no file was named.
        options: What is asked.

    Raises:
        UnsupportedArgumentError: If BatchNorm is to be folded, and none can be.
    """
    chosen = {name: getattr(options, name) for name in options.chosen()}
    plan = {
        "as": "A file" if way is None else way.title,
        "options": {name: str(item) if isinstance(item, Path) else item for name, item in chosen.items()},
        "outputs": [*output_names(network)],
    }
    return {**plan, "folding": plan_folding(network).to_json()} if options.fold_batch_norm else plan


def deployment_page(plan: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The same for people."""
    if "folding" in plan:
        yield from folding_page(plan["folding"], "would be folded")
    asked = ", ".join(f"{name}={item}" for name, item in plan["options"].items())
    yield Text(f"{plan['as']}{f' ({asked})' * bool(asked)} would be written, outputs {', '.join(plan['outputs'])}")
