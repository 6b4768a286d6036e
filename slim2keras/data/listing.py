"""Images listed, whatever they lie in: folders, slim's TFRecords, or an ``.npz``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slim2keras.data.arrays import list_arrays
from slim2keras.data.broken import without_broken
from slim2keras.data.examples import Examples
from slim2keras.data.folders import IMAGE_SUFFIXES, SPLITS, Folder, list_folder
from slim2keras.data.labels import LabelOptions
from slim2keras.data.records import files_of_split, is_records, list_records, matching_files, record_files
from slim2keras.errors import DataReadError
from slim2keras.graphs.network import Network
from slim2keras.preprocessing.factory import pipeline_of

_GIVE = (
    "Give a folder of images, slim's TFRecords (their folder, or a pattern), or an .npz; in Python also any "
    "tf.data.Dataset."
)


_SHOWN_PATH = 200
"""Characters of a path that is too long for the system."""


def list_examples(
    path: str | Path,
    *,
    split: str | None = None,
    classes: int | None = None,
    labels: bool = True,
    labels_offset: int = 0,
    skip_broken: bool = False,
) -> Examples:
    """List images and labels without reading the images.

    Args:
        path: Folder of images, or of one folder a class, or of splits (``train``, ``validation`` or ``val``, ``test``)
            of such; folder of slim's TFRecords, one such file, or a pattern of them (``"flowers_train_*"``); or
            ``.npz`` with ``images``, uint8 or preprocessed float32, and maybe ``labels``. Hidden files are passed over.
        split: ``"train"``, ``"validation"`` or ``"test"``, where the data has splits.
        classes: Of the network. Folders are numbered by a ``labels.txt`` that lies there (slim's lines ``0:daisy``, or
            a name a line), else by name, from 1 where the network has a class more than there are folders: slim's
            background. ``None`` numbers the data's own classes from 0.
        labels: Whether labels are wanted.
        labels_offset: Taken off the numbers in a ``labels.txt``, in records or in an ``.npz``; slim's flag.
        skip_broken: Leave out, and list in ``broken``, what cannot be read; every image is decoded once for that.

    Raises:
        DataReadError: If nothing there can be read, or labels do not fit the classes.

    Examples:
        >>> from slim2keras.data.listing import list_examples
        >>> list_examples("flowers/").numbering
        '3 folders by name, daisy is class 0 and tulip class 2'
    """
    path = Path(path)
    check_images_path(path)
    found = _list(path, split, LabelOptions(classes, labels_offset, labels), skip_broken=skip_broken)
    return without_broken(found) if skip_broken else found


def _list(path: Path, split: str | None, options: LabelOptions, *, skip_broken: bool) -> Examples:
    if path.is_dir():
        folder = Folder.read(path)
        if record_files(folder):
            return list_records(files_of_split(folder, split), options, skip_broken=skip_broken)
        return list_folder(folder, split, options)
    if split is not None:
        raise DataReadError(f"{path} has no split {split!r}: it is no folder. Give a pattern of the split's files.")
    if not path.exists():
        return list_records(matching_files(path), options, skip_broken=skip_broken)
    return list_records([path], options, skip_broken=skip_broken) if is_records(path) else _list_file(path, options)


def _list_file(path: Path, options: LabelOptions) -> Examples:
    """An ``.npz``, or the error that says what else it is."""
    try:
        return list_arrays(path, options)
    except DataReadError:
        other = _describe_other_file(path)
        if other:
            raise DataReadError(other) from None
        raise


def _describe_other_file(path: Path) -> str:
    """What a file is that people give for images, and what to give instead; empty if it is none of these."""
    with path.open("rb") as file:
        head = file.read(64)
    if head and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return f"{path} is no .npz but text, beginning {head[:32].decode('ascii')!r}. {_GIVE}"
    return f"{path} is one image. Give the folder that it lies in." if path.suffix.lower() in IMAGE_SUFFIXES else ""


def list_for_network(
    path: str | Path,
    network: Network,
    *,
    split: str | None = None,
    labels: bool = True,
    labels_offset: int = 0,
    skip_broken: bool = False,
) -> Examples:
    """``list_examples`` with the classes of a network; without labels where it ends in its features.

    Raises:
        DataReadError: If nothing there can be read, or labels do not fit the classes.
        UnsupportedArgumentError: If it is a folder, and nobody knows how the network's images are preprocessed.
    """
    if Path(path).is_dir():
        pipeline_of(network)
    classes = network.num_classes or None
    found = list_examples(
        path,
        split=split,
        classes=classes,
        labels=labels and classes is not None,
        labels_offset=labels_offset,
        skip_broken=skip_broken,
    )
    if not labels or classes is not None:
        return found
    return replace(found, numbering=f"no labels: {network.name} ends in its features, without classes")


def check_images_path(path: Path) -> None:
    """Refuse a path where nothing is, before anything else is done.

    Raises:
        DataReadError: If there is no such file or folder.
    """
    try:
        is_there = path.is_dir() or path.is_file() or (not path.exists() and matching_files(path))
    except OSError as error:
        raise DataReadError(f"{str(path)[:_SHOWN_PATH]} cannot be read: {error.strerror}.") from error
    if not is_there:
        raise DataReadError(f"There are no images {path}. {_GIVE}")


def splits_of(path: str | Path) -> tuple[str, ...]:
    """The splits that data has: some of ``"train"``, ``"validation"`` and ``"test"``; none if it has none.

    Raises:
        DataReadError: If a folder cannot be read.
    """
    if not Path(path).is_dir():
        return ()
    folder = Folder.read(Path(path))
    return tuple(split for split in SPLITS if split in (record_files(folder) or folder.splits))
