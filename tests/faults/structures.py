"""Damage behind checksums: files that are whole in their form, and say what no program writes, by a seed."""

from __future__ import annotations

import contextlib
import io
import json
import re
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from google.protobuf.message import DecodeError

from tests.faults.mutations import SIZES, Mutation, Random, flip_bits, truncate

Structured: TypeAlias = Callable[[bytes, Random], bytes]

_WORDS = ("", "\0", "a\0b", "..", "../x", "/", "/dev/zero", "x" * 300, "ä\u202e\ud7ff", "%s{0}", "1e400", "-1", "a b\n")
"""Of names and texts."""
_NUMBERS: tuple[Any, ...] = (*SIZES, -1, -(2**31), -(2**63), 0.5, float("nan"), float("inf"), -1e308)
_NESTED = 100_000
"""Levels; Python recurs a thousand times."""


def choice(random: Random, items: Sequence[Any]) -> Any:
    return items[random.randint(len(items))]


# Protocol buffers.


def message(make: Callable[[], Any]) -> Structured:
    """Another value in a field of a message, wherever in it.

    Args:
        make: An empty message of its type.
    """

    def damage(data: bytes, random: Random) -> bytes:
        parsed = make()
        try:
            parsed.ParseFromString(data)
        except DecodeError:  # what was done to it before
            return flip_bits(bytearray(data), random)
        words = sorted(_words(parsed))
        for _ in range(random.randint(1, 4)):
            damage_message(parsed, random, words)
        return bytes(parsed.SerializeToString())

    return damage


def text_message(make: Callable[[], Any]) -> Structured:
    """The same of a message that is written as text."""
    from google.protobuf import text_format

    def damage(data: bytes, random: Random) -> bytes:
        parsed = text_format.Parse(data.decode(), make())
        damaged = make()
        damaged.ParseFromString(message(make)(parsed.SerializeToString(), random))
        return text_format.MessageToString(damaged).encode()

    return damage


def damage_message(parsed: Any, random: Random, words: Sequence[str] = ()) -> None:
    """Go down to a field at random, and change it in place."""
    fields = parsed.ListFields()
    if not fields:
        return
    places = [(field, key) for field, value in fields for key in _keys(field, value)]
    field, key = choice(random, places)
    value = getattr(parsed, field.name)
    if key is not None and (_is_message(field) or _is_map_of_messages(field)) and random.randint(8):
        damage_message(value[key], random, words)
    elif key is None and _is_message(field) and random.randint(8):
        damage_message(value, random, words)
    elif key is None or random.randint(4) == 0 or _is_map(field) or _is_message(field):
        _change_field(parsed, field, key, random, words)
    else:
        value[key] = _other(field, value[key], random, words)


def _change_field(parsed: Any, field: Any, key: Any, random: Random, words: Sequence[str]) -> None:
    value = getattr(parsed, field.name)
    if _is_map(field):
        if random.randint(2):
            del value[key]
        elif _is_map_of_messages(field):
            value[str(choice(random, [*value]))].CopyFrom(value[key])
    elif key is not None:
        if random.randint(2):
            del value[key]
        elif _is_message(field):
            value.add().CopyFrom(value[random.randint(len(value))])
        else:
            value.extend([value[key]] * choice(random, (1, 2, 1000)))
    elif _is_message(field) or random.randint(4) == 0:
        parsed.ClearField(field.name)
    else:
        setattr(parsed, field.name, _other(field, value, random, words))


def _other(field: Any, value: Any, random: Random, words: Sequence[str]) -> Any:
    if field.type == field.TYPE_BOOL:
        return not value
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return choice(random, (float("nan"), float("inf"), -1e30, 0.0, 1e-45))
    if field.type == field.TYPE_ENUM:
        return choice(random, [*range(30), 99, 101, 2**31 - 1, -1])
    if field.type == field.TYPE_STRING:
        return choice(random, [*words, *_WORDS, value[:-1], value * 2])
    if field.type == field.TYPE_BYTES:
        return choice(random, (b"", value[:-1], value * 3, bytes(len(value)), b"\xff" * 9, *(map(_encoded, _WORDS))))
    low, high = _RANGES.get(field.type, (-(2**63), 2**63 - 1))
    return min(max(int(choice(random, [*SIZES, -1, -2, -(2**40), value + 1, value - 1, 3 * value])), low), high)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# By FieldDescriptor: 3 int64, 4 uint64, 5 int32, 6 fixed64, 7 fixed32, 13 uint32, 15 sfixed32, 17 sint32.
_RANGES = {
    **dict.fromkeys((5, 15, 17), (-(2**31), 2**31 - 1)),
    **dict.fromkeys((7, 13), (0, 2**32 - 1)),
    **dict.fromkeys((4, 6), (0, 2**64 - 1)),
}


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _is_map_of_messages(field: Any) -> bool:
    return _is_map(field) and field.message_type.fields_by_name["value"].message_type is not None


