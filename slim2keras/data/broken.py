"""Images that cannot be read, found by name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.data.examples import Examples
from slim2keras.data.labels import SHOWN
from slim2keras.data.sources import ImageArrays, Source
from slim2keras.errors import DataReadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_THREADS = 8
"""Decoding runs without Python's lock; more threads than this wait for the processor."""

_COLOURS = 3

_LONGEST_REASON = 200

SKIP = "To leave such images out: skip_broken=True (--skip-broken)."
"""What to do about broken images, wherever they can be left out."""

_FAULTS = ("InvalidArgumentError", "NotFoundError", "DataLossError", "UnknownError", "PermissionDeniedError")
"""TensorFlow's errors that a broken image can be behind."""


def find_broken(examples: Examples, indices: NDArray[Any], channels: int) -> dict[int, str]:
    """Decode images, and tell which cannot be read.

    Args:
        examples: The images.
        indices: Of those to try.
        channels: That the network takes.

    Returns:
        Index to what TensorFlow says, of the broken ones.
    """
    places = examples.source.places

    def reason(index: int) -> str | None:
        import tensorflow as tf

        try:
            examples.source.read(*(tf.constant(place[index]) for place in places), channels=channels)
        except (tf.errors.OpError, DataReadError) as error:
            return _first_line(error)
        return None

    with ThreadPoolExecutor(_THREADS) as pool:
        found = zip(map(int, indices), pool.map(reason, indices), strict=True)
        return {index: text for index, text in found if text is not None}


def _first_line(error: Exception) -> str:
    """What TensorFlow says, without the op that says it."""
    message = str(getattr(error, "message", error)).splitlines()[0]
    return message.split("}} ")[-1].split(" [Op:")[0][:_LONGEST_REASON]


def without_broken(examples: Examples) -> Examples:
    """The images that can be read; the names of the others are in ``broken``.

    Every image is decoded for that, once for as long as the files stay as they are. An array has nothing to decode.
    """
    found = {} if isinstance(examples.source, ImageArrays) else _broken_of(_Listed(_stamp(examples.source), examples))
    if not found:
        return examples
    whole = examples.subset([index for index in range(len(examples)) if index not in found])
    return replace(whole, broken=(*examples.broken, *(examples.names[index] for index in found)))


@dataclass(frozen=True)
class _Listed:
    """Images, which are the same where their stamp is."""

    stamp: str
    examples: Examples = field(compare=False)


@lru_cache(maxsize=4)
def _broken_of(listed: _Listed) -> dict[int, str]:
    return find_broken(listed.examples, np.arange(len(listed.examples)), _COLOURS)


def _stamp(source: Source) -> str:
    """SHA-256 of where the images are, and of size and time of their files."""
    found = hashlib.sha256()
    for path in source.paths:
        found.update(os.fsencode(path.absolute()) + b"\0%d %d\0" % _size_and_time(path))
    for place in source.places:
        found.update(place.tobytes() if place.dtype != object else b"")
    return found.hexdigest()


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except OSError:
        return -1, -1
    return facts.st_size, facts.st_mtime_ns


@contextmanager
def broken_images_named(examples: Examples, channels: int | None = None, way_on: str = SKIP) -> Iterator[None]:
    """Turn TensorFlow's errors about an image, which say only the op, into one that names the image.

    Args:
        examples: Images that batches are made of.
        channels: That the network takes; colours if nobody knows.
        way_on: What to do about a broken one.

    Raises:
        DataReadError: If an image of the batches that were read last is broken.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        if type(error).__name__ not in _FAULTS:
            raise
        for batch in list(examples.recent)[::-1]:
            found = find_broken(examples, batch, channels or _COLOURS)
            if found:
                raise broken_error({examples.names[index]: text for index, text in found.items()}, way_on) from error
        raise


def broken_error(reasons: dict[str, str], way_on: str = SKIP) -> DataReadError:
    """The error that names broken images.

    Args:
        reasons: Name of an image to what is wrong with it.
        way_on: What to do about them.
    """
    listed = [f"{name} cannot be read as an image: {text.rstrip('.')}." for name, text in [*reasons.items()][:SHOWN]]
    more = [f"And {len(reasons) - SHOWN} more."] if len(reasons) > SHOWN else []
    return DataReadError(("\n" if len(listed) > 1 else " ").join([*listed, *more, way_on]))
