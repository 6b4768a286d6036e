"""The batches of a training, and of its validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slim2keras.data.batches import Reading, check_fit, evaluation_batches, training_batches
from slim2keras.data.examples import Examples
from slim2keras.errors import UnsupportedArgumentError
from slim2keras.preprocessing.factory import UNKNOWN_PIPELINE, preprocessing_meaning
from slim2keras.preprocessing.options import PreprocessingOptions
from slim2keras.trainer.preparing import Training
from slim2keras.trainer.request import BALANCED, DataOptions

if TYPE_CHECKING:
    import tensorflow as tf


def reading_of(options: DataOptions) -> Reading:
    """How the images are read."""
    chosen = PreprocessingOptions(options.fast_mode, options.crop_image, options.use_grayscale)
    return Reading(chosen, workers=options.workers, exif_orientation=options.exif_orientation)


def check_images_fit(training: Training) -> None:
    """Check before the first step that the images can be read for the network.

    Raises:
        UnsupportedArgumentError: If nobody knows how they are preprocessed.
        DataReadError: If they have another size or number of channels.
    """
    network, images = training.network, training.images
    for examples in (images.training, images.validation):
        if not examples.source.is_prepared and preprocessing_meaning(network) is None:
            raise UnsupportedArgumentError(
                f"{network.name}: {UNKNOWN_PIPELINE}. Say it, preprocessing_name (command line: --preprocessing-name, "
                "a network whose preprocessing it is); or give images that are, as .npz."
            )
        check_fit(examples, network, reading_of(training.request.images))


def training_dataset(training: Training, first_step: int) -> tf.data.Dataset:
    """Endless batches from a step on, a step's micro-batches in one."""
    request, images = training.request, training.images
    options = request.images
    return training_batches(
        images.training,
        training.network,
        training.steps.batch_size,
        seed=request.loop.seed,
        first_step=first_step,
        class_weights=images.class_weights() if options.class_weights == BALANCED else None,
        slices=training.workplace.slices,
        shuffle=options.shuffle,
        augment=options.augment,
        reading=reading_of(options),
    )


def evaluation_dataset(training: Training, examples: Examples, shuffle_seed: int | None = None) -> tf.data.Dataset:
    """Each image once, preprocessed as in evaluation."""
    options = training.request.images
    return evaluation_batches(
        examples, training.network, options.batch_size, shuffle_seed=shuffle_seed, reading=reading_of(options)
    )