def _is_message(field: Any) -> bool:
    return field.message_type is not None and not _is_map(field)


def _keys(field: Any, value: Any) -> list[Any]:
    if _is_map(field):
        return sorted(value)
    return [*range(len(value))] if field.is_repeated else [None]


def _words(parsed: Any) -> set[str]:
    """Strings in a message: names, and what takes them."""
    found: set[str] = set()
    for field, value in parsed.ListFields():
        for key in _keys(field, value):
            item = value if key is None else value[key]
            if _is_map(field):
                found.add(str(key))
            if _is_message(field) or _is_map_of_messages(field):
                found |= _words(item)
            elif not _is_map(field) and field.type == field.TYPE_STRING:
                found.add(item)
    return found


# JSON.


def json_text(data: bytes, random: Random) -> bytes:
    """Another value somewhere in a JSON file."""
    if random.randint(40) == 0:
        return choice(random, (b"[" * _NESTED, b'{"a":' * _NESTED + b"1" + b"}" * _NESTED, b"1" * 5000, b"null", b"[]"))
    document = json.loads(data)
    for _ in range(random.randint(1, 4)):
        document = damage_json(document, random)
    return json.dumps(document).encode()


def damage_json(document: Any, random: Random) -> Any:
    """The document with another value, at a place that is drawn."""
    places = [*_places(document)]
    if not places or random.randint(50) == 0:
        return _other_json(document, document, random)
    holder, key = choice(random, places)
    way = random.randint(6)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[choice(random, (*_WORDS, "name", "class_name", "config"))] = holder.pop(key)
    elif way == 2:
        other, other_key = choice(random, places)
        # By value: a document that holds itself is no JSON.
        holder[key] = json.loads(json.dumps(other[other_key])) if other_key in _keys_of(other) else None
    elif way == 3 and isinstance(holder, list):
        holder += [holder[key]] * choice(random, (1, 3, 100))
    else:
        holder[key] = _other_json(holder[key], document, random)
    return document


def _keys_of(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in [*_keys_of(value)] if isinstance(value, dict | list) else ():
        yield value, key
        yield from _places(value[key])


def _other_json(value: Any, document: Any, random: Random) -> Any:
    if isinstance(value, bool):
        return choice(random, (not value, None, 2, "true"))
    if isinstance(value, int | float) and random.randint(4):
        return choice(random, (*_NUMBERS, value + 1, -value, str(value)))
    if isinstance(value, str) and random.randint(2):
        return choice(random, (*_WORDS, value[:-1], value.upper(), value + "_1"))
    return choice(random, (None, True, [], {}, "", [[]], {"a": 1}, [value], [None] * 5, *_NUMBERS, *_WORDS))


# HDF5.


def hdf5(data: bytes, random: Random) -> bytes:
    """Another dataset, group, link or attribute in an HDF5 file."""
    import h5py

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "file.h5"
        path.write_bytes(data)
        with h5py.File(path, "r+") as file:
            for _ in range(random.randint(1, 4)):
                _damage_hdf5(file, random)
        return path.read_bytes()


def _damage_hdf5(file: Any, random: Random) -> None:
    import h5py

    names: list[str] = []
    file.visit(names.append)
    holders = [file, *(file[name] for name in names)]
    attributes = [(item, key) for item in holders for key in item.attrs]
    if attributes and random.randint(2):
        _damage_attribute(*choice(random, attributes), random)
        return
    if not names:
        return
    name = choice(random, names)
    shape = getattr(file[name], "shape", None) or ()
    del file[name]
    makers: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: file.create_group(name),
        lambda: file.create_dataset(name, (2**20, 2**20), "float32", chunks=(1, 1024)),
        lambda: file.create_dataset(name, (*shape, 2**40), "float32", chunks=(*(1 for _ in shape), 1024)),
        lambda: file.create_dataset(name, (0, *shape), "float32"),
        lambda: file.create_dataset(name, data=np.full(shape, np.nan, "float32")),
        lambda: file.create_dataset(name, data=np.zeros(shape, choice(random, ("int8", "float64", "complex64", "S3")))),
        lambda: file.create_dataset(name, shape, h5py.string_dtype()),
        lambda: file.create_dataset(name, data=h5py.Empty("f")),
        lambda: file.create_dataset(name, shape, np.dtype([("a", "f4"), ("b", "i8")])),
        lambda: file.__setitem__(name, h5py.SoftLink(choice(random, ("/nowhere", "/", f"/{name}", "..")))),
        lambda: file.__setitem__(name, file["/"]),
        lambda: file.__setitem__(name, file[choice(random, [*names, "/"])]),
        lambda: file.create_dataset(f"{name}_1", data=np.zeros(3)),
    )
    # Below it nothing is left, or HDF5 itself refuses it.
    with contextlib.suppress(KeyError, OSError, RuntimeError, TypeError, ValueError):
        choice(random, makers)()


