"""``docs/start.md``, ``docs/migrating/questions.md`` and ``docs/zh/two-pits.md``, done as they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.console import commands_of, is_shown, printed
from tests.docs.pages import DOCS, blocks_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by the command on the page, in another directory."""
    directory = tmp_path_factory.mktemp("start")
    (module,) = re.findall(r"^python -m (\S+) play/$", (DOCS / "start.md").read_text(encoding="utf-8"), re.MULTILINE)
    subprocess.run([sys.executable, "-m", module, str(directory)], cwd=DOCS.parent, check=True)
    return directory


def test_the_first_five_minutes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command, in order, prints what the page shows, and the Python between them runs."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "130")
    names: dict[str, Any] = {}
    for block in blocks_of("start.md"):
        if block.language == "python":
            exec(block.code, names)
        for arguments, shown in commands_of(block.code) if block.language == "console" else ():
            lines = printed(arguments)
            assert is_shown(shown, lines), "\n".join([" ".join(arguments), *lines])


@pytest.mark.parametrize("page", ["migrating/questions.md", "zh/two-pits.md"])
def test_the_answers_run(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers to the questions asked most, with the RUN that the first five minutes left; slim's own code aside."""
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for block in blocks_of(page):
        if block.language == "python" and block.title != "slim":
            exec(block.code, names)
