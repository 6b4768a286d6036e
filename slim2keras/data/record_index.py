"""A file of TFRecords gone through once: where each record lies, its label, and what is wrong with it."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from array import array
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slim2keras.data.decoding import DECODED_CHANNELS
from slim2keras.errors import DataReadError

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

HEADER, FOOTER = 12, 4
"""Bytes around the data of a record: its length with a checksum before it, a checksum after it."""

NO_LABEL = np.iinfo(np.int64).min
"""Stands for the label of a record that has none; slim takes 0 or -1 for it, and trains on that in silence."""

_RECORDS_AT_ONCE = 32

_MOST_CORRUPT = 64
"""In a row; what follows them in the file is left out."""

_GZIP = b"\x1f\x8b"


@dataclass
class RecordIndex:
    """The records of a file, in their order.

    Attributes:
        path: The file.
        offsets: Where the data of each begins, in bytes.
        lengths: Bytes of its data.
        labels: ``image/class/label``, or ``NO_LABEL``; of the records that were looked at so far.
        is_raw: Whether its image is bare pixels.
        broken: Number of a record to what is wrong with it.
    """

    path: Path
    offsets: array[int] = field(default_factory=partial(array, "q"))
    lengths: array[int] = field(default_factory=partial(array, "q"))
    labels: array[int] = field(default_factory=partial(array, "q"))
    is_raw: list[bool] = field(default_factory=list)
    broken: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of records, broken ones too."""
        return len(self.offsets)

    @property
    def done(self) -> int:
        """Records that were looked at."""
        return len(self.labels)

    @property
    def whole(self) -> NDArray[np.int64]:
        """Numbers of the records that are not broken."""
        return np.setdiff1d(np.arange(len(self)), [*self.broken])

    def add_broken(self, reason: str) -> None:
        """Note that the next record cannot be read."""
        self.broken[self.done] = reason
        self.labels.append(NO_LABEL)
        self.is_raw.append(False)

    def add(self, records: tf.Tensor) -> None:
        """Note the next records, serialized ``tf.train.Example``, (count,)."""
        import tensorflow as tf

        try:
            parsed = _parse(records, _default_format(self.path))
        except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:  # its message may hold the record itself
            self._add_one_by_one(records, error)
            return
        self.broken.update({self.done + number: reason for number, reason in parsed.problems.items()})
        self.labels.extend(parsed.labels)
        self.is_raw.extend(parsed.is_raw)

    def _add_one_by_one(self, records: tf.Tensor, error: Exception) -> None:
        if len(records) == 1:
            self.add_broken(f"it is no tf.train.Example of an image{_key_in(error)}")
            return
        for number in range(len(records)):
            self.add(records[number : number + 1])


def _key_in(error: Exception) -> str:
    """The key and the fault that TensorFlow names."""
    found = re.search(r"Key: (\S+?)[,.] +(?:Index: \d+\. +)?(.*?)(?: \[Op:|$)", str(getattr(error, "message", "")))
    return f": {found[1]}: {found[2]}" if found else ""


@dataclass(frozen=True)
class _Parsed:
    labels: list[int]
    is_raw: list[bool]
    problems: dict[int, str]


def _default_format(path: Path) -> str:
    """What slim takes for a missing ``image/format``; only bare pixels matter, all else is told by its bytes."""
    return "raw" if path.name.startswith("mnist_") else "png"


def _parse(records: tf.Tensor, default_format: str) -> _Parsed:
    """Labels and formats; slim's keys."""
    import tensorflow as tf

    parsed = tf.io.parse_example(
        records,
        {
            "image/encoded": tf.io.FixedLenFeature((), tf.string, ""),
            "image/format": tf.io.FixedLenFeature((), tf.string, default_format),
            "image/class/label": tf.io.RaggedFeature(tf.int64),
            "image/height": tf.io.FixedLenFeature((), tf.int64, 0),
            "image/width": tf.io.FixedLenFeature((), tf.int64, 0),
        },
    )
    sizes = tf.strings.length(parsed["image/encoded"]).numpy()
    labels = parsed["image/class/label"]
    counts = labels.row_lengths().numpy()
    is_raw = np.isin(parsed["image/format"].numpy(), (b"raw", b"RAW"))
    pixels = (parsed["image/height"] * parsed["image/width"]).numpy()
    problems = {int(number): f"it has {counts[number]} labels" for number in np.flatnonzero(counts > 1)}
    fits = np.any([sizes == pixels * channels for channels in DECODED_CHANNELS], 0)
    problems.update({int(number): _NO_SIZE for number in np.flatnonzero(is_raw & ~fits)})
    problems.update({int(number): "it has no image/encoded" for number in np.flatnonzero(sizes == 0)})
    first = np.full(len(counts), NO_LABEL)
    first[counts > 0] = labels.values.numpy()[labels.row_starts().numpy()[counts > 0]]
    return _Parsed(first.tolist(), is_raw.tolist(), problems)


_NO_SIZE = "its bare pixels do not fit image/height and image/width"


