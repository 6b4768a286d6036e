"""The commands that write, each with what it needs, and what its target must be; and processes that run them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Before TensorFlow is imported, as the command does.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

from tests.faults import samples
from tests.faults.samples import SHAPE

SECONDS = 600
"""That a command may take on a busy machine."""


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes:
        make: Writes what it needs into an empty folder.
        words: Of the command, in the folder.
        target: That it writes.
        check: Reads the target, and raises if it is not whole.
        goes_on: What is run after it was stopped, where that is another command.
    """

    make: Callable[[Path], None]
    words: tuple[str, ...]
    target: str
    check: Callable[[Path], object]
    goes_on: tuple[str, ...] = ()


def is_a_model(path: Path) -> object:
    """With the report that was written with it: its tensors have the checksums that stand there."""
    from slim2keras.conversion.integrity import verify_file

    found = verify_file(path)
    found.raise_if_failed()
    return found


def are_weights(path: Path) -> object:
    """Likewise, of a file that has no more."""
    import json

    import slim2keras
    from slim2keras.files.output_files import report_path
    from slim2keras.models.variables import slim_variables
    from slim2keras.outputs.checksums import checksums

    variables = slim_variables(slim2keras.load_model(path))
    found = checksums((name, item.numpy()) for name, item in variables.items())
    assert found == json.loads(report_path(path).read_text())["tensors"]
    return found


def is_a_checkpoint(path: Path) -> object:
    from slim2keras.checkpoints.reading import open_checkpoint

    with open_checkpoint(path) as opened:
        return dict(opened)


def is_a_run(path: Path) -> object:
    """One that has begun: there is a state to go on from."""
    from slim2keras.files.run_layout import RunLayout
    from slim2keras.trainer.state import read_state

    return read_state(RunLayout(path))


def lenet(folder: Path) -> None:
    """Small, since tf_keras traces every layer of a SavedModel."""
    from slim2keras.nets.spec import NetSpec
    from tests.reference import values_of, write_checkpoint

    write_checkpoint(folder / "lenet.ckpt", values_of(NetSpec.make("lenet", None, {}).trace().variables()))


def images(folder: Path) -> None:
    from tests.trainer import runs

    runs.write_images(folder / "images")
    runs.write_network(folder / "tiny.keras", len(runs.CLASSES))


_TRAIN = ("--data", "images", "--batch-norm", "update", "--decay", "0.8", "--batch-size", "8", "--epochs", "2")
_OVERWRITE = "--overwrite"
COMMANDS: Mapping[str, Command] = {
    **{
        f"convert to {name}": Command(
            samples.v2,
            ("convert", "train", "-o", f"out{name}", "--input-shape", SHAPE, _OVERWRITE),
            f"out{name}",
            are_weights if name == ".weights.h5" else is_a_model,
        )
        for name in (".keras", ".h5", ".weights.h5")
    },
    "convert to SavedModel": Command(lenet, ("convert", "lenet.ckpt", "-o", "out", _OVERWRITE), "out", is_a_model),
    "export": Command(
        samples.model(".keras"),
        ("export", "tiny.keras", "-o", "out/model.ckpt-1", _OVERWRITE),
        "out/model.ckpt-1",
        is_a_checkpoint,
    ),
    "recalibrate": Command(
        images,
        ("recalibrate", "tiny.keras", "--data", "images", "-o", "out.keras", _OVERWRITE),
        "out.keras",
        is_a_model,
    ),
    "finetune": Command(
        images,
        ("finetune", "tiny.keras", *_TRAIN, "--deterministic", "--save-steps", "2", "-o", "run"),
        "run",
        is_a_run,
        ("finetune", "--resume", "run"),
    ),
    **{
        f"deploy to {name}": Command(
            samples.model(".keras"),
            ("convert", "tiny.keras", "-o", target, *options, _OVERWRITE),
            target,
            is_a_model,
        )
        for name, target, options in (
            ("Keras 3", "out.keras", ("--keras", "3")),
            (".tflite", "out.tflite", ()),
            (".onnx", "out.onnx", ()),
            ("a SavedModel for serving", "out", ("--signature", "images")),
        )
    },
}


def is_there(target: Path) -> bool:
    """Whether a target is there under its name; of a RUN, whether it can be gone on with; a checkpoint is its index."""
    from slim2keras.files.run_layout import is_run

    if target.name == "run":
        return is_run(target)
    return target.exists() or target.with_name(f"{target.name}.index").exists()


def hidden_in(folder: Path) -> list[str]:
    """What nobody but us would put there."""
    # Not rglob, which fails where a directory goes away meanwhile.
    found = (Path(place, name) for place, *names in os.walk(folder) for name in (*names[0], *names[1]))
    return sorted(str(path.relative_to(folder)) for path in found if path.name.startswith("."))


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said on stderr."""

    status: int
    says: str


class Process:
    """A fork that runs a command in a folder.

    Args:
        prepare: Called in it first.
    """

    def __init__(self, words: Sequence[str], folder: Path, prepare: Callable[[], object] | None = None) -> None:
        # No file, whose size may be limited; what a command says fits into a pipe.
        self._says, says = os.pipe()
        # A signal that comes before the command listens would end what it is forked from.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        self.id = os.fork()
        if self.id:
            os.close(says)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return
        status = 99
        try:
            os.chdir(folder)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(says, 2)
            if prepare is not None:
                prepare()
            status = _status_of(words)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def end(self) -> Ended:
        """Wait for it; one that does not end is killed."""
        deadline = time.monotonic() + SECONDS
        while not (found := os.waitpid(self.id, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                os.kill(self.id, signal.SIGKILL)
            time.sleep(0.001)
        status = os.waitstatus_to_exitcode(found[1])
        with os.fdopen(self._says, errors="replace") as says:
            return Ended(status, says.read())


def _status_of(words: Sequence[str]) -> int:
    from slim2keras.cli.app import main
    from slim2keras.cli.interruption import Interruption

    sys.argv = ["slim2keras", *words]
    Interruption.listen()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def seconds_of(words: Sequence[str], folder: Path) -> float:
    """A whole command takes, which must end well."""
    began = time.perf_counter()
    ended = Process(words, folder).end()
    if ended.status:
        raise RuntimeError(f"{' '.join(words)} ended with {ended.status}: {ended.says}")
    return time.perf_counter() - began


def goes_well(work: Callable[[], object]) -> bool:
    """Do it in a process of its own, since TensorFlow cannot be forked once it has run; whether it went well."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def import_all() -> None:
    """What every command needs, before the forks."""
    import h5py  # noqa: F401
    import tensorflow as tf  # noqa: F401
    import tf_keras  # noqa: F401

    from slim2keras.cli.app import app  # noqa: F401
    from slim2keras.trainer import training  # noqa: F401
