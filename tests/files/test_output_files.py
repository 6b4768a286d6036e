"""A file appears whole or not at all, and what exists is kept."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
from google.protobuf.message import EncodeError

from slim2keras.conversion.converting import convert_to_file
from slim2keras.errors import NoSpaceError, OutOfMemoryError, OutputError
from slim2keras.files import output_files
from slim2keras.files.output_files import check_free, targets_told, whole_or_not_at_all
from slim2keras.nets.spec import NetSpec
from slim2keras.outputs import writing
from tests.reference import convert_small, values_of, write_checkpoint


@pytest.mark.parametrize("existing", ["model.keras", "model.keras.json"])
def test_existing_files_are_left_as_they_are_unless_told(tmp_path: Path, small_checkpoint: Path, existing: str) -> None:
    """The model and the report alike; with ``overwrite`` both are new."""
    (tmp_path / existing).write_text("precious")
    with pytest.raises(OutputError, match="exists already and is left as it is"):
        convert_small(small_checkpoint, tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "precious"
    convert_small(small_checkpoint, tmp_path / "model.keras", overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "model.keras.json"}


def test_a_saved_model_is_replaced_and_another_directory_is_not(tmp_path: Path) -> None:
    """Of LeNet, since tf_keras traces every layer of a SavedModel."""
    values = values_of(NetSpec.make("lenet", None, {}).trace().variables())
    checkpoint = write_checkpoint(tmp_path / "lenet.ckpt", values)
    beside = {path.name for path in tmp_path.iterdir()}
    convert_to_file(checkpoint, tmp_path / "model")
    convert_to_file(checkpoint, tmp_path / "model", overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} - beside == {"model", "model.json"}
    other = tmp_path / "photos"
    other.mkdir()
    (other / "holiday.jpg").write_text("precious")
    with pytest.raises(OutputError, match="holds no SavedModel"):
        convert_to_file(checkpoint, other, overwrite=True)
    assert (other / "holiday.jpg").read_text() == "precious"


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is needed and what there is."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(NoSpaceError, match="3 MiB are needed and 1 MiB are free"):
        convert_small(small_checkpoint, tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    """Somebody reads there; ``/dev/null`` is every process'."""
    pipe = tmp_path / "model.keras"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match=r"model\.keras is a device, a pipe or a socket"):
        check_free(pipe, overwrite=True)


def test_a_target_that_cannot_be_is_refused_before_any_work(tmp_path: Path) -> None:
    """Not after minutes of reading."""
    with pytest.raises(OutputError, match="there is no directory"):
        convert_small(tmp_path / "no.ckpt", tmp_path / "no" / "where" / "model.keras")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a directory"):
        convert_small(tmp_path / "no.ckpt", tmp_path / "file" / "model.keras")


def of_tensorflow(message: str) -> Exception:
    """One class for a full disk and for full memory."""
    error: Exception = tf.errors.ResourceExhaustedError(None, None, message)
    return error


def while_handling(first: Exception, error: Exception) -> Exception:
    """As Python has it of an error that comes where another one is being handled."""
    error.__context__ = first
    return error


