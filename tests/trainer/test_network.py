"""The checkpoint's network, made fit for a training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import slim2keras
from slim2keras.errors import CheckpointMismatchError, UnsupportedArgumentError
from slim2keras.models.variables import slim_variables
from slim2keras.trainer.network import AdaptedNetwork, adapt, open_source
from slim2keras.trainer.request import training_request
from tests.trainer.runs import write_network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of slim's cifarnet, ten classes."""
    prefix = tmp_path_factory.mktemp("cifarnet") / "model.ckpt-7"
    slim2keras.export_checkpoint(slim2keras.build("cifarnet", num_classes=10), prefix)
    return prefix


def adapted(path: Path, classes: int, **options: Any) -> tuple[AdaptedNetwork, dict[str, np.ndarray]]:
    """The network, and the values that its model begins with."""
    request = training_request(path, "images", "run", batch_norm="update", **options)
    with open_source(request) as source:
        found = adapt(source, request, classes)
        values = slim_variables(found.model(source.checkpoint))
    return found, {name: variable.numpy() for name, variable in values.items()}


def stored(path: Path) -> dict[str, np.ndarray]:
    return {name: item.numpy() for name, item in slim_variables(slim2keras.convert(path)).items()}


def test_other_classes_start_the_classifier_afresh(checkpoint: Path) -> None:
    """And nothing else."""
    found, values = adapted(checkpoint, 3)
    assert found.fresh == ("CifarNet/logits",)
    assert values["CifarNet/logits/weights"].shape == (192, 3)
    for name, value in stored(checkpoint).items():
        if not name.startswith("CifarNet/logits/"):
            np.testing.assert_array_equal(values[name], value, err_msg=name)


def test_what_does_not_fit_is_told_with_the_option_that_helps(checkpoint: Path, tmp_path: Path) -> None:
    """And the option as it is told does help."""
    values = {**stored(checkpoint), "CifarNet/fc3/weights": np.zeros((100, 384), np.float32)}
    damaged = tmp_path / "model.ckpt"
    tf.raw_ops.SaveV2(
        prefix=str(damaged), tensor_names=[*values], shape_and_slices=[""] * len(values), tensors=[*values.values()]
    )
    with pytest.raises(CheckpointMismatchError) as caught:
        adapted(damaged, 10)
    told = re.search(r"command line: --checkpoint-exclude-scopes (\S+)\)", str(caught.value))
    assert told is not None, caught.value
    found, _ = adapted(damaged, 10, checkpoint_exclude_scopes=told[1])
    assert {name.rpartition("/")[0] for name in found.plan.load.fresh} == {"CifarNet/fc3"}


def test_the_same_classes_keep_it(checkpoint: Path) -> None:
    """Unless it is excluded by name; a scope is a whole one."""
    found, values = adapted(checkpoint, 10)
    assert found.fresh == ()
    np.testing.assert_array_equal(values["CifarNet/logits/weights"], stored(checkpoint)["CifarNet/logits/weights"])
    found, _ = adapted(checkpoint, 10, checkpoint_exclude_scopes="CifarNet/logits,CifarNet/fc3")
    assert {name.rpartition("/")[0] for name in found.plan.load.fresh} == {"CifarNet/logits", "CifarNet/fc3"}
    with pytest.raises(UnsupportedArgumentError, match="matches nothing"):
        adapted(checkpoint, 10, checkpoint_exclude_scopes="CifarNet/log")


def test_weight_decay_is_slims_unless_given(checkpoint: Path) -> None:
    """Of a network that takes it; 0 is none."""
    assert adapted(checkpoint, 3)[0].network.arguments["weight_decay"] == 4e-5
    assert adapted(checkpoint, 3, weight_decay=0.0)[0].network.arguments["weight_decay"] == 0.0


def test_preprocessing_is_that_of_another_network(checkpoint: Path) -> None:
    """By the name of a network, as slim's flag has it, or of a pipeline."""
    for name in ("resnet_v1_50", "vgg"):
        assert adapted(checkpoint, 3, preprocessing_name=name)[0].network.preprocessing == "vgg"
    with pytest.raises(UnsupportedArgumentError, match="Did you mean vgg"):
        adapted(checkpoint, 3, preprocessing_name="vggg")


def test_a_graph_says_itself_what_it_is(tmp_path: Path) -> None:
    """Its size and its regularization are not for a training to change."""
    path = write_network(tmp_path / "tiny.keras")
    with pytest.raises(UnsupportedArgumentError, match="takes no weight_decay"):
        adapted(path, 3, weight_decay=1e-4)
    with pytest.raises(UnsupportedArgumentError, match="are 16 x 16, as its graph has them"):
        adapted(path, 3, image_size=32)
    assert adapted(path, 3, image_size=16)[0].fresh == ("tiny/logits",)


def test_a_graph_in_a_file_keeps_its_size(tmp_path: Path) -> None:
    """What takes no input shape is not told to be given one: the checkpoint has to be converted anew."""
    path = write_network(tmp_path / "tiny.keras")
    with pytest.raises(UnsupportedArgumentError, match="convert the checkpoint that the file was made from at that"):
        adapted(path, 5, image_size=(20, 24))
