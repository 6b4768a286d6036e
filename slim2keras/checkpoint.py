"""slim checkpoints as a read-only mapping from variable name to array; and writing them back.

Read are V1 (one file, as in the tarballs of 2016 and 2017), V2 (``.index`` and ``.data-*``), training directories, and
``.tar.gz``/``.tgz`` archives of either.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from slim2keras.errors import CheckpointReadError, OutputError, Slim2KerasError, did_you_mean
from slim2keras.output_files import check_free, check_no_format, check_space, report_path, sha256, whole_or_not_at_all
from slim2keras.scopes import VariableInfo, VariableKind, classify_variables, global_step_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Last eight bytes of TensorFlow's sorted string table, which holds a V1 checkpoint and the index of a V2 one.
_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
_TABLE_FOOTER_SIZE = 48
_SHARD = re.compile(r"^(?P<prefix>.+)\.data-(?P<index>\d{5})-of-(?P<count>\d{5})$")
SHA256 = "sha256"
"""Key of the report beside a checkpoint: of what it is about, the index or the one file."""
_OBJECT_GRAPH_KEYS = ("_CHECKPOINTABLE_OBJECT_GRAPH", "_TRACKABLE_OBJECT_GRAPH")

MAX_ARCHIVE_BYTES = 16 * 2**30
"""Most that an archive may unpack to: four times the largest training checkpoint published with slim."""
MAX_ARCHIVE_MEMBERS = 10_000


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


class Checkpoint(Mapping[str, Any]):
    """A checkpoint's variables, read when asked for.

    Attributes:
        given: The path as the user gave it.
        location: The files behind it.
        variables: Shape and dtype of every variable, sorted by name.
        kinds: What each variable is for.
    """

    def __init__(self, given: Path, location: CheckpointFiles) -> None:
        self.given = given
        self.location = location
        with _read_errors(given):
            self._reader = _open_reader(location.prefix)
            shapes = self._reader.get_variable_to_shape_map()
            dtypes = self._reader.get_variable_to_dtype_map()
        if any(key in shapes for key in _OBJECT_GRAPH_KEYS):
            raise CheckpointReadError(
                f"{given} is not a slim checkpoint: TensorFlow 2 wrote it by object "
                f"({next(key for key in _OBJECT_GRAPH_KEYS if key in shapes)}), without slim's variable names. "
                "Load it with tf.train.Checkpoint in the program that wrote it."
            )
        self.variables = {
            name: VariableInfo(tuple(shapes[name]), dtypes[name].as_numpy_dtype.__name__) for name in sorted(shapes)
        }
        self.kinds = classify_variables(self.variables)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.variables:
            raise KeyError(f"{self.given} has no variable {name!r}.{did_you_mean(name, self.variables)}")
        with _read_errors(self.given, name):
            value: NDArray[Any] = self._reader.get_tensor(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.variables)

    def __len__(self) -> int:
        return len(self.variables)

    def names(self, kind: VariableKind) -> list[str]:
        """Names of the variables of a kind, sorted."""
        return [name for name, its_kind in self.kinds.items() if its_kind is kind]

    @property
    def model_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every variable of the network."""
        return {name: self.variables[name].shape for name in self.names(VariableKind.MODEL)}

    @property
    def global_step(self) -> int | None:
        """Number of training steps done, ``None`` if the checkpoint does not say."""
        name = global_step_name(self.kinds)
        return None if name is None else int(self[name])


@contextlib.contextmanager
def open_checkpoint(path: str | Path) -> Iterator[Checkpoint]:
    """Open a checkpoint; what was unpacked of an archive is gone when the block ends.

    Args:
        path: V1 file, V2 prefix or one of its files, training directory, ``.tar``, ``.tar.gz`` or ``.tgz``.

    Raises:
        CheckpointReadError: If nothing readable is there; the message says what was found instead.
    """
    given = Path(path)
    with contextlib.ExitStack() as stack:
        if is_archive(given):
            found = _locate_in_archive(stack.enter_context(unpacked_archive(given)), given)
            location = CheckpointFiles(found.prefix, found.version, (given,))
        else:
            location = locate_checkpoint(given)
        yield Checkpoint(given, location)


