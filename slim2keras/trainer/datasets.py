"""The batches of a training, and of its validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slim2keras.data.batches import Reading, check_fit, training_batches
from slim2keras.data.examples import Examples
from slim2keras.data.images import ImageBatches
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


def training_dataset(training: Training, first_step: int) -> Any:
    """Endless batches from a step on, a step's micro-batches in one, as ``fit`` takes them."""
    request, images = training.request, training.images
    options = request.images

    def of_worker(worker: int, workers: int) -> tf.data.Dataset:
        return training_batches(
            images.training,
            training.network,
            training.steps.batch_size,
            seed=request.loop.seed,
            first_step=first_step,
            class_weights=images.class_weights() if options.class_weights == BALANCED else None,
            slices=(worker, workers),
            shuffle=options.shuffle,
            augment=options.augment,
            reading=reading_of(options),
        )

    return training.team.shared(of_worker, training.steps.batch_size)


def evaluation_images(training: Training, examples: Examples, shuffle_seed: int | None = None) -> ImageBatches:
    """Each image once, preprocessed as in evaluation; workers may share them."""
    options = training.request.images
    return ImageBatches(examples, training.network, options.batch_size, shuffle_seed, reading_of(options))
