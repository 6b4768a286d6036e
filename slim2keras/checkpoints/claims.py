"""What a checkpoint says of its variables, checked before TensorFlow believes it.

TensorFlow's readers verify checksums, and then trust: a shape that no tensor has ends the process, and one that is too
large takes memory for as many numbers before any is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from slim2keras.checkpoints.locating import CheckpointFiles, CheckpointVersion, v2_files
from slim2keras.checkpoints.tables import read_entries

_HEADER = b""
"""Key of the first entry."""

_MOST_AXES = 254
"""That TensorFlow's shapes have."""

_MOST_PER_BYTE = 32
"""Numbers that a byte of a V1 file may stand for: a byte each as protocol buffers write them, compressed by Snappy."""


def check_claims(location: CheckpointFiles) -> None:
    """Refuse a checkpoint with a variable that cannot be, or that is larger than what there is of it.

    Raises:
        ValueError: With its name.
        DecodeError: If an entry is none.
    """
    if location.version == CheckpointVersion.V2.value:
        _check_v2(location)
    else:
        _check_v1(location)


def _check_v2(location: CheckpointFiles) -> None:
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto

    sizes = [path.stat().st_size for path in v2_files(location.prefix).files[1:]]
    for key, value in read_entries(location.index):
        if key == _HEADER:
            continue
        entry, name = BundleEntryProto.FromString(value), _name(key)
        count, dtype = _count(name, entry.shape), _dtype(name, entry.dtype)
        is_of_any_length = dtype.name in ("string", "variant")
        wanted = count if is_of_any_length else count * dtype.size
        if entry.slices:
            _check_slices(name, entry.shape, entry.slices)
            fits = wanted <= sum(sizes)
        else:
            # Of a text, or the state of an iterator, each has its length, and one byte of that.
            fits = (wanted <= entry.size if is_of_any_length else wanted == entry.size) and _is_in(entry, sizes)
        if not fits:
            raise ValueError(f"{name} is to have the shape {_sizes(entry.shape)}, and its values are not there")


def _is_in(entry: Any, sizes: Sequence[int]) -> bool:
    """Whether an entry lies within a data file."""
    shard, start, size = int(entry.shard_id), int(entry.offset), int(entry.size)
    return 0 <= shard < len(sizes) and start >= 0 and size >= 0 and start + size <= sizes[shard]


def _check_v1(location: CheckpointFiles) -> None:
    from tensorflow.core.util.saved_tensor_slice_pb2 import SavedTensorSlices

    key, value = next(iter(read_entries(location.index)), (_HEADER, b""))
    if key != _HEADER:
        raise ValueError("its first entry does not say which variables there are")
    most = _MOST_PER_BYTE * location.index.stat().st_size
    for tensor in SavedTensorSlices.FromString(value).meta.tensor:
        _dtype(tensor.name, tensor.type)
        _check_slices(tensor.name, tensor.shape, tensor.slice)
        if _count(tensor.name, tensor.shape) > most:
            raise ValueError(f"{tensor.name} is to have the shape {_sizes(tensor.shape)}, and its values are not there")


def _count(name: str, shape: Any) -> int:
    """Numbers of a tensor."""
    sizes = _sizes(shape)
    # A size of 0 hides others from their product, which TensorFlow computes from the left.
    count = math.prod(size or 1 for size in sizes)
    if shape.unknown_rank or len(sizes) > _MOST_AXES or min(sizes, default=0) < 0 or count >= 2**63:
        raise ValueError(f"{name} is to have the shape {sizes!s:.80}, which no tensor has")
    return 0 if 0 in sizes else count


def _sizes(shape: Any) -> list[int]:
    return [axis.size for axis in shape.dim]


def _dtype(name: str, number: int) -> Any:
    """Its type: numbers, truths, texts, or the state of an iterator of ``tf.data``."""
    import tensorflow as tf

    try:
        dtype = tf.as_dtype(number)
    except TypeError:
        raise ValueError(f"{name} is of a type {number}, which TensorFlow does not have") from None
    is_number = dtype.is_floating or dtype.is_integer or dtype.is_complex or dtype.is_bool
    if dtype.base_dtype != dtype or not (is_number or dtype in (tf.string, tf.variant)):
        raise ValueError(f"{name} is of the type {dtype.name}, and variables in checkpoints are numbers or texts")
    return dtype


def _check_slices(name: str, shape: Any, slices: Iterable[Any]) -> None:
    """Refuse parts that do not lie in the whole, or one twice."""
    sizes, seen = _sizes(shape), set()
    for item in slices:
        extents = tuple((extent.start, extent.length if extent.HasField("length") else -1) for extent in item.extent)
        is_within = len(extents) == len(sizes) and all(
            (start == 0 and length == -1) or (start >= 0 and length >= 0 and start + length <= size)
            for (start, length), size in zip(extents, sizes, strict=True)
        )
        if not is_within or extents in seen:
            raise ValueError(f"{name} of the shape {sizes} has a part {extents!s:.80}, which it cannot have")
        seen.add(extents)


def _name(key: bytes) -> str:
    """What to call an entry by; parts of variables have keys that are no text."""
    return key.decode("utf-8", "backslashreplace")
