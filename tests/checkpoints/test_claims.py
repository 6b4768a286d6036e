"""What a checkpoint cannot have is refused before TensorFlow's readers, which would end the process, hear of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.errors import CheckpointReadError
from tests.faults.structures import table_entries, written_table
from tests.reference import write_checkpoint

pytestmark = pytest.mark.usefixtures("limited_memory")


def edited(path: Path, make: Callable[[], Any], key: bytes, edit: Callable[[Any], None]) -> None:
    """Change an entry of a table, whose checksums are right."""
    entries = dict(table_entries(path.read_bytes()))
    message = make().FromString(entries[key])
    edit(message)
    entries[key] = message.SerializeToString()
    path.write_bytes(written_table(sorted(entries.items())))


def bundle_entry() -> Any:
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto

    return BundleEntryProto


def slices() -> Any:
    from tensorflow.core.util.saved_tensor_slice_pb2 import SavedTensorSlices

    return SavedTensorSlices


def sizes(*values: int) -> Callable[[Any], None]:
    def edit(entry: Any) -> None:
        del entry.shape.dim[:]
        for value in values:
            entry.shape.dim.add().size = value

    return edit


def with_parts(*parts: tuple[int, int]) -> Callable[[Any], None]:
    def edit(entry: Any) -> None:
        sizes(12)(entry)
        for start, length in parts:
            entry.slices.add().extent.add(start=start, length=length)

    return edit


CLAIMS: dict[str, tuple[Callable[[Any], None], str]] = {
    "2**40 numbers": (sizes(2**40), "its values are not there"),
    "as many as no tensor": (sizes(2**40, 2**40), "which no tensor has"),
    "hidden by a zero": (sizes(0, 2**40, 2**40), "which no tensor has"),
    "fewer than none": (sizes(3, -1), "which no tensor has"),
    "more axes than any": (sizes(*[1] * 300), "which no tensor has"),
    "an open shape": (lambda entry: setattr(entry.shape, "unknown_rank", True), "which no tensor has"),
    "more than there is": (sizes(2, 3, 5), "its values are not there"),
    "fewer than there is": (sizes(2, 3), "its values are not there"),
    "a type of nobody": (lambda entry: setattr(entry, "dtype", 99), "of a type 99"),
    "a resource": (lambda entry: setattr(entry, "dtype", 20), "of the type resource"),
    "a reference": (lambda entry: setattr(entry, "dtype", 101), "of the type float32_ref"),
    "beyond the data": (lambda entry: setattr(entry, "offset", 2**40), "its values are not there"),
    "before the data": (lambda entry: setattr(entry, "offset", -1), "its values are not there"),
    "another shard": (lambda entry: setattr(entry, "shard_id", 3), "its values are not there"),
    "a part twice": (with_parts((0, 6), (0, 6)), "a part"),
    "a part beyond": (with_parts((6, 12)), "a part"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_an_index_claims_what_cannot_be(v2: Path, claim: str) -> None:
    """One error, which names the checkpoint and the variable."""
    edit, message = CLAIMS[claim]
    edited(Path(f"{v2}.index"), bundle_entry, b"net/weights", edit)
    with pytest.raises(CheckpointReadError, match=rf"model.ckpt-42 is corrupt: net/weights.*{message}"):
        open_checkpoint(v2).__enter__()


@pytest.mark.parametrize("claim", ["2**40 numbers", "as many as no tensor", "fewer than none", "a type of nobody"])
def test_a_v1_file_claims_what_cannot_be(v1: Path, claim: str) -> None:
    """The same of the old format."""
    edit, message = CLAIMS[claim]

    def edit_last(saved: Any) -> None:
        tensor = next(item for item in saved.meta.tensor if item.name == "net/weights")
        if claim == "a type of nobody":
            tensor.type = 99
            return
        edit(tensor)
        del tensor.slice[:]
        extents = tensor.slice.add().extent
        for _ in tensor.shape.dim:
            extents.add()

    edited(v1, slices, b"", edit_last)
    with pytest.raises(CheckpointReadError, match=rf"net.ckpt is corrupt: net/weights.*{message}"):
        open_checkpoint(v1).__enter__()


def test_parts_of_a_variable_are_read(tmp_path: Path) -> None:
    """As slim's partitioners make them; of V1 TensorFlow reads none."""
    import tensorflow as tf

    whole = np.arange(12, dtype="float32").reshape(4, 3)
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "parts.ckpt"),
        tensor_names=["net/w", "net/w"],
        shape_and_slices=["4 3 0,2:-", "4 3 2,2:-"],
        tensors=[whole[:2], whole[2:]],
    )
    with open_checkpoint(tmp_path / "parts.ckpt") as opened:
        np.testing.assert_array_equal(opened["net/w"], whole)


def test_the_state_of_an_iterator_is_passed_over(tmp_path: Path) -> None:
    """Which ``make_saveable_from_iterator`` puts beside the variables."""
    import tensorflow as tf

    v1, prefix = tf.compat.v1, str(tmp_path / "model.ckpt-1")
    with tf.Graph().as_default(), v1.Session() as session:
        variable = v1.get_variable("net/w", initializer=tf.ones([2, 3]))
        iterator = v1.data.make_initializable_iterator(tf.data.Dataset.range(5))
        session.run([variable.initializer, iterator.initializer])
        state = tf.data.experimental.make_saveable_from_iterator(iterator)
        v1.train.Saver([variable, state]).save(session, prefix, write_meta_graph=False)
    assert "variant" in {dtype.name for dtype in tf.train.load_checkpoint(prefix).get_variable_to_dtype_map().values()}
    with open_checkpoint(prefix) as opened:
        assert list(opened) == ["net/w"]


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_what_can_be_is_read(tmp_path: Path, version: str) -> None:
    """Texts, empty variables, and every type that is saved."""
    values = {
        "none": np.zeros((0, 5), "float32"),
        "count": np.int64(3),
        **{kind: np.ones((2, 3), kind) for kind in ("float64", "int32", "uint8", "bool")},
        **({"texts": np.array([b"", b"abc"], object), "complex": np.complex64(1j)} if version == "V2" else {}),
    }
    with open_checkpoint(write_checkpoint(tmp_path / "kinds.ckpt", values, version)) as opened:
        for name, value in values.items():
            np.testing.assert_array_equal(opened[name], value)


def test_a_step_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.ckpt-1", {"global_step": np.float32("nan")})
    with open_checkpoint(path) as opened, pytest.raises(CheckpointReadError, match="corrupt at global_step"):
        assert opened.global_step
