"""Folders of image files: which files are images, which folders are classes, and which are splits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from slim2keras.data.decoding import can_decode_webp
from slim2keras.data.examples import Examples
from slim2keras.data.labels import LABELS_FILE, SHOWN, LabelOptions, number_folders
from slim2keras.data.sources import ImageFiles
from slim2keras.errors import DataReadError
from slim2keras.files.reports import plural
from slim2keras.scopes import natural_order

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"})

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
"""Names of a split, to what people call it in files and folders."""

_LITTER = frozenset({"thumbs.db", "desktop.ini", "icon\r"})
"""What systems leave in folders of images, in lower case; besides hidden files."""


def split_called(name: str) -> str | None:
    """The split that a file or folder is called by, ``None`` if it is called otherwise."""
    return next((split for split, names in SPLITS.items() if name.lower() in names), None)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is one, or leads to one; what leads in a circle is named when it is read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _waits(entry: os.DirEntry[str]) -> bool:
    """Whether it is a pipe, a socket or a device, which reading might wait for without an end."""
    try:
        return not entry.is_file() and Path(entry).exists()
    except OSError:
        return False


@dataclass(frozen=True)
class Folder:
    """What lies in a folder, read once.

    Attributes:
        path: The folder.
        folders: Names of the folders in it, in natural order; hidden ones left out.
        images: Names of the image files in it, sorted.
        others: Names of the other files, ``labels.txt`` and what systems leave there left out.
    """

    path: Path
    folders: Sequence[str] = field(default=())
    images: Sequence[str] = field(default=())
    others: Sequence[str] = field(default=())

    @classmethod
    def read(cls, path: Path) -> Folder:
        """List a folder.

        Raises:
            DataReadError: If it cannot be read.
        """
        folders: list[str] = []
        images: list[str] = []
        others: list[str] = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name.lower() in _LITTER:
                        continue
                    is_image = os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122, 50,000 of them
                    kind = folders if _is_folder(entry) else images if is_image and not _waits(entry) else others
                    kind.append(entry.name)
        except OSError as error:
            raise DataReadError(f"{path} cannot be listed: {error.strerror or error}.") from error
        others = sorted(name for name in others if name != LABELS_FILE)
        return cls(path, sorted(folders, key=natural_order), sorted(images), others)

    @cached_property
    def splits(self) -> dict[str, str]:
        """Split to the folder that holds it, where every folder is one and holds folders of classes itself."""
        found = {split: name for name in self.folders if (split := split_called(name)) is not None}
        if not found or len(found) < len(self.folders):
            return {}
        return found if any(Folder.read(self.path / name).folders for name in found.values()) else {}


def list_folder(folder: Folder, split: str | None, options: LabelOptions) -> Examples:
    """List the images of a folder: one folder a class, or splits of such, or images without labels.

    Raises:
        DataReadError: If it has none, or its classes cannot be numbered.
    """
    siblings = [folder]
    if folder.splits:
        siblings = [Folder.read(folder.path / name) for name in folder.splits.values()]
        folder = _chosen_split(folder, split)
    elif split is not None:
        raise DataReadError(f"{folder.path} has no split {split!r}: it has no folders train, validation or test.")
    elif split_called(_whole(folder.path).name) is not None:
        siblings = _siblings(folder)
    if not folder.folders:
        files = [*_images_in(folder)]
        return Examples(
            ImageFiles(folder.path, files), None, numbering=_with_others("no labels: one folder of images", folder)
        )
    return _list_classes(folder, siblings, options)


def _chosen_split(folder: Folder, split: str | None) -> Folder:
    if split in folder.splits:
        return Folder.read(folder.path / folder.splits[split])
    there = ", ".join(folder.splits)
    if split is not None:
        raise DataReadError(f"{folder.path} has no split {split!r}, but {there}.")
    first = folder.path / next(iter(folder.splits.values()))
    raise DataReadError(
        f"{folder.path} has the splits {there}. Say which with split=..., or give it by itself: {first}."
    )


def _siblings(folder: Folder) -> list[Folder]:
    """All splits beside one: a class that one of them lacks is a class all the same."""
    parent = Folder.read(_whole(folder.path).parent)
    named = [name for name in parent.folders if split_called(name) is not None]
    return [Folder.read(parent.path / name) for name in named] if parent.splits else [folder]


def _whole(path: Path) -> Path:
    """The path with the names that ``.`` and ``..`` stand for; a link keeps its own."""
    return Path(os.path.abspath(path))  # Path.resolve would follow links


def _list_classes(folder: Folder, siblings: Sequence[Folder], options: LabelOptions) -> Examples:
    inside = {name: Folder.read(folder.path / name) for name in folder.folders}
    found = [(name, file) for name, its in inside.items() for file in _images_in(its)]
    source = ImageFiles(folder.path, [f"{name}/{file}" for name, file in found])
    if not options.wanted:
        return Examples(source, None, numbering="labels ignored, as asked")
    every = sorted({name for sibling in siblings for name in sibling.folders}, key=natural_order)
    places = [folder.path, _whole(folder.path).parent][: 1 + (siblings != [folder])]
    numbering = number_folders(places, every, options)
    number_of = dict(zip(every, numbering.numbers, strict=True))
    labels = np.array([number_of[name] for name, _ in found], np.int64)
    loose = f"; {plural(len(folder.images), 'image')} beside the folders left out" if folder.images else ""
    nested = sum(len(its.folders) for its in inside.values())
    deeper = f"; {plural(nested, 'folder')} within classes left out" if nested else ""
    words = _with_others(numbering.words + loose + deeper, folder, *inside.values())
    return Examples(source, labels, numbering.class_names, words)


def _with_others(words: str, *folders: Folder) -> str:
    """The words, with the number of files that are no images."""
    count = sum(len(folder.others) for folder in folders)
    return f"{words}; {plural(count, 'other file')} left out" if count else words


def _images_in(folder: Folder) -> Sequence[str]:
    """Names of the images of a folder.

    Raises:
        DataReadError: If there are none, or this TensorFlow cannot read them.
    """
    if not folder.images:
        raise _no_images(folder)
    webp = next((name for name in folder.images if name.lower().endswith(".webp")), None)
    if webp is not None and not can_decode_webp():
        raise DataReadError(
            f"{folder.path / webp} is WebP, which this TensorFlow cannot read. Install TensorFlow 2.21, or make "
            "PNGs of such files."
        )
    return folder.images


def _no_images(folder: Folder) -> DataReadError:
    others = ", ".join(sorted([*folder.folders, *folder.others])[:SHOWN])
    hint = "Images are a folder of files for each class, or files alone where no labels are wanted."
    if folder.folders:
        hint = f"If {folder.path.name} is one of several splits, give it by itself: {folder.path}."
    there = f", but {others}" if others else ": it is empty"
    return DataReadError(f"{folder.path} has no images (.jpg, .png, .bmp, .gif, .webp){there}. {hint}")
