"""The code of the documentation's pages."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_HEADING = re.compile(r"^#+ (.+)$")
_FENCE = re.compile(r'^( *)```(\w*)(?: title="([^"]*)")?\s*$')


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        heading: That it stands under.
        language: Of it.
        title: As shown above it.
        code: Without the fence.
    """

    heading: str
    language: str
    title: str
    code: str


def blocks_of(page: str) -> list[Block]:
    """The fenced blocks of a page of ``docs/``, in order."""
    return list(_blocks((DOCS / page).read_text(encoding="utf-8").splitlines()))


def _blocks(lines: list[str]) -> Iterator[Block]:
    heading, opened, body = "", None, []
    for line in lines:
        fence = _FENCE.match(line)
        if opened is not None and line.strip() == "```":
            yield Block(heading, opened[2], opened[3] or "", textwrap.dedent("\n".join(body)) + "\n")
            opened, body = None, []
        elif opened is not None:
            body.append(line)
        elif fence:
            opened = fence
        elif found := _HEADING.match(line):
            heading = found[1]
