"""The configuration of a model that was never built."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tf_keras

from slim2keras.models.building import build_model
from slim2keras.models.config import model_config
from slim2keras.nets.spec import NetSpec
from tests.reference import SMALL_SHAPE


@pytest.mark.parametrize("shape", [(None, None, 3), SMALL_SHAPE])
def test_open_sizes_and_mixed_precision_are_in_the_description(shape: Any) -> None:
    """Under a policy of mixed precision what gives the outputs stays in float32 in the file too."""
    spec = NetSpec.make("mobilenet_v1_025", shape, {"num_classes": 3, "global_pool": True})
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        theirs = tf_keras.saving.serialize_keras_object(build_model(spec))
        assert json.dumps(model_config(spec.trace(), spec.net)) == json.dumps(theirs)
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
