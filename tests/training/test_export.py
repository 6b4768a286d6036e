"""A model becomes a checkpoint of slim, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import slim2keras
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.errors import OutputError, UnsupportedArgumentError
from slim2keras.training.export import export_checkpoint
from tests.parity.training_runs import CLASSES, NETS, build_ours
from tests.training.tuned import tuned_model


class TestExport:
    def test_a_plain_model_gives_what_it_was_made_of(self, small_checkpoint: Path, tmp_path: Path) -> None:
        """All of the checkpoint but its step, bit for bit."""
        model = slim2keras.convert(small_checkpoint)
        written = export_checkpoint(model, tmp_path / "model.ckpt-5000")
        assert [path.name for path in written.files] == ["model.ckpt-5000.index", "model.ckpt-5000.data-00000-of-00001"]
        with open_checkpoint(small_checkpoint) as theirs, open_checkpoint(tmp_path) as ours:
            assert set(theirs) - set(ours) == {"global_step"}
            for name in ours:
                np.testing.assert_array_equal(ours[name], theirs[name])

    def test_the_first_one_is_the_latest_of_its_directory(self, tmp_path: Path) -> None:
        """The file ``checkpoint`` names it, and keeps it when a second comes."""
        model = build_ours(NETS["vgg"])
        export_checkpoint(model, tmp_path / "model.ckpt-1")
        assert (tmp_path / "checkpoint").read_text().startswith('model_checkpoint_path: "model.ckpt-1"')
        export_checkpoint(model, tmp_path / "model.ckpt-2")
        assert '"model.ckpt-1"' in (tmp_path / "checkpoint").read_text()

    @pytest.mark.parametrize("version", ["V1", "V2"])
    def test_nothing_is_overwritten_unless_asked(self, version: str, tmp_path: Path) -> None:
        """In either format, and no draft stays behind."""
        first, second = build_ours(NETS["vgg"]), build_ours(NETS["vgg"])
        second.get_layer("vgg_a/fc8").bias.assign(np.ones(CLASSES))
        prefix = tmp_path / "model.ckpt-1"
        export_checkpoint(first, prefix, version=version)
        with pytest.raises(OutputError, match="exists already"):
            export_checkpoint(second, prefix, version=version)
        with open_checkpoint(prefix) as checkpoint:
            assert checkpoint.location.version == version
            np.testing.assert_array_equal(checkpoint["vgg_a/fc8/biases"], first.get_layer("vgg_a/fc8").bias.numpy())
        export_checkpoint(second, prefix, version=version, overwrite=True)
        with open_checkpoint(prefix) as checkpoint:
            np.testing.assert_array_equal(checkpoint["vgg_a/fc8/biases"], np.ones(CLASSES))
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []

    @pytest.mark.parametrize("name", ["model.keras", "model.ckpt-3.index", "no/where/model.ckpt-3"])
    def test_a_name_that_is_none_is_refused(self, name: str, tmp_path: Path) -> None:
        """A Keras suffix, a file of another checkpoint, a directory that there is none of."""
        with pytest.raises(OutputError):
            export_checkpoint(build_ours(NETS["vgg"]), tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    def test_an_optimizer_that_slim_does_not_have_is_refused(self, tmp_path: Path) -> None:
        """Its state would be lost, so nothing is written."""
        import tf_keras

        tuned = tuned_model(optimizer=tf_keras.optimizers.SGD(0.1, 0.9))
        with pytest.raises(UnsupportedArgumentError, match="tf_keras's SGD has no place in a slim checkpoint"):
            export_checkpoint(tuned, tmp_path / "model.ckpt-1")
        assert list(tmp_path.iterdir()) == []
