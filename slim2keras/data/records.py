"""slim's TFRecords: which files are of which split, and their images and labels."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.decoding import decode_image, with_channels
from slim2keras.data.examples import Examples
from slim2keras.data.folders import Folder, split_called
from slim2keras.data.labels import (
    IGNORE_LABELS,
    LabelOptions,
    checked_numbers,
    find_labels_file,
    names_of_classes,
    read_label_names,
    shown,
)
from slim2keras.data.record_index import NO_LABEL, RecordIndex, begins_with_record, index_records
from slim2keras.data.sources import Source, hashed_ends
from slim2keras.errors import DataReadError
from slim2keras.files.reports import plural

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

_RECORDS_NAME = re.compile(r"\.(tfrecords?|record)$|[-_]\d{5}-of-\d{5}")

_SHARD = re.compile(r"(.*[-_])(\d{5})-of-(\d{5})(.*)")

_INDEXING_THREADS = 8
"""Files gone through at once; checksums and parsing run without Python's lock."""


@dataclass(frozen=True)
class _RecordNames(Sequence[str]):
    """``flowers_train_00000-of-00005.tfrecord, record 17``, made when they are asked for."""

    files: Sequence[Path]
    file_of: NDArray[np.int64]
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return f"{self.files[self.file_of[index]].name}, record {self.numbers[index]}"


@dataclass(frozen=True, eq=False)
class Records(Source):
    """Images in files of TFRecords.

    Attributes:
        files: The files.
        file_of: Which of them each image is in.
        numbers: Its number in the file.
        offsets: Where its record begins there, in bytes.
        lengths: Bytes of its record.
        is_raw: Whether it is bare pixels.
    """

    files: Sequence[Path]
    file_of: NDArray[np.int64]
    numbers: NDArray[np.int64]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    is_raw: NDArray[np.bool_]

    @classmethod
    def of(cls, indices: Sequence[RecordIndex]) -> Records:
        """The whole records of some files."""
        whole = [index.whole for index in indices]
        return cls(
            [index.path for index in indices],
            np.repeat(np.arange(len(indices)), [len(numbers) for numbers in whole]),
            np.concatenate(whole),
            *(
                np.concatenate(
                    [np.array(getattr(index, name), kind)[of] for index, of in zip(indices, whole, strict=True)]
                )
                for name, kind in (("offsets", np.int64), ("lengths", np.int64), ("is_raw", np.bool_))
            ),
        )

    @property
    def names(self) -> Sequence[str]:
        """File and number of each."""
        return _RecordNames(self.files, self.file_of, self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def subset(self, indices: NDArray[Any]) -> Records:
        columns = ("file_of", "numbers", "offsets", "lengths", "is_raw")
        return replace(self, **{name: getattr(self, name)[indices] for name in columns})

    @property
    def places(self) -> tuple[NDArray[Any], ...]:
        """File, offset, length, and whether it is bare pixels."""
        return self.file_of, self.offsets, self.lengths, self.is_raw

    @property
    def paths(self) -> Sequence[Path]:
        """Those that images are left of."""
        return [self.files[file] for file in np.unique(self.file_of)]

    @property
    def is_encoded(self) -> bool:
        """None of them is bare pixels."""
        return not self.is_raw.any()

    def contents(self, *place: tf.Tensor) -> tf.Tensor:
        return self._parsed(*place[:-1])["image/encoded"]

    def read(self, *place: tf.Tensor, channels: int = 3, exif_orientation: bool = False) -> tf.Tensor:
        import tensorflow as tf

        if self.is_encoded:
            return decode_image(self.contents(*place), channels, exif_orientation=exif_orientation)
        *where, is_raw = place
        parsed = self._parsed(*where)
        encoded, shape = parsed["image/encoded"], (parsed["image/height"], parsed["image/width"], -1)
        image = tf.cond(
            is_raw,
            lambda: with_channels(tf.reshape(tf.io.decode_raw(encoded, tf.uint8), shape), channels),
            lambda: decode_image(encoded, channels, exif_orientation=exif_orientation),
        )
        image.set_shape((None, None, channels))
        return image

    def _parsed(self, *where: tf.Tensor) -> dict[str, tf.Tensor]:
        import tensorflow as tf

        record = tf.numpy_function(self._read_record, where, tf.string)
        record.set_shape(())
        features = {
            "image/encoded": tf.io.FixedLenFeature((), tf.string, ""),
            "image/height": tf.io.FixedLenFeature((), tf.int64, 0),
            "image/width": tf.io.FixedLenFeature((), tf.int64, 0),
        }
        found: dict[str, tf.Tensor] = tf.io.parse_single_example(record, features)
        return found

    def _read_record(self, file: int, offset: int, length: int) -> bytes:
        path = self.files[file]
        descriptor = os.open(path, os.O_RDONLY)
        try:
            found = os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)
        if len(found) < length:
            raise DataReadError(f"{path} is shorter than it was when its records were listed.")
        return found

    def hashed_parts(self) -> Iterator[bytes]:
        """Size, and both ends, of each file, and where the records lie."""
        yield from hashed_ends(self.paths)
        yield self.offsets.tobytes()


