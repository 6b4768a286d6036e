"""Graphs that strangers trained become models with the same numbers, and train on as they did."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import slim2keras
from slim2keras.models.overrides import Overrides, dropout_off
from slim2keras.models.variables import all_layers, slim_variables
from slim2keras.training.state import state_variables
from tests.importing.foreign_networks import NETWORKS, ForeignNetwork
from tests.importing.writing_graphs import (
    MODES,
    MOMENTUM,
    RATE,
    STEPS,
    Reference,
    WrittenGraph,
    images_of,
    reference,
    targets_of,
    trained,
    write_graph,
)

BARS = {
    "inference": 1e-6,
    "function": 1e-5,
    "training": 1e-5,
    "moving statistics": 1e-6,
    "regularization loss": 1e-6,
    "steps": 1e-4,
}
"""Largest difference, relative to the largest magnitude of the tensor; of slots, to that of all slots."""

MOVED_IN_ANY_ORDER = {"two_towers": 0.05}
"""Bars of moving statistics that two towers move at once: TensorFlow leaves open which of them reads first."""

FROZEN = ("unfused", "separable", "two_heads_prelu", "dilated_by_space_to_batch")
VERIFIED = ("unet", "unet_by_hand", "own_normaliser", "batch_norm_of_a_blog")
TRAINED = ("unet", "regularized", "two_heads_prelu", "own_normaliser", "keyword_spotter")
SWITCHED = tuple(name for name, network in NETWORKS.items() if network.decay)
TRAINING_MODES = ("training", "switchable")

LEFT_OUT = {
    "quantized": ("/min", "/max"),
    "zero_debias": ("/biased", "/local_step"),
}
"""Ends of variables that a model has no use for: ranges of FakeQuant, and what a corrected mean is computed of."""


def cases(quick: dict[str, Collection[str]], modes: Collection[str] = MODES) -> list[Any]:
    """Networks in the modes that there are of them; all but the quick ones of each mode are slow."""
    return [
        pytest.param(name, mode, marks=() if name in quick.get(mode, ()) else pytest.mark.slow)
        for name, network in NETWORKS.items()
        for mode in modes
        if network.is_left_in(mode)
    ]


EVERY_TRAINING = {"training": NETWORKS, "switchable": ("unfused", "zero_debias", "batch_norm_of_a_blog")}
TRAINING_WITH_NORMS = {**EVERY_TRAINING, "training": SWITCHED}


@dataclass(frozen=True)
class Imported:
    """A network, its files, the model of them, and what is expected of it."""

    network: ForeignNetwork
    written: WrittenGraph
    model: Any
    expected: Reference

    @property
    def images(self) -> Any:
        """A batch as the model takes it."""
        return model_inputs(self.expected.images)


def model_inputs(batches: Any) -> Any:
    return batches if len(batches) > 1 else batches[0]


def convert(written: WrittenGraph) -> Any:
    """Import, all names given where the files do not tell them."""
    if written.path.is_dir():
        return slim2keras.convert(written.path)
    names = {"input_tensors": list(written.input_tensors), "output_tensors": list(written.output_tensors)}
    return slim2keras.convert(written.path, graph=written.meta, **names)


@pytest.fixture(scope="module", name="imported")
def _imported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Imported]:
    """A network in a mode, imported by the first test that asks; not to be changed."""

    @functools.cache
    def make(name: str, mode: str) -> Imported:
        written = write_graph(NETWORKS[name], mode, tmp_path_factory.mktemp(f"{name}-{mode}"))
        return Imported(NETWORKS[name], written, convert(written), reference(name))

    return make


def outputs_of(model: Any, batches: Any, *, training: bool) -> list[np.ndarray]:
    """Outputs, nothing dropped, the variables left as they are."""
    with Overrides() as overrides, dropout_off(model):
        overrides.keep(model.weights)
        return [output.numpy() for output in tf.nest.flatten(model(batches, training=training))]


def relative(ours: np.ndarray, theirs: np.ndarray, largest: float | None = None) -> float:
    assert ours.shape == theirs.shape
    largest = float(np.max(np.abs(theirs))) if largest is None else largest
    return float(np.max(np.abs(ours.astype("float64") - theirs))) / (largest or 1.0)


def as_in_slim(variables: Mapping[str, Any], theirs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values in the shapes that slim has: Keras' PReLU has its alpha for every height and width."""
    values = {key: np.asarray(variable) for key, variable in variables.items()}
    return {key: item.reshape(theirs[key].shape) if key in theirs else item for key, item in values.items()}


