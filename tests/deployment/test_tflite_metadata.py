"""What a network wants of its images, read back from a TFLite file by nothing but flatbuffers and zip."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slim2keras.deployment.tflite_metadata import _name_ends, append_files, model_metadata
from slim2keras.errors import NoSpaceError
from slim2keras.preprocessing.facts import describe_images
from tests.own_network import own_network

NAMES = ["daisy", "rose", "tulip", "Löwenzahn"]


class Table:
    """A table of a flatbuffer, by the numbers of its fields; written from the format's own description."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data, self.place = data, place

    @classmethod
    def root(cls, data: bytes) -> Table:
        return cls(data, struct.unpack_from("<I", data)[0])

    def _field(self, number: int) -> int | None:
        (back,) = struct.unpack_from("<i", self.data, self.place)
        size, _, *offsets = struct.unpack_from(
            f"<{struct.unpack_from('<H', self.data, self.place - back)[0] // 2}H", self.data, self.place - back
        )
        assert size == 2 * (len(offsets) + 2)
        return self.place + offsets[number] if number < len(offsets) and offsets[number] else None

    def _pointed(self, place: int) -> int:
        return place + struct.unpack_from("<I", self.data, place)[0]

    def number(self, number: int, kind: str = "b") -> int:
        place = self._field(number)
        return 0 if place is None else struct.unpack_from(f"<{kind}", self.data, place)[0]

    def table(self, number: int) -> Table:
        place = self._field(number)
        assert place is not None
        return Table(self.data, self._pointed(place))

    def text(self, number: int) -> str:
        place = self._field(number)
        return "" if place is None else self._bytes(place).decode()

    def _bytes(self, place: int) -> bytes:
        begin = self._pointed(place)
        (length,) = struct.unpack_from("<I", self.data, begin)
        return self.data[begin + 4 : begin + 4 + length]

    def _vector(self, number: int) -> tuple[int, int]:
        place = self._field(number)
        if place is None:
            return 0, 0
        begin = self._pointed(place)
        return begin + 4, struct.unpack_from("<I", self.data, begin)[0]

    def tables(self, number: int) -> list[Table]:
        begin, length = self._vector(number)
        return [Table(self.data, self._pointed(begin + 4 * item)) for item in range(length)]

    def floats(self, number: int) -> list[float]:
        begin, length = self._vector(number)
        return list(struct.unpack_from(f"<{length}f", self.data, begin))


def images(**changed: Any) -> dict[str, Any]:
    return {**describe_images(own_network(), NAMES), **changed}


def test_pixels_sizes_and_labels_stand_where_readers_look_for_them() -> None:
    """Field by field as the public schema numbers them: size, colours, mean and deviation, files, oldest parser."""
    data = model_metadata("own", images(mean=[1.0, 2.0, 3.0], scale=0.25), ["logits", "AuxLogits"])
    assert data[4:8] == b"M001"
    root = Table.root(data)
    assert (root.text(0), root.text(7)) == ("own", "1.0.0")
    assert [(file.text(0), file.number(2)) for file in root.tables(6)] == [("images.json", 1)]
    (subgraph,) = root.tables(3)
    (image,) = subgraph.tables(2)
    logits, auxiliary = subgraph.tables(3)
    assert [tensor.text(0) for tensor in (image, logits, auxiliary)] == ["images", "logits", "AuxLogits"]
    content = image.table(3)
    assert (content.number(0), content.table(1).number(0)) == (2, 1)
    size = content.table(1).table(1)
    assert (size.number(0, "I"), size.number(1, "I")) == (16, 16)
    (step,) = image.tables(4)
    assert (step.number(0), step.table(1).floats(0), step.table(1).floats(1)) == (1, [1.0, 2.0, 3.0], [4.0, 4.0, 4.0])
    assert [(file.text(0), file.number(2)) for file in logits.tables(6)] == [("labels.txt", 2)]
    assert auxiliary.tables(6) == []


@pytest.mark.parametrize(
    ("changed", "kind", "steps"),
    [
        ({"mean": None, "scale": None}, 2, 0),
        ({"colours": None}, 1, 1),
        ({"mean": None, "words": None}, 2, 0),
        ({"layout": "NDHWC"}, 1, 1),
    ],
)
def test_what_nobody_knows_is_left_out(changed: dict[str, Any], kind: int, steps: int) -> None:
    """Pixels that depend on the image have no mean, images of five channels no colours, and videos are none."""
    root = Table.root(model_metadata("own", images(class_names=None, **changed), ["logits"]))
    (image,) = root.tables(3)[0].tables(2)
    assert (image.table(3).number(0), len(image.tables(4))) == (kind, steps)
    assert root.tables(3)[0].tables(3)[0].tables(6) == []


def test_names_and_facts_are_files_that_zip_reads(tmp_path: Path) -> None:
    """Stored behind whatever the file was, which stays as it was; the same facts give the same bytes."""
    for name in ("a.tflite", "b.tflite"):
        (tmp_path / name).write_bytes(b"a model")
        append_files(tmp_path / name, images())
    found = (tmp_path / "a.tflite").read_bytes()
    assert found.startswith(b"a model")
    assert found == (tmp_path / "b.tflite").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.tflite") as archive:
        assert archive.read("labels.txt").decode().splitlines() == NAMES
        assert json.loads(archive.read("images.json")) == images()
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_converter_without_room_is_told() -> None:
    """TensorFlow's goes on by another way then, which forgets the names of the ends."""
    with pytest.raises(NoSpaceError, match="set TMPDIR"):
        _name_ends(SimpleNamespace(subgraphs=[None], signatureDefs=None), ["logits"])
