"""Files are run where nothing of slim2keras can be imported, and what fails there is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slim2keras.deployment import elsewhere
from slim2keras.deployment.elsewhere import run_elsewhere
from slim2keras.errors import Slim2KerasError

ADDS = """
import os, sys
import numpy as np
try:
    import slim2keras
    raise SystemExit("slim2keras is here")
except ImportError:
    pass
file, given, found = sys.argv[1:]
images = np.load(given)["images"]
number = float(open(file).read())
outputs = {f"output_{i}": images + number * i for i in reversed(range(12))}
np.savez(found, runtime="adder " + os.environ.get("ADDER", "1.0"), **outputs)
"""


@pytest.fixture
def readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of readers of our own."""
    folder = tmp_path / "readers"
    folder.mkdir()
    (folder / "adds.py").write_text(ADDS)
    monkeypatch.setattr(elsewhere, "_READERS", folder)
    (tmp_path / "file").write_text("0.5")
    return folder


def test_a_reader_gets_the_file_and_the_images_and_nothing_of_ours(readers: Path, tmp_path: Path) -> None:
    """Outputs come in their order, ten and more too; the environment that is given is there."""
    images = np.ones((2, 3), "float32")
    outputs, runtime = run_elsewhere("adds", tmp_path / "file", {"images": images}, {"ADDER": "2.0"})
    assert [float(output[0, 0]) for output in outputs] == [1 + 0.5 * number for number in range(12)]
    assert runtime == "adder 2.0"


def test_a_reader_finds_packages_where_this_process_does(
    readers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of ``PYTHONPATH``, as those of ``pip install --user``; nothing that happens to lie where one works."""
    for folder, module in (("packages", "ours_by_path"), ("work", "lies_about")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{module}.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.chdir(tmp_path / "work")
    (readers / "imports.py").write_text("import ours_by_path; import lies_about")
    with pytest.raises(Slim2KerasError, match="No module named 'lies_about'"):
        run_elsewhere("imports", tmp_path / "file", {"images": np.zeros(1)})


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import slim2keras", r"Exit 1, it said: .*slim2keras"),
        ("raise SystemExit('no such op: Frobnicate')", "Exit 1, it said: no such op: Frobnicate"),
        ("pass", "It gave no outputs"),
        ("import os; os.kill(os.getpid(), 11)", "Exit -11"),
    ],
)
def test_a_reader_that_fails_says_how(readers: Path, tmp_path: Path, program: str, message: str) -> None:
    """A runtime that crashes takes its own process down, and not this one."""
    (readers / "fails.py").write_text(program)
    with pytest.raises(Slim2KerasError, match=rf"(?s)file was written, but cannot be run.*nothing was kept. {message}"):
        run_elsewhere("fails", tmp_path / "file", {"images": np.zeros(1)})


def test_a_reader_that_never_ends_is_stopped(readers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is told as any other fault."""
    monkeypatch.setattr(elsewhere, "_LONGEST", 0.5)
    (readers / "sleeps.py").write_text("import time; time.sleep(60)")
    with pytest.raises(Slim2KerasError, match=r"It was stopped after 0\.5 seconds"):
        run_elsewhere("sleeps", tmp_path / "file", {"images": np.zeros(1)})