def index_records(path: Path, *, skip_broken: bool = False) -> RecordIndex:
    """Go through a file of TFRecords once, checksums included; the result is kept for as long as the file stays.

    Args:
        path: The file, not compressed.
        skip_broken: Go on behind a record that is corrupt; else that is an error.

    Raises:
        DataReadError: If it is none, or a record is broken; the error names file and number of the record.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return _index(path.absolute(), skip_broken, (facts.st_size, facts.st_mtime_ns))


@lru_cache(maxsize=4096)
def _index(path: Path, skip_broken: bool, _: tuple[int, int]) -> RecordIndex:
    index = RecordIndex(path)
    end = _walk(index)
    _add_while_whole(index)
    if index.done < len(index) and not skip_broken:
        raise _corrupt(index, "its checksum is wrong")
    _add_one_by_one(index)
    if end is not None:
        if not skip_broken:
            raise _corrupt(index, end)
        index.offsets.append(0)
        index.lengths.append(0)
        index.add_broken(end)
    if index.broken and not skip_broken:
        raise _broken_records(index)
    return index


def _walk(index: RecordIndex) -> str | None:
    """Follow the lengths through a file, so that nothing is read that is longer than what there is.

    Returns:
        Why it does not end where a record does; ``None`` if it does.
    """
    try:
        with index.path.open("rb", buffering=0) as file:
            size, descriptor = os.fstat(file.fileno()).st_size, file.fileno()
            if file.read(len(_GZIP)) == _GZIP:
                raise _compressed(index.path)
            place = 0
            while place < size:
                header = os.pread(descriptor, 8, place)
                end = place + HEADER + int.from_bytes(header, "little") + FOOTER
                if end > size or len(header) < 8:
                    return _beyond(end, size) if index.offsets else "it does not begin as a file of TFRecords does"
                index.offsets.append(place + HEADER)
                index.lengths.append(end - FOOTER - place - HEADER)
                place = end
    except OSError as error:
        raise _unreadable(index.path, error) from error
    return None


def _unreadable(path: Path, error: OSError) -> DataReadError:
    return DataReadError(f"{path} cannot be read: {error.strerror or error}.")


def _compressed(path: Path) -> DataReadError:
    return DataReadError(f"{path} is compressed by gzip; images in records are compressed already. Run gunzip on it.")


def _beyond(end: int, size: int) -> str:
    return f"it would end at byte {end}, and the file does at byte {size}"


def _add_while_whole(index: RecordIndex) -> None:
    """Note records up to the first of which a checksum is wrong."""
    import tensorflow as tf

    records = tf.data.TFRecordDataset(str(index.path)).take(len(index))
    with contextlib.suppress(tf.errors.OpError):
        for batch in records.batch(_RECORDS_AT_ONCE).prefetch(2):
            index.add(batch)
        return
    with contextlib.suppress(tf.errors.OpError):  # its batch has whole ones before it
        for record in records.skip(index.done).batch(1):
            index.add(record)


def _corrupt(index: RecordIndex, reason: str) -> DataReadError:
    place = index.offsets[index.done - 1] + index.lengths[index.done - 1] + FOOTER if index.done else 0
    return DataReadError(
        f"{index.path} cannot be read: record {index.done}, at byte {place}, is corrupt: {reason}. Make or fetch the "
        "file anew, or leave such records out: skip_broken=True (--skip-broken)."
    )


def _broken_records(index: RecordIndex) -> DataReadError:
    first, reason = next(iter(sorted(index.broken.items())))
    count = len(index.broken)
    more = f" {count} of its {len(index)} records are broken." if count > 1 else ""
    return DataReadError(
        f"{index.path}, record {first}, is broken: {reason}.{more} To leave such records out: skip_broken=True "
        "(--skip-broken)."
    )


def _add_one_by_one(index: RecordIndex) -> None:
    """Note the records from the first corrupt one on, as long as there are whole ones among them.

    Of what is no record, zeros for one, any eight bytes are taken for a length.
    """
    corrupt = 0
    while index.done < len(index) and corrupt < _MOST_CORRUPT:
        offset, length = index.offsets[index.done], index.lengths[index.done]
        record = _read_alone(index.path, offset - HEADER, HEADER + length + FOOTER)
        if record is None:
            corrupt += 1
            index.add_broken("its checksum is wrong")
        else:
            corrupt = 0
            index.add(record)
    del index.offsets[index.done :], index.lengths[index.done :]


def _read_alone(path: Path, offset: int, size: int) -> tf.Tensor | None:
    """One record, (1,), its checksums verified by TensorFlow; ``None`` if they are wrong.

    A record is a file of records by itself, and TensorFlow begins no file in its middle.
    """
    import tensorflow as tf

    with path.open("rb") as file, tempfile.NamedTemporaryFile() as alone:
        file.seek(offset)
        alone.write(file.read(size))
        alone.flush()
        with contextlib.suppress(tf.errors.OpError):
            return next(iter(tf.data.TFRecordDataset(alone.name).batch(1)))
    return None


def begins_with_record(path: Path) -> bool:
    """Whether the first bytes of a file are a whole record."""
    with path.open("rb") as file:
        header = file.read(8)
        size = HEADER + int.from_bytes(header, "little") + FOOTER
        return len(header) == 8 and size <= os.fstat(file.fileno()).st_size and _read_alone(path, 0, size) is not None
