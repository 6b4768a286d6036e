"""Stopped at any line: the old files or the new ones, and never a mixture."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slim2keras.errors import ModelReadError, NoSpaceError, OutputError
from slim2keras.files import moves
from slim2keras.files.locks import directory_locked
from slim2keras.files.moves import check_no_mixture
from slim2keras.files.output_files import check_free, whole_or_not_at_all
from tests.files.half_moved import half_move

pytest.importorskip("fcntl", reason="without it there are no locks")

STOPPED = """
import os, shutil, signal, sys
from pathlib import Path
os.fsync = lambda opened: None  # which takes its time
from slim2keras.files import output_files
from slim2keras.errors import OutputError
from slim2keras.files.moves import check_no_mixture
from slim2keras.files.output_files import check_free, whole_or_not_at_all

folder, is_directory, has_old, kills, reads = Path(sys.argv[1]), *map(int, sys.argv[2:])
target, beside = folder / "out" / "model", folder / "out" / "model.json"

def put(path, text):
    if is_directory and path.name == "model":
        path.mkdir()
        path = path / "file"
    path.write_text(text)

def text_of(path):
    path = path / "file" if path.is_dir() else path
    return path.read_text() if path.exists() else None

def write(text):
    with whole_or_not_at_all(target, beside) as drafts:
        for draft in drafts:
            put(draft, text)

def stopping_at(number):
    left = number
    def trace(frame, event, argument):
        nonlocal left
        if not frame.f_code.co_filename.endswith(("output_files.py", "moves.py", "locks.py")):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                if kills:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise KeyboardInterrupt
        return trace
    return trace

number = 0
while True:
    number += 1
    shutil.rmtree(folder / "out", ignore_errors=True)
    if has_old:
        (folder / "out").mkdir()
        put(target, "old")
        put(beside, "old")
    child = os.fork()
    if child == 0:
        status = 3
        try:
            sys.settrace(stopping_at(number))
            write("new")
            sys.settrace(None)
            status = 0
        except KeyboardInterrupt:
            status = 130
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        break
    assert status == (-signal.SIGKILL if kills else 130), status
    found, old = (text_of(target), text_of(beside)), "old" if has_old else None
    if kills:
        assert found in [(old, old), (old, "new"), ("new", "new")], (number, found)
        (folder / "out").mkdir(exist_ok=True)
        if reads:
            check_no_mixture(target, OutputError)
        else:
            check_free(target, overwrite=True)
        found = (text_of(target), text_of(beside))
    assert found in [(old, old), ("new", "new")], (number, found)
    if not kills:
        hidden = [path.name for path in (folder / "out").glob(".*")]
        assert not hidden, (number, hidden)
        assert has_old or found[0] or not (folder / "out").exists()
    write("last")
    assert (text_of(target), text_of(beside)) == ("last", "last")
    hidden = {path.name for path in (folder / "out").iterdir()} - {"model", "model.json"}
    # A directory without a name that says whose it is has to be an hour old.
    assert all(len(name) == 25 for name in hidden), (number, hidden)
print(number)
"""


QUICK = {(0, 0, 1, 0), (1, 1, 0, 0), (1, 1, 1, 0), (0, 1, 1, 1)}
CASES = [case for case in itertools.product((0, 1), repeat=4) if case[2] or not case[3]]


@pytest.mark.parametrize(
    ("is_directory", "has_old", "kills", "reads"),
    [case if case in QUICK else pytest.param(*case, marks=pytest.mark.slow) for case in CASES],
)
def test_stopped_at_any_line_there_is_no_mixture(
    tmp_path: Path, is_directory: int, has_old: int, kills: int, reads: int
) -> None:
    """SIGKILL or Ctrl-C before every line: what was begun is moved, by itself or by who writes or reads next."""
    arguments = [str(tmp_path), str(is_directory), str(has_old), str(kills), str(reads)]
    result = subprocess.run([sys.executable, "-c", STOPPED, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 50


TOGETHER = """
import os, sys
from pathlib import Path
os.fsync = lambda opened: None
from slim2keras.errors import OutputError
from slim2keras.files.output_files import whole_or_not_at_all