def _damage_attribute(item: Any, key: str, random: Random) -> None:
    value = item.attrs[key]
    if isinstance(value, bytes | str) and value[:1] in ("{", b"{") and random.randint(8):
        text = value.encode() if isinstance(value, str) else value
        damaged = json_text(text, random)
        if len(damaged) < 2**15:  # HDF5 ends there
            item.attrs[key] = damaged.decode()
            return
    del item.attrs[key]
    others: tuple[Any, ...] = (*_NUMBERS, "", "{}", "[]", "x" * 300, b"\xff\xfe", np.zeros((3, 2)), np.bytes_(b"a"))
    if random.randint(4):
        item.attrs[key] = choice(random, [other for other in others if not _is_too_large(other)])


def _is_too_large(value: Any) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**64


# Archives.


def npy(data: bytes, random: Random) -> bytes:
    """Another header of an array."""
    size = int.from_bytes(data[8:10], "little")
    text, values = data[10 : 10 + size].decode("latin-1"), data[10 + size :]
    shape = choice(random, ("(1099511627776,)", "(4, 1099511627776)", "(-1,)", "()", "(0,)", "(2, 0, 2**40)", "None"))
    dtype = choice(random, ("|O", "<f2", "<c16", "|S999999999", "|V8", "<U4", "<i8", "|b1", "float", ""))
    header = choice(
        random,
        (
            re.sub(r"'shape': \([^)]*\)", f"'shape': {shape}", text),
            re.sub(r"'descr': '[^']*'", f"'descr': {dtype!r}", text),
            text.replace("False", "True"),
            text.replace("shape", "form"),
            "(" * 3000,
            "{}",
            "1" * 20000,
        ),
    ).rstrip()
    written = f"{header}\n".encode("latin-1")
    return data[:8] + struct.pack("<H", len(written) % 2**16) + written + values


