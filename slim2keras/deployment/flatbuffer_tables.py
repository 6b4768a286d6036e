"""Flatbuffers of a few tables, written without the compiler of their schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import flatbuffers

_NUMBERS = {"int8": "PrependInt8Slot", "uint8": "PrependUint8Slot", "uint32": "PrependUint32Slot"}
"""Type of a number to what writes one."""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        fields: Values in the order of the schema, ``None`` where one is left at its default; trailing ones may be left
            out.
    """

    fields: Sequence[Field]


Field: TypeAlias = "str | np.integer[Any] | Table | Sequence[float] | Sequence[Table] | None"
"""A string, a number of the width that the schema says, another table, or a vector of float32 or of tables."""


def flatbuffer(root: Table, identifier: bytes) -> bytes:
    """The bytes of a flatbuffer.

    Args:
        identifier: Of its schema, four characters.
    """
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_place_table(builder, root), identifier)
    return bytes(builder.Output())


def _place_table(builder: flatbuffers.Builder, table: Table) -> int:
    # A table can only point to what there is already.
    placed = [_place(builder, field) for field in table.fields]
    builder.StartObject(len(placed))
    for slot, value in enumerate(placed):
        if isinstance(value, np.integer):
            getattr(builder, _NUMBERS[value.dtype.name])(slot, int(value), 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return int(builder.EndObject())


def _place(builder: flatbuffers.Builder, field: Field) -> int | np.integer[Any]:
    """Where a value lies, 0 for none; numbers lie in their table itself."""
    if isinstance(field, np.integer):
        return field
    if not field:
        return 0
    if isinstance(field, str):
        return int(builder.CreateString(field))
    if isinstance(field, Table):
        return _place_table(builder, field)
    if isinstance(field[0], Table):
        return _place_tables(builder, field)
    return int(builder.CreateNumpyVector(np.asarray(field, "float32")))


def _place_tables(builder: flatbuffers.Builder, tables: Sequence[Any]) -> int:
    places = [_place_table(builder, table) for table in tables]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())
