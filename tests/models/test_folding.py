"""A folded model computes what the model did, and is for inference only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

import slim2keras
from slim2keras.deployment.proof import noise, relative_difference
from slim2keras.errors import NonFiniteError, UnsupportedArgumentError
from slim2keras.graphs import layers, shapes
from slim2keras.graphs.graph import Layer, Shape, Variable
from slim2keras.graphs.layers import BatchNorm
from slim2keras.graphs.network import GraphNetwork
from slim2keras.models import folding
from slim2keras.models.building import build_model
from slim2keras.models.folding import folded, least_fused_epsilon
from slim2keras.models.networks import network_of
from slim2keras.models.precision import precision_of
from slim2keras.models.variables import slim_variables
from slim2keras.nets.spec import NetSpec
from tests.own_network import own_network
from tests.parity.cases import SHAPES
from tests.reference import assign_values, values_of
from tests.towers_network import towers_network

BAR = 1e-5
NET, SHAPE = "mobilenet_v1_025", (64, 64, 3)


def outputs(model: tf_keras.Model, images: Any) -> list[np.ndarray]:
    import tensorflow as tf

    return [np.asarray(output) for output in tf.nest.flatten(model(images, training=False))]


def largest_difference(model: tf_keras.Model, other: tf_keras.Model, images: Any) -> float:
    return max(map(relative_difference, outputs(other, images), outputs(model, images)))


def model_of(network: Any, **changed: Callable[[tuple[int, ...]], np.ndarray]) -> tf_keras.Model:
    """A model with values that are never trivial; those of a leaf can be others."""
    model = build_model(network)
    values = values_of(network.graph.variables())
    for name, item in values.items():
        leaf = name.rpartition("/")[2]
        if leaf in changed:
            values[name] = changed[leaf](item.shape).astype("float32")
    assign_values(model, values)
    return model


@pytest.fixture(scope="module")
def mobilenet() -> tf_keras.Model:
    return model_of(NetSpec.make(NET, SHAPE, {"num_classes": 5}))


@pytest.fixture(scope="module")
def folded_mobilenet(mobilenet: tf_keras.Model) -> tf_keras.Model:
    return slim2keras.fold_batch_norm(mobilenet)


def one_layer(kind: str, config: dict[str, Any], kernels: dict[str, Shape], given: Shape, made: Shape) -> GraphNetwork:
    """A layer without activation and BatchNorm behind it."""
    x = layers.inputs(given)
    names = {"kernel": "weights", "depthwise_kernel": "depthwise_weights", "pointwise_kernel": "pointwise_weights"}
    variables = [Variable(f"net/layer/{names[leaf]}", shape) for leaf, shape in kernels.items()]
    if config.get("use_bias", True):
        variables.append(Variable("net/layer/biases", made[-1:]))
    x = x.graph.add(Layer(kind, "net/layer", config, (x,), tuple(variables)), made)
    x.graph.outputs = [layers.batch_norm(x, BatchNorm(epsilon=1e-6, scale=True, fused=len(made) > 2), name="net/norm")]
    return GraphNetwork("net", x.graph)


ONE_LAYER: dict[str, tuple[Any, ...]] = {
    "Conv1D": ({"filters": 4, "kernel_size": 3}, {"kernel": (3, 3, 4)}, (8, 3), (6, 4)),
    "Conv2D": ({"filters": 4, "kernel_size": 3, "use_bias": False}, {"kernel": (3, 3, 3, 4)}, (8, 8, 3), (6, 6, 4)),
    "Conv2D in groups": ({"filters": 6, "kernel_size": 3, "groups": 3}, {"kernel": (3, 3, 1, 6)}, (8, 8, 3), (6, 6, 6)),
    "Conv3D": ({"filters": 4, "kernel_size": 2}, {"kernel": (2, 2, 2, 3, 4)}, (4, 5, 6, 3), (3, 4, 5, 4)),
    "Conv2DTranspose": ({"filters": 4, "kernel_size": 3}, {"kernel": (3, 3, 4, 3)}, (5, 5, 3), (7, 7, 4)),
    "DepthwiseConv2D": (
        {"kernel_size": 3, "depth_multiplier": 2, "use_bias": False},
        {"depthwise_kernel": (3, 3, 3, 2)},
        (8, 8, 3),
        (6, 6, 6),
    ),
    "SeparableConv2D": (
        {"filters": 5, "kernel_size": 3, "depth_multiplier": 2},
        {"depthwise_kernel": (3, 3, 3, 2), "pointwise_kernel": (1, 1, 6, 5)},
        (8, 8, 3),
        (6, 6, 5),
    ),
    "Dense": ({"units": 4}, {"kernel": (3, 4)}, (3,), (4,)),
}


@pytest.mark.parametrize("kind", ONE_LAYER)
def test_every_class_of_layer_takes_up_its_batch_norm(kind: str) -> None:
    """Each has its output channels on other axes; also where variances are so small that epsilon is what counts."""
    config, kernels, given, made = ONE_LAYER[kind]
    network = one_layer(kind.split(maxsplit=1)[0], config, kernels, given, made)
    images = np.random.RandomState(0).uniform(-1, 1, (4, *given)).astype("float32")
    for variance in (1.0, 1e-9):
        model = model_of(network, moving_variance=lambda shape, least=variance: np.linspace(least, 2 * least, *shape))
        found = slim2keras.fold_batch_norm(model)
        assert "net/norm" not in [layer.name for layer in found.layers]
        assert largest_difference(model, found, images) < BAR


def test_the_epsilon_is_that_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """In some TensorFlows the fused kernel adds 1.001e-5 at least, in others what the layer says."""
    model = model_of(one_layer("Conv2D", *ONE_LAYER["Conv2D"]), moving_variance=lambda shape: np.full(shape, 1e-9))
    other = 0.0 if least_fused_epsilon() else 1.001e-5
    monkeypatch.setattr(folding, "least_fused_epsilon", lambda: other)
    images = np.random.RandomState(0).uniform(-1, 1, (4, 8, 8, 3)).astype("float32")
    assert largest_difference(model, slim2keras.fold_batch_norm(model), images) > 0.1


def test_logits_are_the_same(mobilenet: tf_keras.Model, folded_mobilenet: tf_keras.Model) -> None:
    """All of its 27 BatchNorm layers are gone, of depthwise convolutions too."""
    assert not any(isinstance(layer, tf_keras.layers.BatchNormalization) for layer in folded_mobilenet.layers)
    assert largest_difference(mobilenet, folded_mobilenet, noise(network_of(mobilenet))) < BAR


def in_float64(model: tf_keras.Model) -> tf_keras.Model:
    """A copy that computes in float64, the judge of what rounds how much."""

    def widened(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": "float64"})

    copy = tf_keras.models.clone_model(model, clone_function=widened)
    for variable, given in zip(copy.weights, model.weights, strict=True):
        variable.assign(given.numpy().astype("float64"))
    return copy


def separable_blocks() -> GraphNetwork:
    """A convolution, and two blocks of a depthwise and a pointwise one, each with BatchNorm and relu6."""
    norm: dict[str, Any] = {"batch_norm": BatchNorm(scale=True), "activation": "relu6"}
    x = layers.conv2d(layers.inputs((16, 16, 3)), 15, 3, name="net/conv", **norm)
    for block in range(2):
        x = layers.depthwise_conv2d(x, 3, name=f"net/depthwise_{block}", **norm)
        x = layers.conv2d(x, 15, 1, name=f"net/pointwise_{block}", **norm)
    x = shapes.flatten(layers.global_avg_pool(x, name="net/pool"), name="net/flatten")
    x.graph.outputs = [layers.fully_connected(x, 5, activation=None, name="net/logits")]
    return GraphNetwork("net", x.graph)


@pytest.mark.parametrize("gamma", [1.0, 30.0])
def test_ill_conditioned_statistics_fold_as_well(gamma: float) -> None:
    """Dead channels have variances of 1e-12, and gammas are large; folded is no farther from float64 than unfolded."""
    network = separable_blocks()
    model = model_of(
        network,
        moving_variance=lambda shape: np.where(np.arange(shape[0]) % 3, 1.0, 1e-12),
        gamma=lambda shape: np.where(np.arange(shape[0]) % 5, 1.0, gamma),
    )
    found, exact, images = slim2keras.fold_batch_norm(model), in_float64(model), noise(network, 32)
    assert largest_difference(model, found, images) < BAR
    assert largest_difference(exact, found, images) < 2 * largest_difference(exact, model, images)


def test_towers_share_what_is_folded() -> None:
    """A layer called twice computes with the same folded weights both times, under a checkpoint's odd names."""
    model = model_of(towers_network())
    found = slim2keras.fold_batch_norm(model)
    images = [np.random.RandomState(seed).uniform(-1, 1, (2, 6, 5, 3)).astype("float32") for seed in range(2)]
    assert largest_difference(model, found, images) < BAR
    assert "CNN1/conv_W" in slim_variables(found)