folder, overwrite = Path(sys.argv[1]), bool(int(sys.argv[2]))
target, beside = folder / "model", folder / "model.json"
children = []
for process in range(4):
    child = os.fork()
    if child == 0:
        status = 0
        try:
            for number in range(50 if overwrite else 1):
                with whole_or_not_at_all(target, beside, overwrite=overwrite) as drafts:
                    for draft in drafts:
                        draft.write_text(f"{process} {number}")
        except OutputError as error:
            status = 2 if "by another process meanwhile" in str(error) else 1
        finally:
            os._exit(status)
    children.append(child)
print(*sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
assert target.read_text() == beside.read_text()
assert {path.name for path in folder.iterdir()} == {"model", "model.json"}
"""


@pytest.mark.parametrize(("overwrite", "statuses"), [(1, "0 0 0 0"), (0, "0 2 2 2")])
def test_processes_that_write_one_target_at_once_mix_nothing(tmp_path: Path, overwrite: int, statuses: str) -> None:
    """All of one or all of another; the first one alone where nothing is to be replaced."""
    command = [sys.executable, "-c", TOGETHER, str(tmp_path), str(overwrite)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip()) == (0, statuses), result.stderr


APPENDING = """
import os, sys
from pathlib import Path
os.fsync = lambda opened: None
from slim2keras.files.output_files import whole_or_not_at_all

target = Path(sys.argv[1]) / "lines"
target.touch()
children = []
for process in range(4):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for number in range(25):
                add = lambda draft: draft.write_text(f"{target.read_text()}{process} {number}\\n")
                with whole_or_not_at_all(target, at_last=add) as (draft,):
                    draft.touch()
            status = 0
        finally:
            os._exit(status)
    children.append(child)
assert not any(os.waitpid(child, 0)[1] for child in children)
found = sorted(target.read_text().splitlines())
assert found == sorted(f"{process} {number}" for process in range(4) for number in range(25)), found
"""


def test_what_is_made_of_what_is_there_loses_nothing(tmp_path: Path) -> None:
    """Of several processes that each add a line to a file all lines are there."""
    command = [sys.executable, "-c", APPENDING, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_where_names_cannot_be_exchanged_a_directory_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two steps, of which the second is made up for if the process was killed in between."""
    monkeypatch.setattr(moves, "_exchange", lambda *_: False)
    target = tmp_path / "saved"
    for text in ("old", "new"):
        with whole_or_not_at_all(target) as (draft,):
            draft.mkdir()
            (draft / "file").write_text(text)
    assert (target / "file").read_text() == "new"
    moving = moves.moving_directory(target)
    (moving / "saved").mkdir(parents=True)
    (moving / "saved" / "file").write_text("newest")
    moves.list_moves(moving, ["saved"])
    target.rename(moving / "saved.replaced")
    check_free(target, overwrite=True)
    assert (target / "file").read_text() == "newest"
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_a_directory_whose_place_cannot_be_taken_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one survives an error between the two steps."""
    monkeypatch.setattr(moves, "_exchange", lambda *_: False)
    target, replace = tmp_path / "saved", Path.replace
    target.mkdir()
    (target / "file").write_text("old")

    def failing(self: Path, other: Path) -> Path:
        if other == target and self.name == target.name:
            raise OSError(errno.EIO, "Input/output error")
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", failing)
    refused = pytest.raises(OutputError, match="Input/output error")
    with refused, whole_or_not_at_all(target) as (draft,):
        draft.mkdir()
    assert (target / "file").read_text() == "old"
    assert [*tmp_path.iterdir()] == [target]


@pytest.mark.parametrize("is_directory", [False, True])
def test_what_cannot_take_its_place_leaves_all_as_it_was(tmp_path: Path, is_directory: bool) -> None:
    """A file that of a directory, or the reverse: nothing that belongs to it was moved before."""
    target, beside = tmp_path / "model", tmp_path / "model.json"
    beside.write_text("old")
    if is_directory:
        target.touch()
    else:
        target.mkdir()
    refused = pytest.raises(OutputError, match="a directory")
    with refused, whole_or_not_at_all(target, beside) as drafts:
        if is_directory:
            drafts[0].mkdir()
        else:
            drafts[0].touch()
        drafts[1].write_text("new")
    assert beside.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "model.json"}


def test_what_gets_a_name_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First what the drafts hold, and after the moves the names: a machine may die in between."""
    target, beside, synced = tmp_path / "saved", tmp_path / "saved.json", []

    def sync(opened: int) -> None:
        synced.append((os.fstat(opened).st_ino, target.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    with whole_or_not_at_all(target, beside) as drafts:
        drafts[0].mkdir()
        (drafts[0] / "file").touch()
        drafts[1].touch()
    written = {path.stat().st_ino for path in (target, target / "file", beside)}
    assert written <= {inode for inode, is_named in synced if not is_named}
    assert [inode for inode, is_named in synced if is_named] == [tmp_path.stat().st_ino]


@pytest.mark.parametrize(("code", "is_refused"), [(errno.ENOSPC, True), (errno.EINVAL, False)])
def test_a_disk_that_is_full_only_when_asked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, is_refused: bool
) -> None:
    """As one of a network; the old file stays. One that cannot be asked is not."""

    def sync(_: int) -> None:
        raise OSError(code, os.strerror(code))

    target = tmp_path / "model"
    target.write_text("old")
    monkeypatch.setattr(os, "fsync", sync)
    refused = pytest.raises(NoSpaceError) if is_refused else contextlib.nullcontext()
    with refused, whole_or_not_at_all(target) as (draft,):
        draft.write_text("new")
    assert target.read_text() == ("old" if is_refused else "new")
    assert [*tmp_path.iterdir()] == [target]


def test_a_process_that_stopped_half_way_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than waited for without end, or run over."""
    monkeypatch.setattr(moves, "_PATIENCE", 0.1)
    target = tmp_path / "model"
    moving = moves.moving_directory(target)
    moving.mkdir()
    (moving / "model").touch()
    refused = pytest.raises(OutputError, match="which has stopped half way")
    with directory_locked(moving), refused, whole_or_not_at_all(target) as (draft,):
        draft.touch()
    assert [path.name for path in tmp_path.iterdir()] == [moving.name]


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    """An old file beside which the new report lies already."""
    target, beside = tmp_path / "model", tmp_path / "model.json"
    for path in (target, beside):
        path.write_text("new")
    half_move(target, beside)
    target.write_text("old")
    return target


def test_who_reads_waits_for_a_process_that_moves(mixture: Path) -> None:
    """Which takes a moment, and is not done by both."""
    moving = moves.moving_directory(mixture)
    with ThreadPoolExecutor(1) as threads:
        with directory_locked(moving):
            reading = threads.submit(check_no_mixture, mixture, ModelReadError)
            time.sleep(0.1)
            assert not reading.done()
            assert mixture.read_text() == "old"
            moves.move_all(moving)
        reading.result(10)
    assert mixture.read_text() == "new"


def test_a_mixture_that_cannot_be_mended_is_not_read(mixture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process has only stopped, and where nobody may move anything; it is still there for who may."""
    monkeypatch.setattr(moves, "_PATIENCE", 0.1)
    moving = moves.moving_directory(mixture)
    with directory_locked(moving), pytest.raises(ModelReadError, match="which has stopped half way"):
        check_no_mixture(mixture, ModelReadError)

    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as read_only:
        read_only.setattr(moves, "_move", refused)
        with pytest.raises(ModelReadError, match=rf"killed half way.*Read-only file system.* it lies in {moving}"):
            check_no_mixture(mixture, ModelReadError)
    assert mixture.read_text() == "old"
    monkeypatch.setattr(moves, "_PATIENCE", -1.0)  # what is mended is not waited for
    check_no_mixture(mixture, ModelReadError)
    assert mixture.read_text() == "new"
    assert {path.name for path in mixture.parent.iterdir()} == {"model", "model.json"}


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"": 1, "a/b": 2}'])
def test_a_list_of_something_else_is_none(tmp_path: Path, text: str) -> None:
    """Nothing is moved by it, nor does it keep anybody from reading."""
    target = tmp_path / "model"
    moves.moving_directory(target).mkdir()
    (moves.moving_directory(target) / ".moves.json").write_text(text)
    check_no_mixture(target, ModelReadError)
    check_free(target, overwrite=False)
    assert not [*tmp_path.iterdir()]