def locate_checkpoint(path: Path) -> CheckpointFiles:
    """Find the files that ``path`` means, and check that they can be a checkpoint.

    Raises:
        CheckpointReadError: If they are missing, incomplete, or not a checkpoint.
    """
    if path.is_dir():
        return _locate_in_directory(path)
    prefix = _v2_prefix(path)
    if prefix is not None:
        return _v2_files(prefix)
    if path.is_file():
        _check_table(path)
        return CheckpointFiles(path, "V1", (path,))
    neighbours = sorted(_checkpoints_in(path.parent)) if path.parent.is_dir() else []
    names = [item.name for item in neighbours]
    near = did_you_mean(path.name, names)
    if names and not near:
        near = f" In {path.parent} are {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}."
    raise CheckpointReadError(
        f"There is no checkpoint {path}.{near} Give a V1 file, a V2 prefix, a training directory or a .tar.gz."
    )


@contextlib.contextmanager
def unpacked_archive(archive: Path) -> Iterator[Path]:
    """Unpack a tar archive into a temporary directory, which is gone when the block ends.

    Raises:
        CheckpointReadError: As ``unpack_archive``, or if the disk has no room.
    """
    with tempfile.TemporaryDirectory(prefix="slim2keras-") as name:
        directory = Path(name)
        with _unpack_errors(archive, directory):
            unpack_archive(archive, directory)
        yield directory


def unpack_archive(archive: Path, directory: Path) -> None:
    """Unpack the regular files of a tar archive into an empty directory.

    Raises:
        CheckpointReadError: If the archive is corrupt, or has a member that points outside, is a link or a device, or
            if it unpacks to more than ``MAX_ARCHIVE_BYTES``; nothing outside ``directory`` is ever written.
    """
    total = 0
    try:
        with tarfile.open(archive, "r:*") as tar:
            for count, member in enumerate(tar, start=1):
                total += member.size
                _check_member(member, archive, count, total)
                if member.isfile():
                    target = directory / member.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source = tar.extractfile(member)
                    assert source is not None
                    with source, target.open("wb") as sink:
                        _copy_whole(source, sink, member, archive)
            _check_rest(tar, archive)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename != str(archive):
            raise
        raise CheckpointReadError(
            f"{archive} cannot be unpacked: {error or type(error).__name__}. "
            "It is not a tar archive, or it is truncated or corrupt; fetch it again."
        ) from error


def _check_rest(tar: tarfile.TarFile, archive: Path) -> None:
    """Read what follows the last member: gzip's checksum of the whole stands at its very end."""
    assert tar.fileobj is not None
    rest = 0
    while block := tar.fileobj.read(2**20):
        rest += len(block)
        if rest > MAX_ARCHIVE_BYTES:
            raise CheckpointReadError(
                f"{archive} is refused: over {MAX_ARCHIVE_BYTES / 2**30:.0f} GiB follow its last member."
            )


def _copy_whole(source: IO[bytes], sink: IO[bytes], member: tarfile.TarInfo, archive: Path) -> None:
    shutil.copyfileobj(source, sink, 2**20)
    if sink.tell() != member.size:
        raise CheckpointReadError(
            f"{archive} is truncated: {member.name} has {sink.tell()} of {member.size} bytes. Fetch it again."
        )


def _check_member(member: tarfile.TarInfo, archive: Path, count: int, total: int) -> None:
    parts = PurePosixPath(member.name).parts
    if member.name.startswith("/") or ".." in parts or "\\" in member.name:
        reason = "points outside of the archive"
    elif not (member.isfile() or member.isdir()):
        reason = "is a link or a device"
    elif total > MAX_ARCHIVE_BYTES:
        reason = f"takes the archive over {MAX_ARCHIVE_BYTES / 2**30:.0f} GiB unpacked"
    elif count > MAX_ARCHIVE_MEMBERS:
        reason = f"takes the archive over {MAX_ARCHIVE_MEMBERS} members"
    else:
        return
    raise CheckpointReadError(
        f"{archive} is refused: its member {member.name!r} {reason}. Nothing was unpacked outside a temporary "
        "directory. If you trust the file, unpack it yourself and give the path of what is in it."
    )