def test_the_model_that_was_folded_stays_as_it_is(mobilenet: tf_keras.Model) -> None:
    """The folded one is another, with values of its own."""
    before = {name: item.numpy() for name, item in slim_variables(mobilenet).items()}
    found = slim2keras.fold_batch_norm(mobilenet)
    for variable in found.weights:
        variable.assign(0.0 * variable)
    assert all(np.array_equal(item.numpy(), before[name]) for name, item in slim_variables(mobilenet).items())


def test_a_folded_model_knows_its_network(mobilenet: tf_keras.Model, folded_mobilenet: tf_keras.Model) -> None:
    """Name, preprocessing and end points are those of the network, so it is evaluated and used as that."""
    network = network_of(folded_mobilenet)
    assert network.is_folded
    assert (network.name, network.preprocessing, network.num_classes) == (NET, "inception", 5)
    assert folded_mobilenet.name == mobilenet.name
    assert [*slim2keras.end_points(folded_mobilenet)] == [*slim2keras.end_points(mobilenet)]
    assert not folded_mobilenet.losses


def test_of_mixed_precision_a_folded_model_is_in_float32() -> None:
    """It is for inference, and float16 goes by a way out."""
    policy = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = model_of(own_network())
        found = slim2keras.fold_batch_norm(model)
    finally:
        tf_keras.mixed_precision.set_global_policy(policy)
    assert precision_of(found) == "float32"
    assert network_of(found).is_folded


