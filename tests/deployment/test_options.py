"""What may be asked of a model that goes to another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slim2keras.deployment.options import DeploymentOptions
from slim2keras.errors import UnsupportedArgumentError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keras": 4}, "keras must be one of 2, 3. Received: keras=4"),
        ({"batch_norm_layer": "torch"}, "batch_norm_layer must be one of keras, slim. Received"),
        ({"quantize": "int4"}, "quantize must be one of float16, dynamic, int8. Received: quantize='int4'"),
        ({"signature": "video"}, "signature must be one of raw, images, bytes. Received: signature='video'"),
        ({"opset": "17"}, "opset must be a whole number. Received: opset='17'"),
        ({"opset": 15.5}, "opset must be a whole number. Received: opset=15.5"),
        ({"image_size": 224}, r"image_size must be \(height, width\) in pixels. Received: image_size=224"),
        ({"image_size": (64, 0)}, r"image_size must be \(height, width\) in pixels. Received: image_size=\(64, 0\)"),
        ({"split": "train"}, r"split is of data: give data too \(--data\). Received: split='train'"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_those_that_can(given: dict[str, Any], message: str) -> None:
    """Before anything is opened."""
    with pytest.raises(UnsupportedArgumentError, match=message):
        DeploymentOptions(**given)


def test_what_was_chosen_is_what_differs_from_the_default() -> None:
    """A value that is given as it is by default asks for nothing."""
    assert DeploymentOptions().chosen() == []
    asked = DeploymentOptions(keras=2, batch_norm_layer="keras", quantize="int8", data=Path("images"))
    assert asked.chosen() == ["quantize", "data"]