def batch_norms(model: Any) -> list[Any]:
    return [layer for layer in all_layers(model) if isinstance(layer, tf_keras.layers.BatchNormalization)]


def kept(name: str, variables: Collection[str]) -> set[str]:
    return {key for key in variables if not key.endswith(LEFT_OUT.get(name, ("no variable",)))}


@pytest.mark.parametrize(("name", "mode"), cases({**EVERY_TRAINING, "frozen": FROZEN, "saved_model": ("two_towers",)}))
def test_inference_has_the_same_numbers(imported: Any, name: str, mode: str) -> None:
    """Every output on moving statistics, also where the graph knew only those of the batch."""
    case = imported(name, mode)
    ours = outputs_of(case.model, case.images, training=False)
    for output, theirs in zip(ours, case.expected.inference, strict=True):
        assert relative(output, theirs) <= BARS["inference"]


@pytest.mark.parametrize(("name", "mode"), cases({"training": ("leaky_sums",)}, ("training",)))
def test_a_function_has_the_same_numbers(imported: Any, name: str, mode: str) -> None:
    """TensorFlow rewrites what ``predict`` runs: several layers become one kernel."""
    case = imported(name, mode)
    ours = tf.nest.flatten(tf.function(case.model)(case.images, training=False))
    for output, theirs in zip(ours, case.expected.inference, strict=True):
        assert relative(output.numpy(), theirs) <= BARS["function"]


@pytest.mark.parametrize(("name", "mode"), cases(TRAINING_WITH_NORMS, TRAINING_MODES))
def test_training_has_the_same_numbers(imported: Any, name: str, mode: str) -> None:
    """Every output on statistics of the batch, nothing dropped."""
    case = imported(name, mode)
    ours = outputs_of(case.model, case.images, training=True)
    for output, theirs in zip(ours, case.expected.training, strict=True):
        assert relative(output, theirs) <= BARS["training"]


@pytest.mark.parametrize(("name", "mode"), cases({"training": SWITCHED}, TRAINING_MODES))
def test_a_step_moves_the_statistics_as_the_graph_does(imported: Any, name: str, mode: str) -> None:
    """Mean and variance of every BatchNorm after one batch, and no other variable."""
    case = imported(name, mode)
    with Overrides() as overrides, dropout_off(case.model):
        overrides.keep(case.model.weights)
        case.model(case.images, training=True)
        moved = as_in_slim(slim_variables(case.model), case.expected.moved)
    bar = MOVED_IN_ANY_ORDER.get(name, BARS["moving statistics"])
    found = {key: relative(item, case.expected.moved[key]) for key, item in moved.items()}
    assert {key: item for key, item in found.items() if item > bar} == {}


@pytest.mark.parametrize(("name", "mode"), cases(EVERY_TRAINING, TRAINING_MODES))
def test_what_trains_it_is_told_by_the_graph(imported: Any, name: str, mode: str) -> None:
    """Decay and epsilon of each BatchNorm, which variables learn, and the regularization loss."""
    case = imported(name, mode)
    layers = batch_norms(case.model)
    assert bool(layers) == bool(case.network.decay)
    assert all(layer.momentum == pytest.approx(case.network.decay, rel=1e-6) for layer in layers)
    assert all(layer.epsilon == pytest.approx(case.network.epsilon) for layer in layers)
    trainable = {key for key, variable in slim_variables(case.model).items() if variable.trainable}
    assert trainable == case.expected.trainable
    loss = float(sum(case.model.losses))
    assert loss == pytest.approx(case.expected.regularization_loss, rel=BARS["regularization loss"])