def zip_of(damages: Mapping[str, Structured]) -> Structured:
    """A zip with another content of a member, whose checksum is right; or of other members.

    Args:
        damages: Of contents, by the suffix of the member.
    """

    def damage(data: bytes, random: Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
        number = random.randint(len(members))
        name, content = members[number]
        way = random.randint(10)
        if way == 0:
            del members[number]
        elif way == 1:
            members[number] = (choice(random, ("x" * 300, "../a", "/a", "a/b", f"_{name}")), content)
        elif way == 2:
            members.append((choice(random, ("assets/a.txt", "../a", "b.h5", "labels.npy")), content))
        else:
            change = next((item for suffix, item in damages.items() if name.endswith(suffix)), blind)
            members[number] = (name, change(content, random))
        target, kind = io.BytesIO(), choice(random, (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        with zipfile.ZipFile(target, "w", kind) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return target.getvalue()

    return damage


def tar_of(damages: Mapping[str, Structured]) -> Structured:
    """A tar archive with another content, or another header, of a member."""

    def damage(data: bytes, random: Random) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            members = [(item, file.read()) for item in archive if (file := archive.extractfile(item)) is not None]
        number = random.randint(len(members))
        header, content = members[number]
        way = random.randint(8)
        if way == 0:
            header.name = choice(
                random, ("../a", "/tmp/slim2keras-fuzz", "x" * 300, "a/" * 60, "train", "a\\b", "\u202e")
            )
        elif way == 1:
            header.type = choice(random, (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"z"))
            header.linkname = choice(random, ("/etc/passwd", "..", header.name))
        elif way == 2:
            members *= 2
        else:
            change = next((item for suffix, item in damages.items() if header.name.endswith(suffix)), blind)
            members[number] = (header, change(content, random))
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w:gz", compresslevel=1) as archive:
            for header, content in members:
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))
        return target.getvalue()

    return damage


def blind(data: bytes, random: Random) -> bytes:
    ways: tuple[Mutation, ...] = (flip_bits, truncate)
    return choice(random, ways)(bytearray(data), random) if data else data


# TensorFlow's own formats.


def table(make: Callable[[bytes], Any]) -> Structured:
    """Another entry in a table of TensorFlow, a V1 checkpoint or the index of a V2 one, with checksums that are right.

    Args:
        make: From the key of an entry an empty message of its type.
    """

    def damage(data: bytes, random: Random) -> bytes:
        entries = [*table_entries(data)]
        for _ in range(random.randint(1, 3)):
            number = random.randint(len(entries))
            key, value = entries[number]
            way = random.randint(12)
            if way == 0 and len(entries) > 1:
                del entries[number]
            elif way == 1:
                entries[number] = (choice(random, [*map(_encoded, _WORDS), key[:-1], key + b"_1"]), value)
            elif way == 2:
                entries[number] = (key, entries[random.randint(len(entries))][1])
            elif way == 3:
                entries[number] = (key, blind(value, random))
            else:
                entries[number] = (key, message(lambda key=key: make(key))(value, random))
        # Most readers search in it.
        return written_table(sorted(entries) if random.randint(10) else entries)

    return damage


def table_entries(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table, which is not compressed.

    Source: tensorflow/tsl/lib/io/format.cc, which is LevelDB's.
    """
    footer = io.BytesIO(data[-48:])
    _varint(footer), _varint(footer)
    for _, handle in _block(data, _varint(footer), _varint(footer)):
        place = io.BytesIO(handle)
        yield from _block(data, _varint(place), _varint(place))


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    assert not data[offset + size], "the block is compressed"
    restarts = int.from_bytes(data[offset + size - 4 : offset + size], "little")
    file, key = io.BytesIO(data[offset : offset + size - 4 - 4 * restarts]), b""
    while file.tell() < len(file.getbuffer()):
        shared, rest, length = _varint(file), _varint(file), _varint(file)
        key = key[:shared] + file.read(rest)
        yield key, file.read(length)


def written_table(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The table of some entries, in one block."""
    target = io.BytesIO()
    empty = _write_block(target, [])
    index = _write_block(target, [(b"\xff" * 9, _write_block(target, entries))])
    return target.getvalue() + (empty + index).ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def _write_block(target: io.BytesIO, entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Write a block; gives where it lies."""
    rows, starts = io.BytesIO(), []
    for key, value in entries:
        starts.append(rows.tell())
        rows.write(b"\0" + varint(len(key)) + varint(len(value)) + key + value)
    starts = starts or [0]
    block = rows.getvalue() + struct.pack(f"<{len(starts) + 1}I", *starts, len(starts))
    place = varint(target.tell()) + varint(len(block))
    target.write(block + b"\0" + record(block + b"\0")[-4:])
    return place


def record(data: bytes) -> bytes:
    """A TFRecord, with TensorFlow's checksums."""
    import tensorflow as tf

    with tempfile.NamedTemporaryFile() as file:
        with tf.io.TFRecordWriter(file.name) as writer:
            writer.write(data)
        return Path(file.name).read_bytes()


def examples(data: bytes, random: Random) -> bytes:
    """TFRecords with other values in an ``Example``, and checksums that are right."""
    import tensorflow as tf

    records, file = [], io.BytesIO(data)
    while header := file.read(12):
        records.append(file.read(int.from_bytes(header[:8], "little")))
        file.read(4)
    number = random.randint(len(records))
    change = choice(random, (message(tf.train.Example), message(tf.train.Example), message(tf.train.Example), blind))
    records[number] = change(records[number], random)
    return b"".join(map(record, records))


def _varint(file: io.BytesIO) -> int:
    number = shift = 0
    while True:
        (byte,) = file.read(1)
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number


def varint(number: int) -> bytes:
    """As protocol buffers write it."""
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])


# Texts and images.


def lines(data: bytes, random: Random) -> bytes:
    """Another word, or another line, of a text."""
    rows = data.decode().split("\n")
    for _ in range(random.randint(1, 4)):
        number = random.randint(len(rows))
        way = random.randint(4)
        if way == 0:
            rows.insert(number, choice(random, rows))
        elif way == 1:
            rows[number] = choice(random, _WORDS)
        elif way == 2:
            rows = rows * choice(random, (1, 2, 1000) if len(rows) < 1000 else (1, 2))
        else:
            words = re.findall(r"\w+", rows[number])
            if words:
                rows[number] = rows[number].replace(choice(random, words), choice(random, (*_WORDS, "9" * 5000)))
    return "\n".join(rows).encode("utf-8", "surrogatepass")


def png(data: bytes, random: Random) -> bytes:
    """Another chunk of a PNG, with a checksum that is right."""
    chunks, file = [], io.BytesIO(data[8:])
    while head := file.read(8):
        chunks.append((head[4:], file.read(int.from_bytes(head[:4], "big"))))
        file.read(4)
    number = random.randint(len(chunks))
    kind, content = chunks[number]
    way = random.randint(5)
    if way == 0:
        del chunks[number]
    elif way == 1:
        chunks.insert(random.randint(len(chunks)), chunks[number])
    elif way == 2 and kind == b"IDAT":
        chunks[number] = (kind, zlib.compress(blind(zlib.decompress(content), random)))
    elif way == 3 or kind != b"IHDR":
        chunks[number] = (kind, blind(content, random))
    else:
        sizes = [choice(random, (0, 1, 2**15, 2**16, 2**31 - 1, 2**32 - 1, 24)) for _ in range(2)]
        chunks[number] = (kind, struct.pack(">II", *sizes) + content[8:])
    return data[:8] + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
