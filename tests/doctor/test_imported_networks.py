"""The doctor with networks of other names and other outputs than slim's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import slim2keras
from slim2keras.errors import TrainingDataError
from tests.importing.saved_graphs import by_hand, image_placeholder, norm_params, save_graph, slim
from tests.reference import images


def maps() -> None:
    """Two classes for every pixel."""
    x = slim.conv2d(image_placeholder(), 4, 3, **norm_params(is_training=True), scope="conv")
    slim.conv2d(x, 2, 1, activation_fn=None, scope="out")


@pytest.mark.parametrize("asked", [{}, {"graph": True}])
def test_statistics_of_other_names_are_examined(tmp_path: Path, asked: dict[str, Any]) -> None:
    """By the BatchNorm layers of the graph, the one given or the one beside the checkpoint, with its decay."""
    path = save_graph(by_hand, tmp_path)
    graph = {"graph": f"{path}.meta", "output_tensors": ["fc/BiasAdd"]} if asked else {}
    diagnosis = slim2keras.diagnose(path, **graph)
    assert [(layer.name, layer.channels) for layer in diagnosis.layers] == [("bn", 4)]
    assert diagnosis.decay == pytest.approx(0.9)
    with_data = slim2keras.diagnose(path, data=[images(0, (4, 8, 8, 3))], **graph)
    assert with_data.layers[0].drift is not None


def test_a_map_is_compared_pixel_by_pixel(tmp_path: Path) -> None:
    """Labels, where there are any, are maps too; recalibrated, the statistics are those of the batch."""
    path = save_graph(maps, tmp_path)
    model = slim2keras.convert(path)
    batch = images(0, (4, 8, 8, 3))
    expected = model(batch, training=True).numpy().argmax(-1)
    gap = slim2keras.diagnose(path, data=[batch]).gap
    assert gap is not None
    assert gap.agreement == pytest.approx((model(batch, training=False).numpy().argmax(-1) == expected).mean())
    assert "of the pixels of 4 images" in gap.describe()
    report = slim2keras.recalibrate(model, [(batch, expected)])
    assert report.before.accuracy_batch == 1.0
    assert report.after.agreement > 0.97


def test_classes_of_images_are_none_of_pixels(tmp_path: Path) -> None:
    """The error says how many labels a map wants."""
    model = slim2keras.convert(save_graph(maps, tmp_path))
    with pytest.raises(TrainingDataError, match="4 labels from 0 to 1 for 4 images, of 64 pixels each"):
        slim2keras.recalibrate(model, [(tf.zeros((4, 8, 8, 3)), np.array([0, 1, 0, 1]))])
