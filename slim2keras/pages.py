"""Reports as a person reads them: one line in a prompt, a page where they are printed."""

from __future__ import annotations

import abc
import io
from collections.abc import Iterator

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
        print_page(self, console)
        assert isinstance(console.file, io.StringIO)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def print_page(report: Report, console: Console) -> None:
    """Print a report; a line is broken between words on a terminal, and stays whole in a file."""
    for part in report.page():
        console.print(part, highlight=False, soft_wrap=isinstance(part, Text) and not console.is_terminal)
