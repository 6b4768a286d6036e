"""Commands of a page with what they print: compared with it, numbers aside, and recorded into it.

``python -m tests.docs.console docs/start.md FOLDER`` runs them in the folder and writes what they print into the page.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cli.running import Result

_NUMBER = re.compile(r"\d[\d.,]*(e[+-]?\d+)?")
_LEFT_OUT = "..."


def commands_of(block: str) -> list[tuple[list[str], list[str]]]:
    """Arguments of each ``$ slim2keras`` command of a block, with the lines shown after it."""
    found: list[tuple[list[str], list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ slim2keras "):
            found.append((shlex.split(line)[2:], []))
        elif found:
            found[-1][1].append(line)
    return found


def printed(arguments: Sequence[str]) -> list[str]:
    """What a command prints, stderr last."""
    result = Result(*arguments)
    assert result.status in (0, 4), (arguments, result.err)
    return [line.rstrip() for line in (result.out + result.err).splitlines()]


def is_shown(shown: Sequence[str], lines: Sequence[str]) -> bool:
    """Whether lines are those shown, numbers aside, where ``...`` stands for any lines, or for the end of one."""
    if not shown:
        return not lines
    if shown[0].strip() == _LEFT_OUT:
        return any(is_shown(shown[1:], lines[start:]) for start in range(len(lines) + 1))
    return bool(lines) and _is_line(shown[0], lines[0]) and is_shown(shown[1:], lines[1:])


def _is_line(shown: str, line: str) -> bool:
    begin = _masked(shown.removesuffix(_LEFT_OUT))
    return _masked(line).startswith(begin) if shown.endswith(_LEFT_OUT) else _masked(line) == begin


def _masked(line: str) -> str:
    return " ".join(_NUMBER.sub("#", line).split())


def record(page: Path, folder: Path) -> None:
    """Write what the commands of a page print into it."""
    os.environ["COLUMNS"] = "130"
    lines, found, is_output = page.read_text(encoding="utf-8").splitlines(), [], False
    os.chdir(folder)
    for line in lines:
        is_output = is_output and line != "```" and not line.startswith("$ ")
        if not is_output:
            found.append(line)
        if line.startswith("$ slim2keras "):
            found += printed(shlex.split(line)[2:])
            is_output = True
    page.write_text("\n".join(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
