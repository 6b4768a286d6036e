"""Batches: always in the same order, resumable at any step, shared by workers, each image once in evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.data.batches import Reading, evaluation_batches, training_batches
from slim2keras.data.examples import Examples
from slim2keras.data.listing import list_for_network
from slim2keras.data.order import TrainingOrder
from slim2keras.errors import DataReadError, UnsupportedArgumentError
from slim2keras.nets.spec import NetSpec
from slim2keras.preprocessing import PreprocessingOptions, preprocess
from tests.data.files import SPEC, write_classes, write_flowers, write_image

CIFARNET = NetSpec.make("cifarnet", (32, 32, 3), {"num_classes": 3})

INCEPTION = NetSpec.make("inception_v1", (32, 32, 3), {"num_classes": 3})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_classes(tmp_path_factory.mktemp("classes"), "abc", 4)
    write_image(folder / "a" / "photo.jpg", (90, 120, 30), (50, 70))
    return folder


@pytest.fixture(scope="module")
def examples(folder: Path) -> Examples:
    return list_for_network(folder, INCEPTION)


def taken(dataset: Any, count: int) -> list[tuple[np.ndarray, ...]]:
    return [tuple(part.numpy() for part in batch) for batch in dataset.take(count)]


def assert_same(ours: list[Any], theirs: list[Any]) -> None:
    assert len(ours) == len(theirs)
    for batch, other in zip(ours, theirs, strict=True):
        for part, its in zip(batch, other, strict=True):
            np.testing.assert_array_equal(part, its)


def test_an_epoch_has_every_image_once() -> None:
    """Batches run across epochs, so that all are full; each epoch has another order."""
    order = TrainingOrder(10, 4, seed=3)
    chosen = np.concatenate([order.batch(step)[0] for step in range(10)])
    epochs = chosen.reshape(4, 10)
    assert all(sorted(epoch) == [*range(10)] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    np.testing.assert_array_equal(np.concatenate([order.batch(step)[1] for step in range(10)]), np.arange(40))


@pytest.mark.parametrize("count", [1, 2, 7, 13])
@pytest.mark.parametrize("batch_size", [1, 3, 13, 40])
def test_a_batch_is_a_function_of_seed_and_step(count: int, batch_size: int) -> None:
    """Smaller than an epoch, as large, or larger than some; whichever was asked for before, and whoever shares it."""
    order = TrainingOrder(count, batch_size, seed=2**40)
    stream = np.concatenate([order.batch(step)[0] for step in range(4 * count)])
    for epoch in stream.reshape(-1, count):
        assert sorted(epoch) == [*range(count)]
    for step in (3, 0, 4 * count - 1, 1):
        its = stream[step * batch_size : (step + 1) * batch_size]
        parts = [TrainingOrder(count, batch_size, 2**40, True, k, batch_size).batch(step)[0] for k in range(batch_size)]
        np.testing.assert_array_equal(TrainingOrder(count, batch_size, 2**40).batch(step)[0], its)
        np.testing.assert_array_equal(np.concatenate(parts), its)


def test_the_order_is_known_for_good() -> None:
    """Another NumPy or TensorFlow would resume a run with other images: these numbers must never change."""
    np.testing.assert_array_equal(TrainingOrder(8, 8, seed=5).batch(0)[0], [6, 7, 5, 2, 4, 3, 1, 0])
    np.testing.assert_array_equal(TrainingOrder(8, 8, seed=5).batch(1)[0], [1, 6, 2, 3, 4, 5, 7, 0])


@pytest.fixture(scope="module")
def batches(examples: Examples) -> list[tuple[np.ndarray, ...]]:
    """The first eight, which are three epochs and more."""
    return taken(training_batches(examples, CIFARNET, 6, seed=1), 8)


def test_the_same_seed_gives_the_same_batches(examples: Examples, batches: list[Any]) -> None:
    """Bit for bit, augmentation included, whatever the parallelism; another seed gives others."""
    assert_same(batches, taken(training_batches(examples, CIFARNET, 6, seed=1, reading=Reading(workers=1)), 8))
    other = taken(training_batches(examples, CIFARNET, 6, seed=2), 8)
    assert any((batch[1] != its[1]).any() for batch, its in zip(batches, other, strict=True))


def test_a_run_goes_on_where_it_was_stopped(examples: Examples, batches: list[Any]) -> None:
    """From step 4 on, where the second epoch ends in the middle, as if the steps before had been read."""
    assert_same(batches[4:], taken(training_batches(examples, CIFARNET, 6, seed=1, first_step=4), 4))


def test_a_late_step_begins_at_once(examples: Examples) -> None:
    """Nothing of what lies before is read, however much that is."""
    ((images, _),) = taken(training_batches(examples, CIFARNET, 4, first_step=10**12), 1)
    assert images.shape == (4, 32, 32, 3)


def test_workers_share_each_batch(examples: Examples, batches: list[Any]) -> None:
    """Their parts side by side are the batch of one worker."""
    parts = [taken(training_batches(examples, CIFARNET, 6, seed=1, slices=(k, 2)), 4) for k in range(2)]
    for step, batch in enumerate(batches[:4]):
        for number, part in enumerate(batch):
            np.testing.assert_array_equal(np.concatenate([its[step][number] for its in parts]), part)
    with pytest.raises(UnsupportedArgumentError, match="batch of 6 images cannot be shared by 4 workers"):
        training_batches(examples, CIFARNET, 6, slices=(0, 4))


def test_images_are_augmented_by_their_place(examples: Examples) -> None:
    """The pipeline of the network, seeded by (seed, place); a JPEG's too, of which only a part is decoded."""
    import tensorflow as tf

    order = TrainingOrder(len(examples), 13, seed=7)
    ((images, labels),) = taken(training_batches(examples, INCEPTION, 13, seed=7, first_step=1), 1)
    indices, places = order.batch(1)
    np.testing.assert_array_equal(labels, examples.labels[indices])
    (paths,) = examples.source.places
    for image, index, place in zip(images, indices, places, strict=True):
        pixels = tf.io.decode_image(tf.io.read_file(paths[index]), channels=3, expand_animations=False)
        expected = preprocess(pixels, INCEPTION, training=True, seed=tf.constant([7, place], tf.int64))
        np.testing.assert_allclose(image, expected, atol=1e-6)


