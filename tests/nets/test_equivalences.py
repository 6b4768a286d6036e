"""Arguments that the older cut of slim on PyPI lacks, held to networks that must give the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slim2keras.models.building import build
from slim2keras.models.end_points import end_points
from slim2keras.models.networks import network_of
from slim2keras.models.variables import slim_variables
from slim2keras.nets import vgg
from tests.reference import SHALLOW_NET, assign_values, images, values_of

pytestmark = pytest.mark.usefixtures("shallow_resnets")


def outputs(model: Any, values: dict[str, np.ndarray], batch: np.ndarray) -> dict[str, np.ndarray]:
    """End points by name, and the model's first output as ``output``."""
    import tf_keras

    assign_values(model, values)
    tensors = {**end_points(model), "output": model.outputs[0]}
    return {name: item.numpy() for name, item in tf_keras.Model(model.input, tensors)(batch, training=False).items()}


def recipe(model: Any) -> dict[str, np.ndarray]:
    return values_of(network_of(model).trace().variables())


def assert_near(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert np.max(np.abs(ours - theirs)) <= 1e-5 * np.max(np.abs(theirs))


def test_non_strided_activations_are_what_striding_subsamples() -> None:
    """slim's ``conv2d_same`` with a stride is the same convolution without, subsampled; so is the whole last unit."""
    batch = images(0, (2, 65, 48, 3))
    arguments = {"num_classes": 5, "input_shape": (65, 48, 3), "depth_multiplier": 0.25}
    strided = build(SHALLOW_NET, **arguments)
    stored = build(SHALLOW_NET, **arguments, store_non_strided_activations=True)
    values = recipe(strided)
    theirs, ours = outputs(strided, values, batch), outputs(stored, values, batch)
    assert_near(ours["output"], theirs["output"])
    for block in (1, 2, 3):
        name = f"{SHALLOW_NET}/block{block}"
        assert ours[name].shape[1] > theirs[name].shape[1]
        assert_near(ours[name][:, ::2, ::2], theirs[name])


def test_non_strided_activations_dilate_where_the_output_stride_is_reached() -> None:
    """The output is the same with and without them."""
    batch = images(1, (1, 65, 65, 3))
    arguments = {"input_shape": (65, 65, 3), "depth_multiplier": 0.25, "global_pool": False, "output_stride": 8}
    strided = build(SHALLOW_NET, **arguments)
    stored = build(SHALLOW_NET, **arguments, store_non_strided_activations=True)
    values = recipe(strided)
    assert_near(outputs(stored, values, batch)["output"], outputs(strided, values, batch)["output"])


@pytest.fixture
def narrow_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sixteenth of VGG's filters, so that fc6 has a sixteenth of its weights."""
    monkeypatch.setattr(vgg, "_FILTERS", (4, 8, 16, 32, 32))


@pytest.mark.usefixtures("narrow_vgg")
def test_same_padding_of_fc6_has_the_valid_output_in_its_middle() -> None:
    """What ``"SAME"`` adds around it changes nothing there."""
    batch = images(2, (1, 224, 224, 3))
    valid = build("vgg_a", num_classes=3, spatial_squeeze=False)
    same = build("vgg_a", num_classes=3, spatial_squeeze=False, fc_conv_padding="SAME")
    values = recipe(valid)
    theirs, ours = outputs(valid, values, batch)["output"], outputs(same, values, batch)["output"]
    assert ours.shape == (1, 7, 7, 3)
    assert_near(ours[:, 3:4, 3:4], theirs)


@pytest.mark.usefixtures("narrow_vgg")
def test_global_pool_averages_what_leads_to_the_classifier() -> None:
    """The end point and the logits are the averages of the unpooled network's."""
    batch = images(3, (1, 256, 256, 3))
    arguments = {"num_classes": 3, "fc_conv_padding": "SAME", "input_shape": (256, 256, 3)}
    mapped = build("vgg_a", **arguments, spatial_squeeze=False)
    pooled = build("vgg_a", **arguments, global_pool=True)
    values = recipe(mapped)
    theirs, ours = outputs(mapped, values, batch), outputs(pooled, values, batch)
    assert_near(ours["global_pool"], theirs["vgg_a/fc7"].mean(axis=(1, 2), keepdims=True))
    # The classifier is linear, so it may average before or after.
    assert_near(ours["output"], theirs["output"].mean(axis=(1, 2)))


def test_a_plain_first_convolution_is_the_separable_one_multiplied_out() -> None:
    """With the product of its two kernels every number is the same."""
    batch = images(4, (2, 64, 97, 3))
    arguments = {"input_shape": (64, 97, 3), "use_batch_norm": False, "final_endpoint": "Mixed_3b"}
    separable = build("inception_v2", **arguments)
    plain = build("inception_v2", **arguments, use_separable_conv=False)
    values = recipe(separable)
    name = "InceptionV2/Conv2d_1a_7x7"
    depthwise, pointwise = values[f"{name}/depthwise_weights"], values[f"{name}/pointwise_weights"]
    multiplied = np.einsum("hwim,imo->hwio", depthwise, pointwise.reshape(*depthwise.shape[2:], -1))
    theirs = outputs(separable, values, batch)
    ours = outputs(plain, {**values, f"{name}/weights": multiplied}, batch)
    assert_near(ours[name[len("InceptionV2/") :]], theirs[name[len("InceptionV2/") :]])
    assert_near(ours["output"], theirs["output"])


def test_detections_batch_norm_of_the_first_convolution_normalises_it() -> None:
    """It gives what the plain network gives with the statistics folded in by hand."""
    batch = images(6, (2, 64, 64, 3))
    arguments = {"input_shape": (64, 64, 3), "final_endpoint": "Conv2d_2b_1x1"}
    plain = build("inception_v2", **arguments)
    detection = build("inception_v2", **arguments, batch_norm_scale=True, separable_batch_norm=True)
    values = recipe(detection)
    name = "InceptionV2/Conv2d_1a_7x7"
    gamma, beta, mean, variance = (
        values[f"{name}/BatchNorm/{leaf}"] for leaf in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    # Folded by hand into the convolution and its biases.
    scale = gamma / np.sqrt(variance + 0.001)
    folded = {
        **values,
        f"{name}/pointwise_weights": values[f"{name}/pointwise_weights"] * scale,
        f"{name}/biases": beta - mean * scale,
    }
    ours, theirs = outputs(detection, values, batch), outputs(plain, folded, batch)
    assert_near(ours["Conv2d_1a_7x7"], theirs["Conv2d_1a_7x7"])


def test_without_batch_norm_biases_do_what_beta_does() -> None:
    """A BatchNorm of mean 0, variance 1 - epsilon and gamma 1 adds its beta, as biases do."""
    for net, shape, own in (
        (SHALLOW_NET, (33, 33, 3), {"num_classes": 4}),
        ("inception_v3", (75, 76, 3), {"final_endpoint": "Mixed_6a"}),
    ):
        epsilon = 0.5
        arguments = {"input_shape": shape, "depth_multiplier": 0.125, **own}
        normed = build(net, **arguments, batch_norm_epsilon=epsilon)
        biased = build(net, **arguments, use_batch_norm=False)
        values = recipe(normed)
        for name in values:
            if name.endswith("moving_mean"):
                values[name][:] = 0.0
            elif name.endswith("moving_variance"):
                values[name][:] = 1.0 - epsilon
            elif name.endswith("gamma"):
                values[name][:] = 1.0
        renamed = {name.replace("BatchNorm/beta", "biases"): value for name, value in values.items()}
        assert set(slim_variables(biased)) <= set(renamed)
        batch = images(5, (2, *shape))
        assert_near(outputs(biased, renamed, batch)["output"], outputs(normed, values, batch)["output"])
