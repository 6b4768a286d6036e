"""Every format of checkpoint is read, and whatever is damaged is refused and never a wrong number."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from slim2keras.checkpoints import reading
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.errors import CheckpointReadError
from slim2keras.scopes import VariableKind
from tests.reference import TRAINED_VALUES, files_of, write_checkpoint


def test_kinds_and_shapes_are_told_without_reading(v2: Path) -> None:
    """Slots and shadows are told from weights, and a slip in a name gets the right one."""
    with open_checkpoint(v2) as opened:
        assert opened.names(VariableKind.SLOT) == ["net/weights/Momentum"]
        assert opened.names(VariableKind.EMA) == ["net/weights/ExponentialMovingAverage"]
        assert opened.variables["net/weights"].shape == (2, 3, 4)
        with pytest.raises(KeyError, match="Did you mean net/weights"):
            opened["net/weight"]


def damaged_files() -> list[tuple[str, str]]:
    return [
        (version, damage)
        for version in ("V1", "index", "data")
        for damage in ("empty", "truncated", "one bit flipped", "text", "zeros")
    ]


@pytest.mark.parametrize(("which", "damage"), damaged_files())
def test_a_damaged_file_is_refused(tmp_path: Path, which: str, damage: str) -> None:
    """Empty, cut, overwritten or with one bit off, no number of it is handed out."""
    prefix = write_checkpoint(tmp_path / "model.ckpt", TRAINED_VALUES, "V1" if which == "V1" else "V2")
    path = {"V1": prefix, "index": Path(f"{prefix}.index"), "data": Path(f"{prefix}.data-00000-of-00001")}[which]
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0x10
    path.write_bytes(
        {
            "empty": b"",
            "truncated": whole[: len(whole) * 2 // 3],
            "one bit flipped": bytes(flipped),
            "text": b"This is a text file.\n" * 20,
            "zeros": bytes(len(whole)),
        }[damage]
    )
    with pytest.raises(CheckpointReadError), open_checkpoint(prefix) as opened:
        dict(opened)


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    """No damage may change a number without an error."""
    prefix = write_checkpoint(tmp_path / "model.ckpt", TRAINED_VALUES)
    random = np.random.RandomState(0)
    for path in (Path(f"{prefix}.index"), Path(f"{prefix}.data-00000-of-00001")):
        whole = path.read_bytes()
        for _ in range(60):
            flipped = bytearray(whole)
            flipped[random.randint(len(whole))] ^= 1 << random.randint(8)
            path.write_bytes(bytes(flipped))
            try:
                with open_checkpoint(prefix) as opened:
                    for name, value in TRAINED_VALUES.items():
                        np.testing.assert_array_equal(opened[name], value)
            except CheckpointReadError:
                pass
        path.write_bytes(whole)


def test_a_checkpoint_of_tensorflow_2_is_refused_as_such(tmp_path: Path) -> None:
    """Its names are of objects, not of slim's variables."""
    import tensorflow as tf

    prefix = tf.train.Checkpoint(weights=tf.Variable([1.0])).write(str(tmp_path / "object"))
    with pytest.raises(CheckpointReadError, match="TensorFlow 2 wrote it by object"), open_checkpoint(prefix):
        pass


def test_reading_leaves_the_files_as_they_were(tmp_path: Path, v2: Path) -> None:
    """Not a byte of a checkpoint changes."""
    before = files_of(v2)
    copy = shutil.copytree(tmp_path, tmp_path.with_name("copy"))
    with open_checkpoint(copy / v2.name) as opened:
        list(opened.items())
    assert files_of(v2) == before


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("model.ckpt.data-00000-of-00001; Bad address")])
def test_a_checkpoint_that_does_not_fit_into_memory_is_not_called_corrupt(
    own_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It would be fetched again, in vain."""

    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(reading, "_open_reader", full)
    with pytest.raises(CheckpointReadError, match="memory ran out"), open_checkpoint(own_checkpoint):
        pass


def test_what_tensorflow_does_not_read_of_v1_is_not_called_corrupt(tmp_path: Path) -> None:
    """It writes parts of variables, and float16, that its reader then refuses."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        partitioner = v1.fixed_size_partitioner(2)
        v1.get_variable("net/weights", (4, 3), partitioner=partitioner, use_resource=False)
        v1.get_variable("net/biases", (3,), tf.float16, use_resource=False)
        session.run(v1.global_variables_initializer())
        prefix = v1.train.Saver(write_version=1).save(session, str(tmp_path / "model.ckpt"))
    with open_checkpoint(prefix) as opened:
        for name in ("net/weights", "net/biases"):
            with pytest.raises(CheckpointReadError, match=rf"cannot be read at {name}: .* save it as V2"):
                opened[name]
