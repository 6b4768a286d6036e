"""Where the files of a checkpoint are: V1, V2, or a training directory with either."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from slim2keras.checkpoints.tables import FOOTER_SIZE, MAGIC
from slim2keras.errors import CheckpointReadError, did_you_mean
from slim2keras.files.moves import check_no_mixture
from slim2keras.files.output_files import RUNTIMES
from slim2keras.files.run_layout import model_of_run_told

_SHARD = re.compile(r"^(?P<prefix>.+)\.data-(?P<index>\d{5})-of-(?P<count>\d{5})$")


class CheckpointVersion(Enum):
    """Formats of slim checkpoints."""

    V1 = "V1"
    V2 = "V2"


@dataclass(frozen=True)
class CheckpointFiles:
    """Where a checkpoint lies.

    Attributes:
        prefix: What TensorFlow's readers take: the V1 file itself, or the V2 path without ``.index``.
        version: ``"V1"`` or ``"V2"``.
        files: Every file of it; with an archive, the archive.
    """

    prefix: Path
    version: str
    files: tuple[Path, ...]

    @property
    def index(self) -> Path:
        """The V1 file, or the V2 index: its checksums stand for all of the checkpoint."""
        return Path(f"{self.prefix}.index") if self.version == CheckpointVersion.V2.value else self.prefix


def locate_checkpoint(path: Path) -> CheckpointFiles:
    """Find the files that ``path`` means, and check that they can be a checkpoint.

    Raises:
        CheckpointReadError: If they are missing, incomplete, or not a checkpoint.
    """
    with path_errors(path):
        return _locate_in_directory(path) if path.is_dir() else _locate_by_name(path)


@contextlib.contextmanager
def path_errors(path: Path) -> Iterator[None]:
    """Turn what the disk says of a path into one error: a name, also in a `checkpoint` file, may be none that it knows.

    Raises:
        CheckpointReadError: With the path as it was given.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointReadError(
            f"{path} cannot be read: {error.strerror or error}. Give the path of a checkpoint that is there, or of its "
            "directory."
        ) from error


def _locate_by_name(path: Path) -> CheckpointFiles:
    prefix = _v2_prefix(path)
    if prefix is not None:
        return v2_files(prefix)
    if path.suffix == ".meta" and path.with_suffix("").is_file():
        return _locate_by_name(path.with_suffix(""))
    check_no_mixture(path, CheckpointReadError)
    if path.is_file():
        _check_table(path)
        return CheckpointFiles(path, "V1", (path,))
    raise CheckpointReadError(
        f"There is no checkpoint {path}.{_what_is_near(path)} Give a V1 file, a V2 prefix, a training directory or a "
        ".tar.gz."
    )


def _what_is_near(path: Path) -> str:
    neighbours = sorted(_checkpoints_in(path.parent)) if path.parent.is_dir() else []
    names = [item.name for item in neighbours]
    near = did_you_mean(path.name, names)
    if names and not near:
        return f" In {path.parent} are {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}."
    return near


def _locate_in_directory(directory: Path) -> CheckpointFiles:
    """The checkpoint that a directory's ``checkpoint`` file names, or else the only one there."""
    state = directory / "checkpoint"
    if state.is_file() and not _ends_as_table(state):
        # By its name: a directory there might be this one.
        return _locate_by_name(_latest_checkpoint(state))
    return _locate_only(_checkpoints_in(directory), directory)


def locate_in_archive(directory: Path, archive: Path) -> CheckpointFiles:
    """The checkpoint of an archive: where its one ``checkpoint`` file says, or else the only one in it."""
    states = [path for path in directory.rglob("checkpoint") if path.is_file() and not _ends_as_table(path)]
    if len(states) == 1:
        location = _locate_in_directory(states[0].parent)
        if not location.prefix.resolve().is_relative_to(directory.resolve()):
            raise CheckpointReadError(
                f"{archive} is refused: its `checkpoint` file points outside of the archive, to {location.prefix}."
            )
        return location
    folders = {path.parent for path in directory.rglob("*") if path.is_file()}
    found = {checkpoint for folder in folders for checkpoint in _checkpoints_in(folder)}
    return _locate_only(found, archive)


def _locate_only(found: set[Path], place: Path) -> CheckpointFiles:
    if not found:
        raise CheckpointReadError(
            f"There is no checkpoint in {place}: neither a `checkpoint` file, nor *.index, nor a V1 file. "
            + (model_of_run_told(place) or "Give the directory that slim trained in, or a checkpoint's path.")
        )
    if len(found) > 1:
        names = ", ".join(sorted(path.name for path in found))
        raise CheckpointReadError(
            f"{place} has {len(found)} checkpoints and no `checkpoint` file that chooses: {names}. "
            "Give the path of one of them."
        )
    return locate_checkpoint(found.pop())