def failing(error: Exception) -> Any:
    def write(model: Any, *arguments: Any) -> None:
        Path(arguments[0] if isinstance(arguments[0], Path) else arguments[1]).write_text("half")
        raise error

    return write


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), NoSpaceError),
        (
            OSError("Can't write data (file write failed: errno = 28, error message = 'No space left on device')"),
            NoSpaceError,
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), NoSpaceError),
        (RuntimeError("model.ckpt-1.data-00000-of-00001; File too large [Op:SaveV2]"), NoSpaceError),
        (of_tensorflow("tempstate1; No space left on device"), NoSpaceError),
        (of_tensorflow("OOM when allocating tensor"), OutOfMemoryError),
        (MemoryError(), OutOfMemoryError),
        (OSError("Can't synchronously write data (memory allocation failed for chunk)"), OutOfMemoryError),
        (
            OSError("Unable to synchronously create file (can't allocate space for symbol table entry)"),
            OutOfMemoryError,
        ),
        (ValueError("Unable to create dataset (can't create doubling table block size table)"), OutOfMemoryError),
        (OSError("Unable to synchronously open file (image null after H5MM_realloc())"), OutOfMemoryError),
        (EncodeError("Failed to serialize proto"), OutOfMemoryError),
        (while_handling(MemoryError(), OSError("Can't decrement id ref count")), OutOfMemoryError),
        (while_handling(ValueError("something"), PermissionError(errno.EACCES, "denied")), OutputError),
        (PermissionError(errno.EACCES, "Permission denied"), OutputError),
        (RuntimeError("something else"), RuntimeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_nothing_is_left_of_a_write_that_fails(
    tmp_path: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type
) -> None:
    """The file from before is there as it was, whatever the error."""
    (tmp_path / "model.keras").write_text("the one before")
    monkeypatch.setattr(writing, "write_model", failing(error))
    with pytest.raises(expected):
        convert_small(small_checkpoint, tmp_path / "model.keras", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert (tmp_path / "model.keras").read_text() == "the one before"


def test_a_real_limit_on_file_size_is_told_as_no_space(tmp_path: Path, small_checkpoint: Path) -> None:
    """Whatever the format, the command says so, exits with 1 and leaves nothing."""
    code = (
        "import resource, signal, sys\n"
        "from slim2keras.cli import main\n"
        "import tensorflow, tf_keras, h5py\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "_, checkpoint, *outputs = sys.argv\n"
        "for output in outputs:\n"
        "    sys.argv = ['slim2keras', 'convert', checkpoint, '-o', output]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as error:\n"
        "        print(int(error.code))"
    )
    outputs = [str(tmp_path / name) for name in ("model.weights.h5", "model.h5", "model.keras")]
    command = [sys.executable, "-c", code, str(small_checkpoint), *outputs]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1", "1", "1"], result.stderr
    assert result.stderr.count("no space is left") == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has is what Linux says of it")
def test_a_process_without_any_memory_left_removes_its_drafts(tmp_path: Path) -> None:
    """What took the memory is still there then: the error holds it."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from slim2keras.errors import OutOfMemoryError\n"
        "from slim2keras.files.output_files import whole_or_not_at_all\n"
        "from tests.little_memory import take_all\n"
        "try:\n"
        "    with whole_or_not_at_all(Path(sys.argv[1])) as (draft,):\n"
        "        draft.write_text('half')\n"
        "        take_all()\n"
        "except OutOfMemoryError:\n"
        "    print('told')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.keras")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stdout == "told\n", result.stderr
    assert not list(tmp_path.iterdir())


def test_killed_at_any_moment_there_is_no_half_file(tmp_path: Path, small_checkpoint: Path) -> None:
    """Under the name that was asked for there is all of it or nothing."""
    code = "from slim2keras.cli import main; main()"
    command = [sys.executable, "-c", code, "convert", str(small_checkpoint), "-o", str(tmp_path / "model.keras")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        drafts = [path for path in tmp_path.glob(".model.keras.*/model.keras") if path.stat().st_size]
        if drafts:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.001)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_the_drafts_of_the_dead_are_cleared_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    """By the next that writes the same target; other targets' drafts and a user's own hidden files stay."""
    target, names = tmp_path / "model.keras", ("model.keras", "other.keras")
    dead, of_other = (tmp_path / f".{name}.{'0a' * 6}" for name in names)
    for path in (dead, of_other, tmp_path / ".model.keras.mine"):
        path.mkdir()
        (path / "half").touch()
    with whole_or_not_at_all(target) as (living,), whole_or_not_at_all(target) as (draft,):
        assert not dead.exists()
        assert living.parent.is_dir()
        draft.touch()
        living.touch()
    assert {path.name for path in tmp_path.iterdir()} == {target.name, of_other.name, ".model.keras.mine"}


def test_without_locks_no_draft_is_taken_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system cannot say who lives, nothing of anybody is removed."""
    fcntl = pytest.importorskip("fcntl")

    def unknown(*_: object) -> None:
        raise OSError("no locks available")

    draft = tmp_path / f".model.keras.{'0a' * 6}"
    draft.mkdir()
    monkeypatch.setattr(fcntl, "flock", unknown)
    with whole_or_not_at_all(tmp_path / "model.keras") as (written,):
        written.touch()
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", draft.name}


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    """Also where it points nowhere; a directory in the place of a report is left as it is."""
    (tmp_path / "other").write_text("precious")
    for name in ("other", "nowhere"):
        (tmp_path / "model").unlink(missing_ok=True)
        (tmp_path / "model").symlink_to(tmp_path / name)
        with whole_or_not_at_all(tmp_path / "model") as (draft,):
            draft.write_text("new")
        assert not (tmp_path / "model").is_symlink()
        assert (tmp_path / "model").read_text() == "new"
    assert (tmp_path / "other").read_text() == "precious"
    (tmp_path / "model.json").mkdir()
    refused = pytest.raises(OutputError, match="cannot be written: Is a directory")
    with refused, whole_or_not_at_all(tmp_path / "model", tmp_path / "model.json") as drafts:
        for draft in drafts:
            draft.write_text("newer")
    assert (tmp_path / "model").read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "model.json", "other"}


def test_ctrl_c_while_drafts_are_removed_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``shutil`` makes an error of one that comes when it has just closed a directory, which it closes again."""
    before, errors = shutil.rmtree, [OSError(errno.EBADF, "Bad file descriptor")]

    def interrupted(path: Path, **options: Any) -> None:
        if errors:
            raise errors.pop()
        before(path, **options)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    target = tmp_path / "model.keras"
    with pytest.raises(KeyboardInterrupt), whole_or_not_at_all(target) as (draft,):
        draft.touch()
    assert not errors
    assert [*tmp_path.iterdir()] == [target]


def test_what_ctrl_c_finds_half_moved_is_told_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the last move, and nobody reads that nothing was written."""
    before, calls = output_files.move_all, []

    def interrupted(moving: Path) -> None:
        before(moving)
        calls.append(moving)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(output_files, "move_all", interrupted)
    target = tmp_path / "model.keras"
    with targets_told() as written, pytest.raises(KeyboardInterrupt), whole_or_not_at_all(target) as (draft,):
        draft.touch()
    assert written == [target]
    assert [*tmp_path.iterdir()] == [target]
