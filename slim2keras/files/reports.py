"""Reports as a person reads them: one line in a prompt, a page where they are printed."""

from __future__ import annotations

import abc
import io
from collections.abc import Iterable, Iterator

from rich.console import Console, RenderableType
from rich.text import Text

_WIDTH = 160


class Report(abc.ABC):
    """What a function found or did: ``repr`` is one line, ``print`` a page, ``to_json`` of its children all of it."""

    @abc.abstractmethod
    def summary(self) -> str:
        """In one line."""

    @abc.abstractmethod
    def page(self) -> Iterator[RenderableType]:
        """Lines and tables, in their order."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.summary()}>"

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=_WIDTH, color_system=None)
        print_page(self.page(), console)
        assert isinstance(console.file, io.StringIO)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def print_page(parts: Iterable[RenderableType], console: Console) -> None:
    """Print the parts of a page; a line is broken between words on a terminal, and stays whole in a file."""
    for part in parts:
        console.print(part, highlight=False, soft_wrap=isinstance(part, Text) and not console.is_terminal)


def plural(count: int, noun: str) -> str:
    """``1 variable``, ``2 variables``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