def record_files(folder: Folder) -> dict[str | None, list[Path]]:
    """Split to its files of records in a folder, in any of slim's patterns; ``None`` are those that name no split.

    Source: research/slim/datasets: ``flowers_%s_*.tfrecord``, ``cifar10_%s.tfrecord``, ``%s-*``, ``%s.record-*``.
    """
    found: dict[str | None, list[Path]] = {}
    for name in folder.others:
        if _RECORDS_NAME.search(name):
            found.setdefault(_split_in(name), []).append(folder.path / name)
    return found


def _split_in(name: str) -> str | None:
    """The split that the name of a file says."""
    return next((split for part in re.split(r"[_.\-]", name) if (split := split_called(part)) is not None), None)


def is_records(path: Path) -> bool:
    """Whether a file is called as TFRecords are, or begins with a record."""
    return bool(_RECORDS_NAME.search(path.name)) or begins_with_record(path)


def matching_files(pattern: Path) -> list[Path]:
    """Files that a pattern matches, sorted; none where it is no pattern."""
    return sorted(Path(name) for name in glob.glob(str(pattern)) if Path(name).is_file())  # noqa: PTH207, absolute ones


def files_of_split(folder: Folder, split: str | None) -> list[Path]:
    """The files of records of a split; of all where there is but one.

    Raises:
        DataReadError: If there is no such split, or it is not clear which is meant, or a shard is missing.
    """
    found = record_files(folder)
    there = ", ".join(str(name) for name in found if name is not None)
    if split is None and len(found) > 1:
        some = next(files for name, files in found.items() if name is not None)[0]
        pattern = some.with_name(re.sub(r"\d{5}-of-.*", "*", some.name))
        raise DataReadError(
            f"{folder.path} has TFRecords of the splits {there}. Say which with split=..., or give a pattern: {pattern}"
        )
    if split is not None and split not in found:
        raise DataReadError(f"{folder.path} has no TFRecords of the split {split!r}, but of {there or 'none'}.")
    files = found[split] if split is not None else next(iter(found.values()))
    _check_shards(files)
    return files


def _check_shards(files: Sequence[Path]) -> None:
    """Refuse a set of which a file is missing: a part of the classes might be."""
    names = {file.name for file in files}
    sets = {match.group(1, 3, 4) for name in names if (match := _SHARD.fullmatch(name))}
    wanted = {f"{start}{shard:05d}-of-{total}{end}" for start, total, end in sets for shard in range(int(total))}
    missing = sorted(wanted - names)
    if missing:
        raise DataReadError(
            f"{files[0].parent} lacks {len(missing)} of {len(wanted)} files of TFRecords: {shown(missing)}. Without "
            "them: give a pattern of those that are there."
        )


def list_records(files: Sequence[Path], options: LabelOptions, *, skip_broken: bool) -> Examples:
    """List the images of files of TFRecords, which are gone through once for that.

    Reading goes by offset afterwards, so any order costs the same. The scan reads every byte, some 500 MB a second on
    two cores: five minutes for ImageNet's 140 GB where the disk is as fast. What is kept takes 50 bytes an image.

    Raises:
        DataReadError: If a file or a record cannot be read, or a label is no class.
    """
    with ThreadPoolExecutor(_INDEXING_THREADS) as pool:
        indices = [*pool.map(lambda path: index_records(path, skip_broken=skip_broken), files)]
    source = Records.of(indices)
    if not len(source):
        raise DataReadError(f"{shown([str(file) for file in files])}: there are no images in it.")
    broken = tuple(f"{index.path.name}, record {number}" for index in indices for number in sorted(index.broken))
    if not options.wanted:
        return Examples(source, None, (), "labels ignored, as asked", broken)
    found = np.concatenate([np.array(index.labels, np.int64)[index.whole] for index in indices])
    return _labelled(source, found, options, broken)


def _labelled(source: Records, found: NDArray[np.int64], options: LabelOptions, broken: tuple[str, ...]) -> Examples:
    folder = source.files[0].parent
    missing = np.flatnonzero(found == NO_LABEL)
    if len(missing):
        raise DataReadError(
            f"{len(missing)} of {len(found)} records have no image/class/label, first "
            f"{source.names[int(missing[0])]} in {folder}. {IGNORE_LABELS}"
        )
    labels_file = find_labels_file([folder])
    known = {} if labels_file is None else read_label_names(labels_file)
    numbers = {name: number - options.offset for name, number in known.items()}
    if options.classes is None and numbers:
        options = replace(options, classes=1 + max(numbers.values()))
    labels = checked_numbers(found, source.names, options, str(folder))
    classes = 1 + int(labels.max()) if options.classes is None else options.classes
    if max(numbers.values(), default=0) >= classes:
        raise DataReadError(
            f"{labels_file} names the classes up to {max(known.values())}, and the network has {classes}, 0 to "
            f"{classes - 1}{options.remark}. If it has no background class 0: labels_offset=1 (--labels-offset 1). "
            f"{IGNORE_LABELS}"
        )
    names = f", named by {labels_file}" if labels_file is not None else ""
    words = f"labels as they stand in {plural(len(source.files), 'file')} of TFRecords{options.remark}{names}"
    return Examples(source, labels, names_of_classes(numbers, classes), words, broken)
