"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PATH = re.compile(r"`((?:[a-z0-9_]+/)+[a-z0-9_]*(?:\.py|/))`")
DOCUMENTS = [path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if path.name != "CHANGELOG.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_a_document_names_exist(document: Path) -> None:
    """A reader who follows a path finds a file, from the top or from the package."""
    named = set(_PATH.findall(document.read_text(encoding="utf-8")))
    missing = sorted(name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "slim2keras")))
    assert not missing


def rows_of(document: str) -> list[list[str]]:
    """Cells of the tables of a document, their titles left out."""
    rows = [line.strip("| ").split(" | ") for line in document.splitlines() if re.match(r"\| (?!\| )", line)]
    return [row for row in rows if row[-1] != "held by"]


def test_what_is_compared_with_others_names_its_test() -> None:
    """Each row in which we can do something; that its tests exist holds for every document."""
    compared, _, held = (ROOT / "docs/comparison.md").read_text(encoding="utf-8").partition("## What holds ours")
    ours = [row[0] for row in rows_of(compared.partition("## Who does what")[2]) if row[-1] != "no"]
    tests = {row[0]: _PATH.findall(row[-1]) for row in rows_of(held)}
    assert ours == [*tests]
    assert all(paths and all(path.startswith("tests/") for path in paths) for paths in tests.values())
