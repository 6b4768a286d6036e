"""The site: it builds without a warning, and has every public name."""

from __future__ import annotations

import inspect
import pkgutil
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import slim2keras
from tests.cli.test_app import COMMANDS
from tests.cli.test_slim_flags import options_of
from tests.docs.pages import DOCS

PYTHON_PAGE = (DOCS / "reference/python.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^::: (\S+)$", PYTHON_PAGE, re.MULTILINE)


def test_the_site_builds(tmp_path: Path) -> None:
    """Strictly: a link without target, a page out of the navigation, or a name that is not there fails."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site/reference/python.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="https?://[^"]+\.(js|css|woff2?)"', page), "nothing is fetched to look at a page"
    assert "<blockquote>" not in page, "`>>>` is code in the section `Examples:` alone"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_on_the_page(command: str) -> None:
    """The page of the command line has every option, and a page that people read names the command."""
    generated = runpy.run_path(str(DOCS / "generated.py"))["command_line"]()
    section = generated.partition(f"## slim2keras {command}\n")[2].partition("\n## ")[0]
    for option in options_of(command):
        assert not option.startswith("-") or f"`{option}`" in section, option
    assert any(f"slim2keras {command}" in page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))


def test_every_public_name_is_on_the_page() -> None:
    """What the package exports, its page documents."""
    public = {f"slim2keras.{name}" for name in slim2keras.__all__}
    assert public <= {*ENTRIES}


@pytest.mark.parametrize("entry", [item for item in ENTRIES if item.count(".") == 1])
def test_every_public_name_has_a_docstring(entry: str) -> None:
    """Modules, and functions with each of their arguments."""
    item = pkgutil.resolve_name(entry)
    text = inspect.getdoc(item) or ""
    assert text, entry
    if inspect.isfunction(item):
        names = [name.lstrip("*") for name in inspect.signature(item).parameters]
        missing = [name for name in names if not re.search(rf"^\s+\*{{0,2}}{name}:", text, re.MULTILINE)]
        assert not missing, f"{entry}: {', '.join(missing)}"