def saved(model: tf_keras.Model, path: Path) -> Path:
    model.save(path)
    return path


def test_a_file_of_keras_alone_is_told_as_a_folded_network(folded_mobilenet: tf_keras.Model, tmp_path: Path) -> None:
    """Without a report beside it, from its layers: it is evaluated, and not trained."""
    loaded = slim2keras.load_model(saved(folded_mobilenet, tmp_path / "folded.keras"))
    assert not hasattr(loaded, "slim_network")
    network = network_of(loaded)
    assert network.is_folded
    assert (network.name, network.preprocessing, network.num_classes) == (NET, "inception", 5)


def refusals(model: tf_keras.Model, path: Path) -> dict[str, Callable[[], Any]]:
    images = np.zeros((4, *SHAPE), "float32")
    return {
        "trained": lambda: slim2keras.finetune(model, batch_norm="frozen"),
        "recalibrated": lambda: slim2keras.recalibrate(model, [images]),
        "written as a slim checkpoint": lambda: slim2keras.export_checkpoint(model, path.parent / "model.ckpt"),
        "given the values of a checkpoint": lambda: slim2keras.load_checkpoint(model, path.parent / "none.ckpt"),
        "compared with slim's": lambda: slim2keras.verify(path.parent / "none.ckpt", model),
        "examined": lambda: slim2keras.diagnose(path),
    }