@pytest.mark.parametrize(("name", "mode"), cases({"training": VERIFIED, "switchable": ("unet",), "frozen": FROZEN[:1]}))
def test_the_graph_itself_judges_the_model(imported: Any, name: str, mode: str) -> None:
    """``verify`` needs nothing but the files, and says by what it judged."""
    case = imported(name, mode)
    report = slim2keras.verify(case.written.path, case.model, images=case.images)
    assert report.passed, report.first_failure
    assert f"{report.net} against its own graph" in str(report)


def steps_of(tuned: Any, network: ForeignNetwork, expected: Reference) -> list[float]:
    return [
        tuned.train_on_batch(
            model_inputs(images_of(network, seed=10 * step)),
            model_inputs(targets_of(expected.inference, step)),
            reset_metrics=True,
        )
        for step in range(STEPS)
    ]


def first_loss(found: Any) -> float:
    return float(np.ravel(found)[0])


@pytest.mark.parametrize(("name", "mode"), cases({"training": TRAINED}, TRAINING_MODES))
def test_steps_of_momentum_are_those_of_the_graph(name: str, mode: str, tmp_path: Path) -> None:
    """Losses, variables, moving statistics and slots, against the graph's own train op."""
    model = convert(write_graph(NETWORKS[name], mode, tmp_path))
    tuned = slim2keras.finetune(model, batch_norm="update")
    tuned.compile(slim2keras.optimizers.Momentum(RATE, MOMENTUM), "mse", run_eagerly=True)
    with dropout_off(tuned):
        ours = [first_loss(item) for item in steps_of(tuned, NETWORKS[name], reference(name))]
    losses, theirs = trained(name)
    assert len(set(losses)) == STEPS, "a run that does not move compares nothing"
    assert relative(np.asarray(ours), np.asarray(losses)) <= BARS["steps"]
    state = as_in_slim(state_variables(tuned), theirs)
    assert kept(name, theirs) == set(state)
    largest_slot = max(np.abs(item).max() for key, item in theirs.items() if key.endswith("/Momentum"))
    found = {
        key: relative(item, theirs[key], largest_slot if key.endswith("/Momentum") else None)
        for key, item in state.items()
        if not (name in MOVED_IN_ANY_ORDER and "/moving_" in key)
    }
    assert {key: item for key, item in found.items() if item > BARS["steps"]} == {}


@pytest.mark.parametrize(("name", "mode"), cases({"training": NETWORKS}, ("training", "switchable", "inference")))
def test_back_to_slim_is_bit_for_bit(imported: Any, name: str, mode: str, tmp_path: Path) -> None:
    """Every variable of the network under the name that the checkpoint has."""
    case = imported(name, mode)
    slim2keras.export_checkpoint(case.model, tmp_path / "back.ckpt-1")
    reader = tf.train.load_checkpoint(str(tmp_path / "back.ckpt-1"))
    assert set(reader.get_variable_to_shape_map()) == kept(name, case.expected.values)
    for key in kept(name, case.expected.values):
        np.testing.assert_array_equal(reader.get_tensor(key), case.expected.values[key])


# Mutants


def other_epsilon(model: Any) -> None:
    batch_norms(model)[0].epsilon *= 10


def other_decay(model: Any) -> None:
    batch_norms(model)[0].momentum -= 0.05


def symmetric_padding(model: Any) -> None:
    """As slim's ``conv2d_same`` pads, not as SAME does where the stride is two."""
    layer = next(layer for layer in all_layers(model) if tuple(getattr(layer, "strides", ())) == (2, 2))
    padding = [[0, 0], [1, 1], [1, 1], [0, 0]]
    layer.convolution_op = lambda inputs, kernel: tf.nn.conv2d(inputs, kernel, layer.strides, padding)


MUTANTS = {"epsilon": other_epsilon, "decay": other_decay, "padding": symmetric_padding}


@pytest.mark.parametrize("name", [None, *MUTANTS])
def test_a_mutant_does_not_pass(name: str | None, tmp_path: Path) -> None:
    """``verify`` sees another epsilon, another decay and another padding; the model as imported passes."""
    written = write_graph(NETWORKS["dilated"], "training", tmp_path)
    model = convert(written)
    if name is not None:
        MUTANTS[name](model)
    report = slim2keras.verify(written.path, model, images=reference("dilated").images[0])
    assert report.passed == (name is None)
