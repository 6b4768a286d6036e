"""Files that are whole in their form, of values that hypothesis draws: read, or refused with an error of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slim2keras
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.conversion.integrity import verify_file
from slim2keras.conversion.reading import load_model
from slim2keras.data.labels import read_label_names
from slim2keras.errors import CheckpointReadError, Slim2KerasError
from tests.faults.samples import model
from tests.faults.structures import table_entries, written_table
from tests.reference import TRAINED_VALUES, write_checkpoint

SIZES = st.sampled_from([0, 1, 2, 3, -1, 2**31, 2**40, 2**62]) | st.integers(-(2**63), 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
few_and_many = pytest.mark.parametrize("count", [15, pytest.param(200, marks=pytest.mark.slow)])


def examples(count: int) -> settings:
    """So many, the same each time."""
    return settings(max_examples=count, deadline=None, derandomize=True, database=None)


def refusal(read: Callable[[], object]) -> str | None:
    """What an error of ours says, ``None`` if there was none; any other error fails the test."""
    try:
        read()
    except Slim2KerasError as error:
        return str(error)
    return None


def values_of(prefix: Path) -> dict[str, Any]:
    with open_checkpoint(prefix) as opened:
        return dict(opened)


@few_and_many
def test_checkpoint_files(tmp_path: Path, count: int) -> None:
    """Whatever the `checkpoint` file of a directory without checkpoints names."""

    @examples(4 * count)
    @given(st.text(max_size=300), st.booleans())
    def check(name: str, is_quoted: bool) -> None:
        text = f'model_checkpoint_path: "{name}"\n' if is_quoted else name
        (tmp_path / "checkpoint").write_text(text, encoding="utf-8", errors="surrogatepass")
        with pytest.raises(CheckpointReadError), open_checkpoint(tmp_path):
            pass

    check()


@few_and_many
def test_lists_of_labels(tmp_path: Path, count: int) -> None:
    """Names of any letters: each is there with its number, or the file is refused."""

    @examples(4 * count)
    @given(st.lists(st.text(max_size=12), max_size=6), st.booleans())
    def check(names: list[str], is_numbered: bool) -> None:
        lines = [f"{number}:{name}" if is_numbered else name for number, name in enumerate(names)]
        path = tmp_path / "labels.txt"
        path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
        said = refusal(lambda: read_label_names(path))
        assert "labels.txt" in (said or "labels.txt")
        if said is None:
            assert {*read_label_names(path).values()} == {*range(len(read_label_names(path)))}

    check()


@few_and_many
def test_reports(tmp_path: Path, count: int) -> None:
    """A value of any form in any place of a report: the model is loaded, or refused with the name of a file."""
    model(".weights.h5")(tmp_path)
    path = tmp_path / "tiny.weights.h5"
    beside = tmp_path / "tiny.weights.h5.json"
    good = beside.read_text()
    places = [*places_in(json.loads(good))]

    @examples(count)
    @given(st.sampled_from(places), JSON)
    def check(place: list[Any], value: Any) -> None:
        report = json.loads(good)
        holder = report
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = value
        beside.write_text(json.dumps(report))
        for read in (load_model, verify_file):
            assert "tiny.weights.h5" in (refusal(partial(read, path)) or path.name)

    check()


def places_in(value: Any, *place: Any) -> Any:
    """Ways to every value of a document."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield [*place, key]
        yield from places_in(value[key], *place, key)


@few_and_many
def test_entries_of_an_index(tmp_path: Path, count: int) -> None:
    """Types, shapes, parts and places of any number; TensorFlow would end the process at some."""
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto

    prefix = write_checkpoint(tmp_path / "model.ckpt-1", TRAINED_VALUES)
    index = Path(f"{prefix}.index")
    entries = dict(table_entries(index.read_bytes()))
    size = st.sampled_from([0, 4, 8, 96]) | SIZES

    @examples(4 * count)
    @given(
        st.integers(0, 30) | st.integers(-1, 120),
        st.lists(SIZES, max_size=4),
        st.lists(st.lists(st.tuples(SIZES, SIZES), max_size=2), max_size=2),
        st.tuples(size, size),
        st.integers(-1, 2),
    )
    def check(dtype: int, sizes: list[int], parts: Any, place: tuple[int, int], shard: int) -> None:
        entry = BundleEntryProto(dtype=dtype, offset=place[0], size=place[1], shard_id=shard)
        for axis in sizes:
            entry.shape.dim.add().size = axis
        for part in parts:
            extents = entry.slices.add().extent
            for start, length in part:
                extents.add(start=start, length=length)
        index.write_bytes(written_table(sorted({**entries, b"net/weights": entry.SerializeToString()}.items())))
        assert "model.ckpt-1" in (refusal(lambda: values_of(prefix)) or prefix.name)

    check()


OPS = (
    "Placeholder",
    "Const",
    "Conv2D",
    "MatMul",
    "Relu",
    "Add",
    "Identity",
    "Switch",
    "Merge",
    "While",
    "Nobody",
    "If",
)
NAMES = ("a", "b", "c", "d", "e", "^a", "b:1", "nowhere", "")


@few_and_many
def test_graphs(tmp_path: Path, count: int) -> None:
    """Nodes that take each other in any way, in circles too."""
    import tensorflow as tf

    path = tmp_path / "net.pb"
    attributes = st.sampled_from(["T", "dtype", "value", "shape", "strides", "padding", "N"])
    node = st.tuples(
        st.sampled_from(OPS), st.lists(st.sampled_from(NAMES), max_size=3), st.dictionaries(attributes, SIZES)
    )

    @examples(2 * count)
    @given(st.lists(node, max_size=5))
    def check(nodes: list[tuple[str, list[str], dict[str, int]]]) -> None:
        graph = tf.compat.v1.GraphDef()
        for name, (op, inputs, values) in zip(NAMES, nodes, strict=False):
            made = graph.node.add(name=name, op=op, input=inputs)
            for key, value in values.items():
                _give(made.attr[key], key, value)
        path.write_bytes(graph.SerializeToString())
        assert "net.pb" in (refusal(lambda: slim2keras.convert(path)) or path.name)

    check()


def _give(attribute: Any, key: str, value: int) -> None:
    if key in ("T", "dtype"):
        attribute.type = value % 24
    elif key == "shape":
        attribute.shape.dim.add().size = value
    elif key == "value":
        attribute.tensor.dtype = 1
        attribute.tensor.tensor_shape.dim.add().size = value
    elif key == "strides":
        attribute.list.i.extend([1, value, value, 1])
    elif key == "padding":
        attribute.s = b"SAME"
    else:
        attribute.i = value
