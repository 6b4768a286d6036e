"""Every network through every format: equal bits, of stock layers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.conversion.converting import convert_to_file
from slim2keras.conversion.reading import load_model
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.models.building import build_model
from slim2keras.models.end_points import end_points
from slim2keras.models.networks import network_of
from slim2keras.models.variables import slim_variables
from slim2keras.nets import list_nets
from slim2keras.nets.spec import NetSpec
from tests.parity.cases import small_spec_of
from tests.reference import assign_values, images, values_of, write_checkpoint

OWN_LAYERS = {"cifarnet": {"LocalResponseNormalization"}}
"""Networks that no composition of stock layers computes; README and keras_layers.py say so."""


FORMATS = ("model.keras", "model.h5", "model.weights.h5", "model")

QUICK_TO_WRITE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("cifarnet", "lenet", "mobilenet_v1_025"), FORMATS[:3]),
    "mobilenet_v3_small": ("model.keras",),
}


def cases() -> list[Any]:
    """Formats of small networks, but no SavedModel, which takes minutes; all formats of all networks are slow."""
    return [
        pytest.param(net, name, marks=() if name in QUICK_TO_WRITE.get(net, ()) else pytest.mark.slow)
        for net in list_nets()
        for name in FORMATS
    ]


@pytest.mark.parametrize(("net", "name"), cases())
def test_every_network_survives_every_format(tmp_path: Path, net: str, name: str) -> None:
    """Outputs, end points and variables are the same bits, and the network is known again."""
    spec = small_spec_of(net)
    values = values_of(spec.trace().variables())
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", values)
    request = CheckpointRequest(net, spec.changed_arguments(), spec.input_shape)
    report = convert_to_file(checkpoint, tmp_path / name, request)
    assert report.largest_difference == 0.0
    loaded = load_model(tmp_path / name, checkpoint)
    model = build_model(spec)
    assign_values(model, values)
    batch = images(3, (2, *spec.input_shape))
    for ours, theirs in zip(outputs_of(loaded, batch), outputs_of(model, batch), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert list(end_points(loaded)) == list(end_points(model))
    assert network_of(loaded).net == net
    assert set(slim_variables(loaded)) == set(values)


def outputs_of(model: Any, batch: np.ndarray) -> list[np.ndarray]:
    outputs = model(batch, training=False)
    return [item.numpy() for item in (outputs if isinstance(outputs, list) else [outputs])]


@pytest.mark.parametrize("net", list_nets())
def test_every_layer_is_a_stock_layer_or_a_known_exception(net: str) -> None:
    """No network needs a Lambda."""
    import tf_keras

    kinds = {layer.kind for layer in small_spec_of(net).trace().layers.values()}
    assert {kind for kind in kinds if not hasattr(tf_keras.layers, kind)} == OWN_LAYERS.get(net, set())
    assert not [kind for kind in kinds if "Lambda" in kind]


@pytest.mark.parametrize(
    "code",
    [
        "import sys, tf_keras, slim2keras.keras_layers; tf_keras.models.load_model(sys.argv[1])",
        pytest.param("import sys, slim2keras; slim2keras.load_model(sys.argv[1])", marks=pytest.mark.slow),
    ],
)
def test_a_layer_of_our_own_is_found_in_a_process_of_its_own(tmp_path: Path, code: str) -> None:
    """By stock tf_keras once it is imported, and by ``load_model``."""
    model = build_model(NetSpec.make("cifarnet", None, {}))
    model.save(tmp_path / "model.keras")
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model.keras")], check=True, capture_output=True)
