"""Overrides: what is set for a while is put back as it was found, whatever happens."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slim2keras.models.overrides import Overrides, process_overrides


class Layer:
    """Has an attribute of the instance, one of the class and a property."""

    def __init__(self) -> None:
        self.rate = 0.5
        self.hidden = True

    def call(self) -> str:
        return "stock"

    @property
    def trainable(self) -> bool:
        return self.hidden

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.hidden = value


def ours() -> str:
    return "ours"


@pytest.fixture
def layer() -> Layer:
    return Layer()


def test_attributes_are_others_within_and_as_before_afterwards(layer: Layer) -> None:
    """Of the object nothing else changes."""
    before = dict(vars(layer))
    with Overrides() as overrides:
        overrides.set(layer, "rate", 0.0)
        overrides.set(layer, "trainable", False)
        assert (layer.rate, layer.trainable) == (0.0, False)
    assert vars(layer) == before


def test_an_attribute_that_was_not_there_is_deleted(layer: Layer) -> None:
    """A method that was covered is the class's own again."""
    with Overrides() as overrides:
        overrides.set(layer, "call", ours)
        overrides.set(layer, "note", 1)
        assert layer.call() == "ours"
    assert not {"call", "note"} & set(vars(layer))
    assert layer.call() == "stock"


def test_overrides_nest(layer: Layer) -> None:
    """The inner one gives back what the outer one set."""
    with Overrides() as outer:
        outer.set(layer, "call", ours)
        outer.set(layer, "rate", 0.1)
        with Overrides() as inner:
            inner.set(layer, "call", lambda: "inner")
            inner.set(layer, "rate", 0.2)
            inner.set(layer, "rate", 0.3)
        assert (layer.call(), layer.rate) == ("ours", 0.1)
    assert (layer.call(), layer.rate) == ("stock", 0.5)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_within_puts_everything_back(layer: Layer, error: type[BaseException]) -> None:
    """An interruption by the user as well."""

    def fail() -> None:
        with Overrides() as overrides:
            overrides.set(layer, "rate", 0.0)
            overrides.set(layer, "call", ours)
            raise error

    with pytest.raises(error):
        fail()
    assert (layer.call(), layer.rate) == ("stock", 0.5)


def test_what_fails_halfway_while_setting_leaves_nothing_behind(layer: Layer) -> None:
    """What was set before the failure is put back."""

    class Frozen:
        def __setattr__(self, name: str, value: Any) -> None:
            raise AttributeError(name)

    def set_rates() -> None:
        with Overrides() as overrides:
            for owner in (layer, Frozen()):
                overrides.set(owner, "rate", 0.0)

    with pytest.raises(AttributeError, match="rate"):
        set_rates()
    assert layer.rate == 0.5


def test_one_step_back_that_fails_keeps_no_other_from_being_taken(layer: Layer) -> None:
    """The error still comes out."""
    other = SimpleNamespace(rate=0.5)

    def set_rates() -> None:
        with Overrides() as overrides:
            overrides.set(other, "rate", 0.0)
            overrides.callback(delattr, layer, "note")
            overrides.set(layer, "rate", 0.0)

    with pytest.raises(AttributeError, match="note"):
        set_rates()
    assert (other.rate, layer.rate) == (0.5, 0.5)


def test_variables_get_their_values_back() -> None:
    """Of TensorFlow, whatever was assigned within."""
    import tensorflow as tf

    mean, variance = tf.Variable([1.0, 2.0]), tf.Variable([3.0, 4.0])
    with Overrides() as overrides:
        overrides.keep([mean, variance])
        mean.assign([0.0, 0.0])
        variance.assign_add([1.0, 1.0])
    np.testing.assert_array_equal([mean.numpy(), variance.numpy()], [[1.0, 2.0], [3.0, 4.0]])


def test_what_went_well_may_stand(layer: Layer) -> None:
    """``pop_all`` keeps what was set."""
    with Overrides() as overrides:
        overrides.set(layer, "rate", 0.0)
        overrides.pop_all()
    assert layer.rate == 0.0


def test_the_calls_of_a_layer_of_keras_nest() -> None:
    """A sweep within a training step sees its own calls and gives the layer back."""
    import tf_keras

    from slim2keras.batch_norm.kernels import explicit_modes, observed_inputs
    from slim2keras.batch_norm.modes import BatchNormMode

    layer = tf_keras.layers.BatchNormalization(name="net/BatchNorm")
    images = np.random.RandomState(0).standard_normal((4, 3, 3, 2)).astype("float32")
    stock = layer(images, training=True).numpy()
    with explicit_modes([layer], {layer.name: BatchNormMode.UPDATE}) as batches:
        with observed_inputs([layer]) as moments:
            layer(images, training=True)
        assert not batches
        layer(images, training=True)
    assert list(moments) == [layer.name]
    assert len(batches) == 1
    assert "call" not in vars(layer)
    np.testing.assert_array_equal(layer(images, training=True).numpy(), stock)


def test_a_class_method_stays_one_of_subclasses() -> None:
    """What is put back is no method bound to the class that it was taken from."""

    class Base:
        @classmethod
        def name(cls) -> str:
            return cls.__name__

    class Child(Base):
        pass

    with Overrides() as overrides:
        overrides.set(Base, "name", "other")
    assert Child.name() == "Child"


def test_what_threads_share_is_overridden_by_one_at_a_time() -> None:
    """The second would put back what the first had set; one thread may do so within itself."""
    shared, second_is_within = SimpleNamespace(value="stock"), threading.Event()

    def second() -> None:
        with process_overrides() as overrides:
            second_is_within.set()
            overrides.set(shared, "value", "second")

    with ThreadPoolExecutor(1) as threads:
        with process_overrides() as overrides, process_overrides():
            overrides.set(shared, "value", "first")
            waiting = threads.submit(second)
            assert not second_is_within.wait(0.1)
        waiting.result(10)
    assert shared.value == "stock"
