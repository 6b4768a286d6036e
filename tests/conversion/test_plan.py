"""What a conversion would do is settled before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

import slim2keras
from slim2keras.checkpoints.load_plan import LoadOptions
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.conversion.facts import FactSource
from slim2keras.conversion.plan import plan_conversion
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import CheckpointMismatchError
from slim2keras.nets.spec import NetSpec
from tests.reference import SMALL_SHAPE, values_of, write_checkpoint, write_meta_of_first_layer


def test_features_need_no_pooling(small_checkpoint: Path) -> None:
    """The checkpoint's own classifier could not be squeezed then; it is not asked for."""
    model = slim2keras.convert(small_checkpoint, num_classes=0, global_pool=False, input_shape=(65, 65, 3))
    assert model.output_shape == (None, 3, 3, 256)


def test_a_window_of_another_image_size_is_explained(tmp_path: Path) -> None:
    """The message says which size the auxiliary head was trained at; with it the conversion succeeds."""
    spec = NetSpec.make("inception_v3", (171, 171, 3), {"num_classes": 3, "depth_multiplier": 0.1})
    path = write_checkpoint(tmp_path / "model.ckpt", values_of(spec.trace().variables()))
    with pytest.raises(CheckpointMismatchError, match=r"The window of AuxLogits is 2x2, .*images of 299x299"):
        slim2keras.convert(path)
    assert slim2keras.convert(path, input_shape=(171, 171, 3)).output_shape == [(None, 3), (None, 3)]


def test_no_classes_ends_the_model_in_its_features(small_checkpoint: Path) -> None:
    """``num_classes=0`` leaves the classifier of the checkpoint out."""
    model = slim2keras.convert(small_checkpoint, num_classes=0, input_shape=SMALL_SHAPE)
    assert model.output_shape == (None, 1, 1, 256)


def test_a_network_whose_layers_are_named_after_the_size_needs_no_size_given(tmp_path: Path) -> None:
    """The auxiliary window of Inception v3 is another with images of 150 pixels; the .meta says so."""
    spec = NetSpec.make("inception_v3", (150, 150, 3), {"num_classes": 3, "depth_multiplier": 0.1, "min_depth": 4})
    path = write_checkpoint(tmp_path / "model.ckpt", values_of(spec.trace().variables()))
    write_meta_of_first_layer(path, "InceptionV3/Conv2d_1a_3x3/weights", (150, 150, 3))
    with open_checkpoint(path) as opened:
        plan = plan_conversion(opened)
        given = plan_conversion(opened, CheckpointRequest(input_shape=(150, 150, 3)))
    assert (plan.network, plan.input_shape_source) == (spec, FactSource.META)
    assert given.input_shape_source is FactSource.GIVEN


@pytest.mark.usefixtures("shallow_resnets")
def test_a_conversion_takes_the_decay_of_the_graph(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """slim trained with 0.9, as the .meta says; ImageNet's default would be pit two. What the user says goes before."""
    options = LoadOptions()
    with open_checkpoint(sick_checkpoints["healthy"]) as opened:
        plan = plan_conversion(opened, CheckpointRequest(load=options))
        given = plan_conversion(opened, CheckpointRequest(arguments={"batch_norm_decay": 0.5}, load=options))
    assert (plan.network.batch_norm()["decay"], plan.decay_source) == (pytest.approx(0.9), FactSource.META)
    assert (given.network.batch_norm()["decay"], given.decay_source) == (0.5, FactSource.GIVEN)
    for suffix in (".index", ".data-00000-of-00001"):
        (tmp_path / f"copy.ckpt{suffix}").write_bytes(Path(f"{sick_checkpoints['healthy']}{suffix}").read_bytes())
    (tmp_path / "copy.ckpt.meta").write_bytes(b"no graph")
    with open_checkpoint(tmp_path / "copy.ckpt") as opened:
        plan = plan_conversion(opened, CheckpointRequest(load=options))
    assert (plan.network.batch_norm()["decay"], plan.decay_source) == (0.997, FactSource.DEFAULT)
