"""Writing slim checkpoints back, whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.checkpoints.locating import CheckpointFiles, CheckpointVersion, v2_paths
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.errors import OutputError, Slim2KerasError
from slim2keras.files.output_files import (
    check_free,
    check_no_format,
    check_space,
    report_path,
    sha256,
    whole_or_not_at_all,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


SHA256 = "sha256"
"""Key of the report beside a checkpoint: of what it is about, the index or the one file."""


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
    beside = () if report is None else (report_path(prefix),)
    for path in beside:
        check_free(path, overwrite=overwrite)
    with _advancing(prefix), whole_or_not_at_all(*files, *beside, overwrite=overwrite) as drafts:
        draft = drafts[0].with_name(prefix.name)
        _save(draft, values, version)
        _check_written(draft, values)
        if report is not None:
            facts = {**report, SHA256: sha256(draft.with_name(location.index.name))}
            drafts[-1].write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return location


@contextlib.contextmanager
def _advancing(prefix: Path) -> Iterator[None]:
    """When it has ended well, the directory's ``checkpoint`` file names the checkpoint, which is there by then."""
    state = prefix.with_name("checkpoint")
    advanced = _advanced_state(state, prefix)
    if advanced is None:
        yield
        return

    def advance(draft: Path) -> None:
        # What is somebody's own by now stays.
        draft.write_bytes(_advanced_state(state, prefix) or state.read_bytes())

    with whole_or_not_at_all(state, at_last=advance) as (draft,):
        draft.write_bytes(advanced)  # there is room for it, before the checkpoint is there
        yield


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
    one_file, several = (prefix,), v2_paths(prefix, 1)
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


def _advanced_state(state: Path, prefix: Path) -> bytes | None:
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
    return str(make_state([*others, prefix.name])).encode()
