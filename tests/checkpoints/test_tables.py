"""Tables of TensorFlow are read as TensorFlow reads them, and whatever else bytes may be is a ValueError."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slim2keras.checkpoints.tables import decompressed, read_entries
from tests.faults.structures import varint, written_table
from tests.reference import TRAINED_VALUES

TABLE = written_table([(b"", b"header"), (b"net/a", bytes(range(200))), (b"net/b", b"")])


def test_the_entries_of_an_index_are_its_variables(v2: Path) -> None:
    """With prefixes shared between keys, as TensorFlow writes them."""
    keys = [key.decode() for key, _ in read_entries(Path(f"{v2}.index"))]
    assert keys == ["", *sorted(TRAINED_VALUES)]


def test_a_v1_file_begins_with_all_its_names(v1: Path) -> None:
    from tensorflow.core.util.saved_tensor_slice_pb2 import SavedTensorSlices

    key, value = next(read_entries(v1))
    assert not key
    assert {tensor.name for tensor in SavedTensorSlices.FromString(value).meta.tensor} == {*TRAINED_VALUES}


def read(tmp_path: Path, content: bytes) -> list[tuple[bytes, bytes]]:
    path = tmp_path / "table"
    path.write_bytes(content)
    return [*read_entries(path)]


def test_every_byte_may_be_another(tmp_path: Path) -> None:
    """The entries or a ValueError, and never a loop without end."""
    assert [key for key, _ in read(tmp_path, TABLE)] == [b"", b"net/a", b"net/b"]
    refused = 0
    for place in range(len(TABLE)):
        for byte in (0, 127, 255):
            try:
                read(tmp_path, TABLE[:place] + bytes([byte]) + TABLE[place + 1 :])
            except ValueError:
                refused += 1
    assert refused > len(TABLE) // 4


def test_a_table_that_points_to_one_place_twice_is_refused(tmp_path: Path) -> None:
    """A thousand times to a large block would take as long as a thousand blocks."""
    assert read(tmp_path, written_table([(b"", b""), (b"a", b"")]))
    for keys in ((b"a", b"a"), (b"b", b"a")):
        with pytest.raises(ValueError, match="not sorted"):
            read(tmp_path, written_table([(key, b"") for key in keys]))


# A copy is its length and its distance; a literal is its bytes.
OPERATIONS = st.lists(st.binary(min_size=1, max_size=300) | st.tuples(st.integers(1, 64), st.integers(1, 2**17)))


@settings(max_examples=100, deadline=None)
@given(OPERATIONS)
def test_what_snappy_compressed_is_read(operations: list[bytes | tuple[int, int]]) -> None:
    """Literals of any length, and copies of all three forms, also of what they write themselves."""
    plain, tags = bytearray(), bytearray()
    for operation in operations:
        if isinstance(operation, bytes):
            plain += operation
            tags += _literal(operation)
        elif plain:
            length, distance = operation[0], 1 + operation[1] % len(plain)
            tags += _copy(length, distance)
            for _ in range(length):
                plain.append(plain[-distance])
    block = varint(len(plain)) + tags
    if len(plain) > 32 * len(block):
        return
    assert decompressed(block) == plain


def _literal(content: bytes) -> bytes:
    if len(content) <= 60:
        return bytes([len(content) - 1 << 2]) + content
    size = len(content) - 1
    extra = 1 if size < 256 else 2
    return bytes([59 + extra << 2]) + size.to_bytes(extra, "little") + content


def _copy(length: int, distance: int) -> bytes:
    if 4 <= length <= 11 and distance < 2**11:
        return bytes([1 | length - 4 << 2 | distance >> 8 << 5, distance & 255])
    size, kind = (2, 2) if distance < 2**16 else (4, 3)
    return bytes([kind | length - 1 << 2]) + distance.to_bytes(size, "little")


@pytest.mark.parametrize(
    "block",
    [varint(2**40) + b"\0a", varint(8) + b"\x1d\x05", varint(3) + b"\0a", b"\xff" * 12, varint(1) + b"\0ab\0c"],
    ids=["too large", "copies of nothing", "too short", "no length", "too long"],
)
def test_what_snappy_does_not_write_is_refused(block: bytes) -> None:
    with pytest.raises(ValueError, match=r"block|number"):
        decompressed(block)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_decompressed_or_refused(block: bytes) -> None:
    """Without another error, and within bounds."""
    with contextlib.suppress(ValueError):
        assert len(decompressed(block)) <= 32 * len(block)
