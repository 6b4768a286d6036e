"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")] if path.name != "CHANGELOG.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_a_document_names_exist(document: Path) -> None:
    """A reader who follows a path finds a file, from the top or from the package."""
    named = set(re.findall(r"`((?:[a-z0-9_]+/)+[a-z0-9_]*(?:\.py|/))`", document.read_text(encoding="utf-8")))
    missing = sorted(name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "slim2keras")))
    assert not missing