def test_fixed_order_without_augmentation(examples: Examples) -> None:
    """What parity with slim is proved on: as listed, epoch after epoch, prepared as in evaluation."""
    ours = taken(training_batches(examples, SPEC, 13, shuffle=False, augment=False), 2)
    (every,) = taken(evaluation_batches(examples, SPEC, 13), 1)
    assert_same(ours, [every, every])
    np.testing.assert_array_equal(every[1], examples.labels)


def test_class_weights(examples: Examples) -> None:
    """The third component, of the class of each image."""
    (batch,) = taken(training_batches(examples, CIFARNET, 6, class_weights=[0.5, 1.0, 2.0]), 1)
    _, labels, weights = batch
    np.testing.assert_array_equal(weights, np.array([0.5, 1.0, 2.0], "float32")[labels])
    assert weights.dtype == np.float32


def test_evaluation_has_each_image_once(examples: Examples, folder: Path) -> None:
    """In the order listed, the last batch smaller; or shuffled by a seed."""
    batches = evaluation_batches(examples, SPEC, 5)
    assert int(batches.cardinality()) == 3
    parts = taken(batches, 9)
    assert [len(images) for images, _ in parts] == [5, 5, 3]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in parts]), examples.labels)
    shuffled = np.concatenate([labels for _, labels in taken(evaluation_batches(examples, SPEC, 5, shuffle_seed=0), 9)])
    np.testing.assert_array_equal(shuffled, examples.labels[np.random.RandomState(0).permutation(13)])
    unlabelled = list_for_network(folder, SPEC, labels=False)
    assert next(iter(evaluation_batches(unlabelled, SPEC, 4))).shape == (4, 32, 32, 3)


