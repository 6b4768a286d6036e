"""How slim has a network: what the judge has to know and neither slim's factory nor a signature tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

Make = Callable[[ModuleType, Mapping[str, Any]], tuple[Any, frozenset[str]]]
"""From slim's module and our arguments to what slim's function takes in their place, and which arguments those are."""


@dataclass(frozen=True)
class SlimFunction:
    """How slim has the networks of a family.

    Attributes:
        module: Below ``nets``, where functions are that are not looked up in slim's factory: ``tf_slim`` has none.
            Empty for a family that is in ``research/slim`` alone.
        name: Of the network function there, if it is not ``slim_name``.
        arg_scope: Of the arg scope function there.
        parameter: Of slim's network function, where it takes an object for several of our arguments.
        make: Makes that object.
        ends_in_features: Whether all cuts of slim can leave the classifier out.
    """

    module: str = ""
    name: str = ""
    arg_scope: str = ""
    parameter: str = ""
    make: Make | None = None
    ends_in_features: bool = False
