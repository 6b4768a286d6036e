"""``docs/start.md`` and ``docs/migrating/questions.md``, done as they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.docs.console import commands_of, is_shown, printed
from tests.docs.pages import blocks_of
from tests.docs.practice import make

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("start")
    make(directory)
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


def test_the_answers_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers to the questions asked most, with the RUN that the first five minutes left."""
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for block in blocks_of("migrating/questions.md"):
        if block.language == "python":
            exec(block.code, names)
