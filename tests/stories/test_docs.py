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


def test_what_is_compared_with_others_names_its_test() -> None:
    """Each row of ours; that its tests exist holds for every document."""
    table = (ROOT / "docs/comparison.md").read_text(encoding="utf-8").partition("| held by |\n|---|---|\n")[2]
    rows = [line.split(" | ")[-1] for line in table.splitlines() if line.startswith("|")]
    assert rows
    assert all(path.startswith("tests/") for row in rows for path in _PATH.findall(row) or [row])