def _checkpoints_in(directory: Path) -> set[Path]:
    """Prefixes of the V2 checkpoints and paths of the V1 files in a directory."""
    found = set()
    for path in directory.iterdir():
        if path.suffix == ".index" and path.is_file():
            found.add(path.with_suffix(""))
        elif path.is_file() and _v2_prefix(path) is None and _ends_as_table(path):
            found.add(path)
    return found


def _latest_checkpoint(state: Path) -> Path:
    """Path in a ``checkpoint`` file; a directory that was moved still finds its own files.

    The file is a text proto, ``CheckpointState``; of it only the first field matters here.
    """
    text = state.read_text(encoding="utf-8", errors="replace")
    match = re.search(r'^\s*model_checkpoint_path\s*:\s*"([^"]+)"', text, flags=re.MULTILINE)
    if match is None:
        raise CheckpointReadError(
            f"{state} does not name a checkpoint: it has no line model_checkpoint_path. It begins {text[:40]!r}. "
            "Give the checkpoint's path instead of the directory."
        )
    named = Path(match.group(1))
    beside = state.parent / (named.name if named.is_absolute() else named)
    return named if named.is_absolute() and not _exists(beside) and _exists(named) else beside


def _exists(prefix: Path) -> bool:
    return prefix.is_file() or Path(f"{prefix}.index").is_file()


def _v2_prefix(path: Path) -> Path | None:
    """The V2 prefix that ``path`` is or belongs to, ``None`` if it belongs to none."""
    if path.suffix in (".index", ".meta") and Path(f"{path.with_suffix('')}.index").is_file():
        return path.with_suffix("")
    shard = _SHARD.match(path.name)
    if shard:
        return path.with_name(shard["prefix"])
    if Path(f"{path}.index").is_file() or _shards(path):
        return path
    return path.with_suffix("") if path.suffix == ".index" else None


def _shards(prefix: Path) -> list[Path]:
    if not prefix.parent.is_dir():
        return []
    return sorted(
        item for item in prefix.parent.iterdir() if (m := _SHARD.match(item.name)) and m["prefix"] == prefix.name
    )


def v2_files(prefix: Path) -> CheckpointFiles:
    """The files of a V2 checkpoint.

    Raises:
        CheckpointReadError: If one of them is missing, or they were replaced half way.
    """
    index = Path(f"{prefix}.index")
    check_no_mixture(index, CheckpointReadError)
    if not index.is_file():
        raise CheckpointReadError(
            f"{prefix} is incomplete: {index.name} is missing. A V2 checkpoint is an .index and its .data files; "
            "copy all of them."
        )
    _check_table(index)
    shards = _shards(prefix)
    counts = {_SHARD.match(shard.name)["count"] for shard in shards}  # type: ignore[index]
    count = int(max(counts, default="00001"))
    files = v2_paths(prefix, count)
    missing = [path.name for path in files[1:] if path not in shards]
    if missing:
        raise CheckpointReadError(
            f"{prefix} is incomplete: {', '.join(missing)} missing. A V2 checkpoint is an .index and its .data files; "
            "copy all of them."
        )
    return CheckpointFiles(prefix, "V2", files)


def v2_paths(prefix: Path, num_shards: int) -> tuple[Path, ...]:
    """The index and the data files of a V2 checkpoint."""
    shards = [f"{prefix.name}.data-{number:05d}-of-{num_shards:05d}" for number in range(num_shards)]
    return (prefix.with_name(f"{prefix.name}.index"), *map(prefix.with_name, shards))


def _ends_as_table(path: Path) -> bool:
    if path.stat().st_size < FOOTER_SIZE:
        return False
    with path.open("rb") as file:
        file.seek(-len(MAGIC), 2)
        return file.read() == MAGIC


def _check_table(path: Path) -> None:
    """Refuse a file that does not end as TensorFlow's tables do, saying what it looks like."""
    try:
        if _ends_as_table(path):
            return
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise CheckpointReadError(f"{path} cannot be read: {error.strerror or error}.") from error
    found = _looks_like(path, head)
    raise CheckpointReadError(f"{path} is not a checkpoint: {found}. Give a V1 file, a V2 prefix or a directory.")


_OF_SUFFIX = {
    ".keras": "it is a Keras model file; `slim2keras export` makes a checkpoint of it",
    ".meta": "it is the graph of one, without its values, which are not beside it; copy the other files of that name",
    **{
        suffix: f"it is a file for {runtime}, of which no model can be made again; give what it was made of"
        for suffix, runtime in RUNTIMES.items()
    },
}


def _looks_like(path: Path, head: bytes) -> str:
    if not head:
        return "it is empty"
    if head.startswith(b"\x89HDF"):
        return "it is an HDF5 file, as Keras writes them; `slim2keras export` makes a checkpoint of a model"
    if found := _OF_SUFFIX.get(path.suffix):
        return found
    if head.startswith((b"PK", b"\x1f\x8b")):
        return "it is a compressed archive under another name"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return f"it is text, beginning {head[:32].decode('ascii')!r}"
    return "its last bytes are not those of a TensorFlow table: it is truncated, or another kind of file"