@contextlib.contextmanager
def _unpack_errors(archive: Path, directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointReadError(
            f"{archive} cannot be unpacked into {directory}: {error.strerror or error}. "
            "Set TMPDIR to a directory with room, or unpack the archive yourself."
        ) from error


def is_archive(path: Path) -> bool:
    """Whether a path is a file that is named as a tar archive."""
    return path.is_file() and path.name.endswith((".tar", ".tar.gz", ".tgz"))


def _locate_in_directory(directory: Path) -> CheckpointFiles:
    """The checkpoint that a directory's ``checkpoint`` file names, or else the only one there."""
    state = directory / "checkpoint"
    if state.is_file() and not _ends_as_table(state):
        return locate_checkpoint(_latest_checkpoint(state))
    return _locate_only(_checkpoints_in(directory), directory)


def _locate_in_archive(directory: Path, archive: Path) -> CheckpointFiles:
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
            "Give the directory that slim trained in, or a checkpoint's path."
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


def _v2_files(prefix: Path) -> CheckpointFiles:
    index = Path(f"{prefix}.index")
    if not index.is_file():
        raise CheckpointReadError(
            f"{prefix} is incomplete: {index.name} is missing. A V2 checkpoint is an .index and its .data files; "
            "copy all of them."
        )
    _check_table(index)
    shards = _shards(prefix)
    counts = {_SHARD.match(shard.name)["count"] for shard in shards}  # type: ignore[index]
    count = int(max(counts, default="00001"))
    files = _v2_paths(prefix, count)
    missing = [path.name for path in files[1:] if path not in shards]
    if missing:
        raise CheckpointReadError(
            f"{prefix} is incomplete: {', '.join(missing)} missing. A V2 checkpoint is an .index and its .data files; "
            "copy all of them."
        )
    return CheckpointFiles(prefix, "V2", files)


def _v2_paths(prefix: Path, num_shards: int) -> tuple[Path, ...]:
    """The index and the data files of a V2 checkpoint."""
    shards = [f"{prefix.name}.data-{number:05d}-of-{num_shards:05d}" for number in range(num_shards)]
    return (prefix.with_name(f"{prefix.name}.index"), *map(prefix.with_name, shards))


def _ends_as_table(path: Path) -> bool:
    if path.stat().st_size < _TABLE_FOOTER_SIZE:
        return False
    with path.open("rb") as file:
        file.seek(-len(_TABLE_MAGIC), 2)
        return file.read() == _TABLE_MAGIC


def _check_table(path: Path) -> None:
    """Refuse a file that does not end as TensorFlow's tables do, saying what it looks like."""
    try:
        if _ends_as_table(path):
            return
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise CheckpointReadError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not head:
        found = "it is empty"
    elif head.startswith(b"\x89HDF"):
        found = "it is an HDF5 file, as Keras writes them; `slim2keras export` makes a checkpoint of a model"
    elif path.suffix == ".keras":
        found = "it is a Keras model file; `slim2keras export` makes a checkpoint of it"
    elif head.startswith((b"PK", b"\x1f\x8b")):
        found = "it is a compressed archive under another name"
    elif all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        found = f"it is text, beginning {head[:32].decode('ascii')!r}"
    else:
        found = "its last bytes are not those of a TensorFlow table: it is truncated, or another kind of file"
    raise CheckpointReadError(f"{path} is not a checkpoint: {found}. Give a V1 file, a V2 prefix or a directory.")


def _open_reader(prefix: Path) -> Any:
    import tensorflow as tf

    return tf.train.load_checkpoint(str(prefix))


@contextlib.contextmanager
def _read_errors(given: Path, variable: str | None = None) -> Iterator[None]:
    """Turn whatever TensorFlow's reader raises on a bad file into one error."""
    try:
        yield
    except Exception as error:
        # The reader raises OpError, ValueError, RuntimeError, TypeError or UnicodeDecodeError, by the place of damage.
        where = f" at {variable}" if variable else ""
        detail = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise CheckpointReadError(
            f"{given} is corrupt{where}: {detail}. Fetch or copy the checkpoint again; if it was being written, use "
            "the one before."
        ) from error


def write_checkpoint(
    prefix: Path,
    values: Mapping[str, NDArray[Any]],
    version: CheckpointVersion,
    *,
    overwrite: bool = False,
    report: Mapping[str, Any] | None = None,
) -> CheckpointFiles:
    """Write a checkpoint with the ops of slim's ``Saver``, and read it back bit for bit.

    As after ``Saver.save`` it is the latest one of its directory: the ``checkpoint`` file there names it, and keeps the
    others that it named.

    Args:
        prefix: Path as ``Saver.save`` returns it.
        values: Variable name to value.
        overwrite: Replace existing files.
        report: To write beside it as ``<prefix>.json``, with the SHA-256 of what it is about.

    Returns:
        Where it lies.

    Raises:
        OutputError: If it exists already or cannot be written; nothing is left behind.
    """
    prefix = prefix.absolute()
    files = check_checkpoint_target(prefix, version, overwrite=overwrite)
    check_space(prefix, sum(value.nbytes for value in values.values()))
    location = CheckpointFiles(prefix, version.value, files)
    state = prefix.with_name("checkpoint")
    advanced = _advanced_state(state, prefix)
    texts = {} if advanced is None else {state: advanced}
    about = report_path(prefix)
    if report is not None:
        check_free(about, overwrite=overwrite)
        texts[about] = ""
    with whole_or_not_at_all(*files, *texts) as drafts:
        draft = drafts[0].with_name(prefix.name)
        _save(draft, values, version)
        _check_written(draft, values)
        if report is not None:
            facts = {**report, SHA256: sha256(draft.with_name(location.index.name))}
            texts[about] = json.dumps(facts, indent=2) + "\n"
        for target, text in zip(drafts[len(files) :], texts.values(), strict=True):
            target.write_text(text, encoding="utf-8")
    return location


def check_checkpoint_target(prefix: Path, version: CheckpointVersion, *, overwrite: bool) -> tuple[Path, ...]:
    """Check before any work is done that a checkpoint can be written there.

    Returns:
        Its files.

    Raises:
        OutputError: If the name is none of a checkpoint, the directory is missing, or a file exists.
    """
    if prefix.name == "checkpoint":
        raise OutputError(
            f"{prefix} is the name of the file by which a directory names its checkpoints. Give another, such as "
            "model.ckpt-5000."
        )
    check_no_format(prefix, "a checkpoint's name, a prefix without suffix such as model.ckpt-5000")
    one_file, several = (prefix,), _v2_paths(prefix, 1)
    files, others = (one_file, several) if version is CheckpointVersion.V1 else (several, one_file)
    check_free(*files, overwrite=overwrite)
    check_free(*others, overwrite=False)
    return files


def _save(prefix: Path, values: Mapping[str, NDArray[Any]], version: CheckpointVersion) -> None:
    import tensorflow as tf

    names, tensors, whole = [*values], [*values.values()], [""] * len(values)
    if version is CheckpointVersion.V1:
        tf.raw_ops.SaveSlices(filename=str(prefix), tensor_names=names, shapes_and_slices=whole, data=tensors)
    else:
        tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=whole, tensors=tensors)


def _check_written(prefix: Path, values: Mapping[str, NDArray[Any]]) -> None:
    with open_checkpoint(prefix) as written:
        differing = [
            name for name, value in values.items() if name not in written or written[name].tobytes() != value.tobytes()
        ]
    if differing:
        raise Slim2KerasError(
            f"{prefix.name} did not survive writing: {len(differing)} of {len(values)} variables differ when read "
            f"back, the first {differing[0]}. The disk is at fault; nothing was kept."
        )


def _advanced_state(state: Path, prefix: Path) -> str | None:
    """A directory's ``checkpoint`` file with a checkpoint more, the latest, as slim's ``Saver`` writes it.

    Returns:
        ``None`` if what is there is no such file, but somebody's own.
    """
    import tensorflow as tf
    from google.protobuf import text_format

    make_state = functools.partial(tf.compat.v1.train.generate_checkpoint_state_proto, "", prefix.name)
    found = type(make_state())()
    if state.exists():
        try:
            text_format.Parse(state.read_text(encoding="utf-8"), found)
        except (OSError, ValueError, text_format.ParseError):
            return None
    others = [path for path in found.all_model_checkpoint_paths if state.parent / path != prefix]
    return str(make_state([*others, prefix.name]))
