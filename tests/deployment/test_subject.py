"""What goes to another runtime is what was asked, with the images as they were validated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import slim2keras
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.subject import open_subject
from slim2keras.errors import DataReadError, UnsupportedArgumentError
from slim2keras.files.run_layout import RunLayout
from slim2keras.models.building import build_model
from slim2keras.models.variables import slim_variables
from tests.towers_network import towers_network
from tests.trainer.runs import tiny_network


def write_run(directory: Path, **options: object) -> Path:
    """No more of a RUN than its model and what was asked of it."""
    run = RunLayout(directory)
    directory.mkdir()
    slim2keras.build("lenet", input_shape=(28, 28, 1), num_classes=3).save(run.model)
    asked = {"crop_image": True, "use_grayscale": False, "preprocessing_name": None, "exif_orientation": False}
    asked |= {"split": "train", **options}
    run.request.write_text(json.dumps({"data": str(directory), "options": asked}))
    return directory


def test_a_run_goes_with_the_preprocessing_that_it_was_validated_with(tmp_path: Path) -> None:
    """Pipeline, grey and orientation stand in what travels with the file; a pipeline that is asked for replaces all."""
    run = write_run(
        tmp_path / "run", crop_image=False, use_grayscale=True, preprocessing_name="inception", exif_orientation=True
    )
    images = open_subject(run, DeploymentOptions(), CheckpointRequest()).describe_images()
    assert (images["pipeline"], images["geometry"]) == ("inception", {"resize": "bilinear"})
    assert "in grey" in images["words"]
    assert images["exif_orientation"]
    asked = open_subject(run, DeploymentOptions(preprocessing_name="lenet"), CheckpointRequest()).describe_images()
    assert (asked["pipeline"], asked["exif_orientation"]) == ("lenet", False)
    assert "grey" not in asked["words"]


def test_a_model_takes_the_size_that_is_asked_for() -> None:
    """As one that is opened from a file does."""
    model = slim2keras.build("mobilenet_v1_025", input_shape=(64, 64, 3), num_classes=3)
    subject = open_subject(model, DeploymentOptions(image_size=(96, 128)), CheckpointRequest())
    assert subject.model.input_shape == (None, 96, 128, 3)
    assert subject.describe_images()["size"] == [96, 128]


def test_a_model_is_shaken_and_is_then_what_it_was() -> None:
    """Every value by as little as float32 rounds, also when something fails meanwhile."""
    model = slim2keras.build("lenet", input_shape=(28, 28, 1), num_classes=3)
    before = [variable.numpy() for variable in model.variables]
    subject = open_subject(model, DeploymentOptions(), CheckpointRequest())
    with subject.shaken():
        for variable, value in zip(model.variables, before, strict=True):
            moved = np.abs(variable.numpy() - value).max()
            assert bool(moved > 0) is bool(value.any())
            assert moved <= 1e-6 * np.abs(value).max()
    with pytest.raises(KeyboardInterrupt), subject.shaken():
        raise KeyboardInterrupt
    assert all(np.array_equal(variable.numpy(), value) for variable, value in zip(model.variables, before, strict=True))


def test_a_variance_is_shaken_by_its_own_size() -> None:
    """By that of another channel it would be negative, and every output NaN."""
    model = build_model(tiny_network())
    variance = slim_variables(model)["tiny/conv/BatchNorm/moving_variance"]
    variance.assign([1e6, 1e-2, 1e-8, 0.0])
    with open_subject(model, DeploymentOptions(), CheckpointRequest()).shaken():
        np.testing.assert_allclose(variance, [1e6, 1e-2, 1e-8, 0.0], rtol=1e-6)


def test_names_of_classes_that_the_network_has_not_are_refused(tmp_path: Path) -> None:
    """A list for another network would name the wrong classes."""
    model = slim2keras.build("lenet", input_shape=(28, 28, 1), num_classes=3)
    labels = tmp_path / "labels.txt"
    labels.write_text("0:a\n3:d\n")
    with pytest.raises(DataReadError, match=r"numbers beyond the 3 classes of the network: d \(3\)"):
        open_subject(model, DeploymentOptions(labels=labels), CheckpointRequest())


def test_a_network_of_several_inputs_is_refused() -> None:
    """By their names, with what writes it."""
    with pytest.raises(UnsupportedArgumentError, match=r"towers has 2 inputs \(left, right\).*-o model.keras"):
        open_subject(build_model(towers_network()), DeploymentOptions(), CheckpointRequest())
    # Which Keras 3 tries on noise: images of one input would be left aside without a word.
    with pytest.raises(UnsupportedArgumentError, match=r"data has images for one: leave data \(--data\) out"):
        open_subject(
            build_model(towers_network()), DeploymentOptions(keras=3, data=Path("images.npz")), CheckpointRequest()
        )
