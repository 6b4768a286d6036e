"""What is released is whole, and says which version it is."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import pytest

from tests import release

DOCUMENTS = [*release.ROOT.glob("*.md")]


def test_the_version_is_the_newest_of_the_changelog() -> None:
    """And that of the citation; a tag of this commit names it."""
    assert not list(release.version_faults())


def test_releases_stand_in_the_changelog_newest_first() -> None:
    """Each with its date, in order of both."""
    releases = [(tuple(map(int, version.split("."))), date) for version, date in release.changelog_releases()]
    assert releases
    assert releases == sorted(set(releases), reverse=True)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    """Those to files of the repository, and to headings of them."""
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", document.read_text(encoding="utf-8")):
        path = document.parent / target if target else document
        assert path.exists(), target
        headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE) if heading else ()
        assert not heading or heading in map(_anchor, headings), f"{target}#{heading}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_wheel_works_where_nothing_else_is(tmp_path: Path) -> None:
    """It is built of the sdist, has the package and no more, and converts in an environment without extras."""
    sdist, wheel = release.build()
    assert not [*release.sdist_faults(sdist), *release.wheel_faults(wheel)]
    spoilt = Path(shutil.copy(wheel, tmp_path / wheel.name))
    with zipfile.ZipFile(spoilt, "a") as archive:
        archive.writestr("tests/test_more.py", "")
    assert list(release.wheel_faults(spoilt)) == ["tests/test_more.py is in the wheel, and not of the package"]
    assert not list(release.installed_faults(wheel, tmp_path))