def test_records_and_files_give_the_same_batches(tmp_path: Path) -> None:
    """A network does not see which its images lay in."""
    records = list_for_network(write_flowers(tmp_path / "records", shards=1, images=6), CIFARNET, split="train")
    for k in range(6):
        write_image(tmp_path / "files" / "abc"[k % 3] / f"{k}.png", (k, 0, 0))
    files = list_for_network(tmp_path / "files", CIFARNET)
    files = files.subset([[name[2:] for name in files.names].index(f"{k}.png") for k in range(6)])
    assert_same(
        taken(training_batches(records, CIFARNET, 4, seed=1), 3),
        taken(training_batches(files, CIFARNET, 4, seed=1), 3),
    )


def test_raw_arrays_are_preprocessed_and_floats_are_not(tmp_path: Path) -> None:
    """uint8 goes through the network's pipeline; what is float32 went through it already."""
    pixels = np.random.RandomState(0).randint(0, 256, (4, 40, 50, 3)).astype("uint8")
    np.savez(tmp_path / "raw.npz", images=pixels, labels=[0, 1, 2, 0])
    ((images, _),) = evaluation_batches(list_for_network(tmp_path / "raw.npz", INCEPTION), INCEPTION, 4)
    np.testing.assert_allclose(images, preprocess(pixels, INCEPTION), atol=1e-6)
    np.savez(tmp_path / "done.npz", images=images.numpy(), labels=[0, 1, 2, 0])
    ((again, _),) = evaluation_batches(list_for_network(tmp_path / "done.npz", INCEPTION), INCEPTION, 4)
    np.testing.assert_array_equal(again, images)


def test_another_pipeline_and_its_options(examples: Examples) -> None:
    """slim's preprocessing_name and use_grayscale."""
    grey = NetSpec.make("lenet", (28, 28, 1), {"num_classes": 3})
    reading = Reading(PreprocessingOptions(use_grayscale=True), preprocessing="inception")
    ((images, _),) = taken(training_batches(examples, grey, 4, reading=reading), 1)
    assert images.shape == (4, 28, 28, 1)
    assert images.min() >= -1.0


def test_what_cannot_be(examples: Examples) -> None:
    """Told before the first batch."""
    with pytest.raises(DataReadError, match="nothing was left"):
        evaluation_batches(examples.subset([]), SPEC, 2)
    with pytest.raises(UnsupportedArgumentError, match="at least one image"):
        evaluation_batches(examples, SPEC, 0)
    with pytest.raises(UnsupportedArgumentError, match=r"each of the 3 classes\. Received: \(2,\)"):
        training_batches(examples, SPEC, 2, class_weights=[1.0, 2.0])
    with pytest.raises(UnsupportedArgumentError, match="A seed is 0 or more"):
        training_batches(examples, SPEC, 2, seed=-1)
    with pytest.raises(DataReadError, match="There are no labels, which training and accuracy need"):
        training_batches(Examples(examples.source, None), SPEC, 2)


def test_two_devices_train_on_what_one_does(examples: Examples, batches: list[Any]) -> None:
    """Under tf.distribute the replicas' parts are the batch of one device."""
    import tensorflow as tf

    devices = tf.config.list_logical_devices("CPU")
    strategy = tf.distribute.MirroredStrategy([devices[0].name])
    dataset = strategy.distribute_datasets_from_function(
        lambda context: training_batches(
            examples, CIFARNET, 6, seed=1, slices=(context.input_pipeline_id, context.num_input_pipelines)
        )
    )
    iterator = iter(dataset)
    ours = [tuple(part.numpy() for part in next(iterator)) for _ in range(3)]
    assert_same(ours, batches[:3])