@pytest.mark.parametrize("what", refusals(None, Path()))
def test_what_needs_batch_norm_refuses_a_folded_model(
    folded_mobilenet: tf_keras.Model, tmp_path: Path, what: str
) -> None:
    """With the reason, and what to take in its place."""
    path = tmp_path / "folded.keras"
    name = path if what == "examined" else NET
    if what == "examined":
        saved(folded_mobilenet, path)
    with pytest.raises(UnsupportedArgumentError, match=f"{name} is folded.*cannot be {what}.*that it was folded from"):
        refusals(folded_mobilenet, path)[what]()


def test_a_training_refuses_a_folded_file(folded_mobilenet: tf_keras.Model, tmp_path: Path) -> None:
    """Before it looks at a single image."""
    path = saved(folded_mobilenet, tmp_path / "folded.keras")
    (tmp_path / "data").mkdir()
    request = slim2keras.training_request(path, tmp_path / "data", tmp_path / "run", batch_norm="frozen")
    with pytest.raises(UnsupportedArgumentError, match=f"^{path} is folded.*cannot be trained"):
        slim2keras.train(request)


def test_a_network_without_batch_norm_to_fold_is_refused(folded_mobilenet: tf_keras.Model) -> None:
    """Nobody is left to think that something was done."""
    with pytest.raises(UnsupportedArgumentError, match="lenet has no BatchNorm that could be folded: leave"):
        slim2keras.fold_batch_norm(slim2keras.build("lenet"))
    with pytest.raises(UnsupportedArgumentError, match=f"{NET} is folded already"):
        slim2keras.fold_batch_norm(folded_mobilenet)


def test_a_network_none_of_whose_batch_norm_can_be_folded_says_why() -> None:
    """With the first layer as the evidence."""
    x = layers.inputs((8, 8, 3))
    x.graph.outputs = [layers.batch_norm(x, BatchNorm(), name="net/norm")]
    model = build_model(GraphNetwork("net", x.graph))
    with pytest.raises(UnsupportedArgumentError, match=r"None of the 1 .* net/norm: it follows inputs"):
        slim2keras.fold_batch_norm(model)


@pytest.mark.parametrize(("leaf", "broken"), [("moving_variance", -1.0), ("moving_mean", np.nan), ("beta", np.inf)])
def test_statistics_that_are_no_numbers_are_refused(leaf: str, broken: float) -> None:
    """As BatchNorm gives NaN of them, which would lie in weights where no doctor sees it."""
    model = model_of(separable_blocks(), **{leaf: lambda shape: np.full(shape, broken)})
    with pytest.raises(NonFiniteError, match="5 BatchNorm layers cannot be folded, first net/conv/BatchNorm"):
        slim2keras.fold_batch_norm(model)


FAMILIES = {
    "densenet121": (59, 62),
    "i3d": (57, 0),
    "inception_resnet_v1": (112, 0),
    "inception_v1": (57, 0),
    "inception_v2": (68, 0),
    "inception_v3": (96, 0),
    "inception_v4": (151, 0),
    "mobilenet_edgetpu": (58, 0),
    "mobilenet_v2_035": (52, 0),
    "mobilenet_v3_small": (34, 0),
    "nasnet_cifar": (244, 2),
    "pnasnet_mobile": (157, 4),
    "resnet_v1_50": (53, 0),
    "resnet_v2_50": (32, 17),
}


@pytest.mark.slow
@pytest.mark.parametrize("net", FAMILIES)
def test_logits_of_every_family_are_the_same(net: str) -> None:
    """In float32 the fold rounds as the layers did."""
    spec = NetSpec.make(net, SHAPES[net], {"num_classes": 5})
    model = model_of(spec)
    found = folded(model)
    assert (len(found.folding.folds), len(found.folding.kept)) == FAMILIES[net]
    assert largest_difference(model, found.model, noise(spec)) < BAR
