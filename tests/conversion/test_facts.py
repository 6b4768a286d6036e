"""Input size and decay where the user gives none: what they are, and what they are said to be from."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slim2keras.checkpoints.locating import CheckpointFiles, CheckpointVersion
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.checkpoints.writing import write_checkpoint as write_slim_checkpoint
from slim2keras.conversion.facts import FactSource, with_known_size
from slim2keras.conversion.plan import plan_conversion, warn_of_default_size
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import PreprocessingWarning
from slim2keras.nets.spec import NetSpec
from slim2keras.recognition.published import PUBLISHED
from slim2keras.scopes import VariableInfo
from tests.reference import values_of, write_checkpoint, write_meta_of_first_layer


def known_size(prefix: Path, spec: NetSpec, published: Any = None) -> tuple[tuple[int | None, ...], FactSource]:
    """For a checkpoint with the variables of a network, which are not written."""
    variables = {item.name: VariableInfo(item.shape, "float32") for item in spec.trace().variables()}
    location = CheckpointFiles(prefix, "V2", ())
    checkpoint: Any = SimpleNamespace(variables=variables, location=location)
    found, source = with_known_size(checkpoint, spec, published)
    return found.input_shape, source


MOBILENET = NetSpec.make("mobilenet_v1_025", (224, 224, 1), {"num_classes": 2})
FIRST = "MobilenetV1/Conv2d_0/weights"


def test_the_meta_goes_before_the_default_and_what_was_published_before_the_meta(tmp_path: Path) -> None:
    """Without either it is the network's own size, and is called so."""
    prefix = tmp_path / "model.ckpt-1"
    assert known_size(prefix, MOBILENET) == ((224, 224, 1), FactSource.DEFAULT)
    write_meta_of_first_layer(prefix, FIRST, (96, 80, 1))
    assert known_size(prefix, MOBILENET) == ((96, 80, 1), FactSource.META)
    published = replace(PUBLISHED[0], image_size=128)
    assert known_size(prefix, MOBILENET, published) == ((128, 128, 1), FactSource.PUBLISHED)


def test_what_the_weights_tell_is_no_default(tmp_path: Path) -> None:
    """A fully connected layer that takes in the whole map was found to fit one size alone."""
    assert known_size(tmp_path / "m", NetSpec.make("lenet", (32, 32, 1), {})) == ((32, 32, 1), FactSource.WEIGHTS)


@pytest.mark.parametrize(
    ("spec", "first", "shape"),
    [
        (MOBILENET, FIRST, (96, 96, 3)),
        (NetSpec.make("lenet", None, {}), "LeNet/conv1/weights", (64, 64, 1)),
        (NetSpec.make("inception_v1", None, {}), "InceptionV1/Conv2d_1a_7x7/weights", (64, 64, 3)),
    ],
)
def test_a_meta_of_another_network_is_not_believed(tmp_path: Path, spec: NetSpec, first: str, shape: Any) -> None:
    """Other channels, weights that would not fit, a size that the network cannot be laid at: then the default stays."""
    write_meta_of_first_layer(tmp_path / "m", first, shape)
    assert known_size(tmp_path / "m", spec) == (spec.input_shape, FactSource.DEFAULT)


def test_what_is_recorded_beside_a_checkpoint_goes_before_the_meta(tmp_path: Path) -> None:
    """Fine-tuning and recalibration here know the size; a record of other bits tells nothing."""
    prefix = tmp_path / "model.ckpt-1"
    values = values_of(MOBILENET.trace().variables())
    report = {"input_shape": [64, 64, 1]}
    write_slim_checkpoint(prefix, values, CheckpointVersion.V2, report=report)
    write_meta_of_first_layer(prefix, FIRST, (96, 80, 1))
    with open_checkpoint(prefix) as opened:
        plan = plan_conversion(opened)
    assert (plan.network.input_shape, plan.input_shape_source) == ((64, 64, 1), FactSource.RECORDED)
    (tmp_path / "model.ckpt-1.json").write_text('{"sha256": "0", "input_shape": [64, 64, 1]}')
    with open_checkpoint(prefix) as opened:
        assert plan_conversion(opened).input_shape_source is FactSource.META


def test_images_at_a_size_that_is_but_the_default_are_warned_of(tmp_path: Path) -> None:
    """A folder would be resized in silence, and the network measured on images that it never saw the like of."""
    path = write_checkpoint(tmp_path / "model.ckpt", values_of(MOBILENET.trace().variables()))
    with open_checkpoint(path) as opened:
        plan = plan_conversion(opened)
        with pytest.warns(PreprocessingWarning, match=r"taken at 224 x 224 x 1 \(default\)"):
            warn_of_default_size(plan, tmp_path)
        given = plan_conversion(opened, CheckpointRequest(input_shape=(96, 96, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_default_size(given, tmp_path)
        warn_of_default_size(plan, path)
