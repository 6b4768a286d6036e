"""A network a family as a file, run by Keras 3 with each backend: ``make test-backends``."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import slim2keras
from slim2keras.deployment.elsewhere import run_elsewhere
from slim2keras.deployment.keras3_file import LAYERS_MODULE
from slim2keras.deployment.proof import relative_difference
from slim2keras.keras3.registration import own_layers
from slim2keras.models.functional import deep_recursion
from tests.keras3.backends import BACKENDS
from tests.keras3.networks import FAMILIES, model_of
from tests.reference import images

BAR = 1e-5
NEEDS_OURS = {"cifarnet": ["LocalResponseNormalization"]}


def interpreter(backend: str) -> str:
    """That has the backend; the test is skipped where there is none."""
    other = os.environ.get("PYTHON_WITH_TORCH") if backend == "torch" else None
    if other is None and importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    return other or sys.executable


@pytest.fixture(scope="module", params=FAMILIES, name="written")
def _written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Any, Any]:
    """A file, the network, images, and the outputs of tf_keras."""
    net, shape = request.param, FAMILIES[request.param]
    model = model_of(slim2keras.build(net, num_classes=7, input_shape=shape).slim_network)
    path = tmp_path_factory.mktemp(net) / "model.keras"
    built = slim2keras.to_keras3(model)
    assert own_layers(built) == NEEDS_OURS.get(net, [])
    with deep_recursion():
        built.save(path)
    given = images(1, (2, *shape))
    return path, net, given, [np.asarray(item) for item in tf.nest.flatten(model(given, training=False))]


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_outputs_are_those_of_tf_keras_on_every_backend(
    written: tuple[Path, str, Any, Any], backend: str, record_property: Any
) -> None:
    """Relative to the largest value of each output."""
    path, net, given, wanted = written
    python = interpreter(backend)
    environment = {"KERAS_BACKEND": backend}
    module = LAYERS_MODULE if net in NEEDS_OURS else ""
    found, runtime = run_elsewhere(
        "run_keras3", path, {"images": given}, environment, module=module, interpreter=python
    )
    assert runtime.endswith(backend)
    difference = max(map(relative_difference, found, wanted))
    record_property("difference", difference)
    assert difference <= BAR
