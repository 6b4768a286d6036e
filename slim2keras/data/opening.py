"""Data from a path to batches, in one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.data.batches import Reading, evaluation_batches, training_batches
from slim2keras.data.examples import check_for_training
from slim2keras.data.listing import list_for_network
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.graphs.network import Network
from slim2keras.models.networks import find_network
from slim2keras.preprocessing.options import PreprocessingOptions

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras


def open_dataset(
    path: str | Path,
    *,
    network: tf_keras.Model | Network,
    batch_size: int,
    split: str | None = None,
    training: bool = False,
    seed: int = 0,
    labels: bool = True,
    labels_offset: int = 0,
    skip_broken: bool = False,
    workers: int | None = None,
    exif_orientation: bool = False,
    options: PreprocessingOptions = PreprocessingOptions(),  # noqa: B008  frozen
) -> tf.data.Dataset:
    """Open images and labels as a ``tf.data.Dataset``, decoded and preprocessed in parallel, and prefetched.

    For training it is endless, shuffled and augmented as slim does, in an order that is a function of the seed alone
    (``fit`` wants ``steps_per_epoch``). Else each image comes once, in the order listed, the last batch smaller.

    Args:
        path: See ``data.listing.list_examples``.
        network: Model of ``build``, ``convert`` or ``finetune``, or its network: size, channels, classes and
            preprocessing.
        batch_size: Images a batch.
        split: ``"train"``, ``"validation"`` or ``"test"``, where the data has splits.
        training: Whether to shuffle and augment, without an end.
        seed: Of order and augmentation.
        labels: Whether labels are wanted.
        labels_offset: Taken off the numbers in the data; slim's flag.
        skip_broken: Leave images out that cannot be read; every image is decoded once for that.
        workers: Images that are prepared at once; ``None`` lets ``tf.data`` find out.
        exif_orientation: Turn images as their EXIF tag says; slim and TensorFlow ignore it.
        options: Of slim's pipelines, such as ``use_grayscale``.

    Raises:
        DataReadError: If nothing there can be read, or it does not fit the network.
        UnsupportedArgumentError: If the model is not one of slim2keras, or nobody knows its preprocessing.

    Examples:
        >>> model = slim2keras.build("lenet", num_classes=3)
        >>> flowers = slim2keras.data.open_dataset("flowers/", network=model, batch_size=32, training=True)
        >>> pixels, numbers = next(iter(flowers))
        >>> pixels.shape, numbers.shape
        (TensorShape([32, 28, 28, 1]), TensorShape([32]))
    """
    known = _known_network(network)
    reading = Reading(options, workers=workers, exif_orientation=exif_orientation)
    examples = list_for_network(
        path, known, split=split, labels=labels, labels_offset=labels_offset, skip_broken=skip_broken
    )
    if not training:
        return evaluation_batches(examples, known, batch_size, reading=reading)
    check_for_training(examples)
    return training_batches(examples, known, batch_size, seed=seed, reading=reading)


def _known_network(network: Any) -> Network:
    known = network if isinstance(network, Network) else find_network(network)
    if known is None:
        raise UnsupportedArgumentError(
            f"What {getattr(network, 'name', network)} wants of its images cannot be told: it is not a network of "
            "slim2keras."
        )
    return known
