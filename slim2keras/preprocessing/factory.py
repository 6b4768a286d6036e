"""slim's ``preprocessing_factory``: the pipeline of a network, and images prepared by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slim2keras.errors import UnsupportedArgumentError, did_you_mean
from slim2keras.graphs.network import Network
from slim2keras.models.networks import find_network
from slim2keras.nets import NETS
from slim2keras.nets.spec import NetSpec
from slim2keras.preprocessing.options import PreprocessingOptions
from slim2keras.preprocessing.pipeline import Pipeline
from slim2keras.preprocessing.pipelines import PIPELINES

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras


def preprocess(  # noqa: PLR0913  what may be asked of an image
    images: Any,
    network: tf_keras.Model | Network | str,
    *,
    height: int | None = None,
    width: int | None = None,
    training: bool = False,
    seed: Any = None,
    options: PreprocessingOptions = PreprocessingOptions(),  # noqa: B008  frozen
) -> tf.Tensor:
    """Prepare images for a network as slim does; also within ``tf.function`` and ``Dataset.map``.

    Args:
        images: uint8, 0 to 255, RGB: one image, (any height, any width, channels), or a batch of images of one size,
            (batch, any height, any width, channels). Frames of a video are a batch. Other types are refused: slim's
            pipelines take floats for pixels of 0 to 1 in one place and for pixels of 0 to 255 in the next.
        network: Model of ``build``, ``convert`` or ``finetune``, or its network; name of a network
            (``"resnet_v1_50"``); or key of a pipeline (``"inception"``, see ``PIPELINES``), for a checkpoint that wants
            another than its network does.
        height: Pixels of the result; those that the network wants if left out. A pipeline has none of its own.
        width: The same.
        training: Distort images at random, as slim does when it trains, and not as when it evaluates.
        seed: Of training: two integers, (2,), a tensor of them in a graph. The same seed distorts an image in the same
            way; each image of a batch has its own of it, or gets what is given, (batch, 2). Frames of one video take
            the same for all.
        options: Of slim's pipelines, such as ``use_grayscale``.

    Returns:
        float32, (height, width, channels) or (batch, height, width, channels).

    Raises:
        UnsupportedArgumentError: If the images are not uint8 of rank 3 or 4, the network is unknown or has no size, the
            pipeline does not take an option or so many channels, or training has no seed, or evaluation one.

    Examples:
        >>> image = tf.io.decode_jpeg(tf.io.read_file("photos/rose.jpg"), channels=3)
        >>> slim2keras.preprocessing.preprocess(image, "resnet_v1_50").shape
        TensorShape([224, 224, 3])
        >>> seeds = tf.data.Dataset.random(seed=1).batch(2)
        >>> distorted = tf.data.Dataset.zip(tf.data.Dataset.from_tensors(image), seeds).map(
        ...     lambda image, seed: slim2keras.preprocessing.preprocess(image, "vgg_16", training=True, seed=seed)
        ... )
    """
    pipeline, size = _pipeline_and_size(network)
    height, width = height or size[0], width or size[1]
    if height is None or width is None:
        raise UnsupportedArgumentError(
            f"The pipeline {network!r} has no size of its own. Give height=... and width=..., or a network."
        )
    images = _checked_images(images)
    pipeline.check(images.shape[-1], options)
    if not training:
        if seed is not None:
            raise UnsupportedArgumentError("seed is for training=True: evaluation leaves nothing to chance.")
        return _one_or_each(lambda image: pipeline.evaluate(image, height, width, options), images)

    def distorted(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return pipeline.apply(image, pipeline.draw(seed, _shape(image), height, width, options), height, width, options)

    return _one_or_each(distorted, images, _seeds_of(images, seed))


def _checked_images(images: Any) -> tf.Tensor:
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8 or images.shape.rank not in (3, 4):
        raise UnsupportedArgumentError(
            "images must be uint8, 0 to 255, (height, width, channels) or (batch, height, width, channels), as "
            f"tf.io.decode_image(..., expand_animations=False) gives them. Received: {images.dtype.name}, "
            f"{images.shape}. Pixels of 0 to 255 in another type: tf.cast(images, tf.uint8); of 0 to 1: "
            "tf.image.convert_image_dtype(images, tf.uint8, saturate=True). What is preprocessed already needs nothing."
        )
    return images


def _seeds_of(images: tf.Tensor, seed: Any) -> tf.Tensor:
    """The seed of an image, or those of a batch: one folded with the number of each image, or as they are given."""
    import tensorflow as tf

    seeds = None if seed is None else tf.convert_to_tensor(seed)
    ranks = (1,) if images.shape.rank == _IMAGE_RANK else (1, 2)
    if seeds is None or not seeds.dtype.is_integer or seeds.shape.rank not in ranks or seeds.shape[-1] not in (2, None):
        raise UnsupportedArgumentError(
            "training=True distorts at random, and needs seed=..., two integers, such as (1, 0); for a batch also two "
            f"for each image, (batch, 2). Received: {seed!r}."
        )
    if images.shape.rank == _IMAGE_RANK or seeds.shape.rank == ranks[-1]:
        return seeds
    numbers = tf.range(tf.shape(images)[0], dtype=tf.int32)
    return tf.map_fn(lambda number: tf.random.fold_in(seeds, number), numbers, fn_output_signature=seeds.dtype)


_IMAGE_RANK = 3


def _one_or_each(prepare: Callable[..., tf.Tensor], images: tf.Tensor, *seeds: tf.Tensor) -> tf.Tensor:
    """One image prepared, or each of a batch."""
    import tensorflow as tf

    if images.shape.rank == _IMAGE_RANK:
        return prepare(images, *seeds)
    as_it_is = tf.autograph.experimental.do_not_convert(lambda elements: prepare(*elements))
    return tf.map_fn(as_it_is, (images, *seeds), fn_output_signature=tf.float32)


def _shape(image: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.shape(image)


def _pipeline_and_size(network: Any) -> tuple[Pipeline, tuple[int | None, int | None]]:
    """Pipeline of a model, of a network by name, or by its own; and the size of the images, if there is one."""
    if not isinstance(network, str):
        known = network if isinstance(network, Network) else find_network(network)
        if known is None or known.preprocessing not in PIPELINES:
            raise UnsupportedArgumentError(
                f"What {getattr(network, 'name', network)} wants cannot be told: "
                f"{UNKNOWN_PIPELINE if known else 'it is not a network of slim2keras'}. "
                'Give the name of the network below it, such as "resnet_v1_50", with height=... and width=... if its '
                "images are of another size."
            )
        return pipeline_of(known), known.image_size
    if network in NETS:
        spec = NetSpec.make(network, None, {})
        return pipeline_of(spec), spec.image_size
    if network in PIPELINES:
        return PIPELINES[network], (None, None)
    raise UnsupportedArgumentError(
        f"There is no network and no pipeline {network!r}.{did_you_mean(network, [*NETS, *PIPELINES])} Pipelines are "
        f"{', '.join(PIPELINES)}; networks: slim2keras.list_nets()."
    )


def pipeline_named(name: str) -> str:
    """Key in ``PIPELINES`` for slim's flag ``preprocessing_name``: a pipeline, or a network, which stands for its own.

    Raises:
        UnsupportedArgumentError: If there is neither.
    """
    _pipeline_and_size(name)
    return name if name in PIPELINES else NETS[name].preprocessing


UNKNOWN_PIPELINE = "nothing says how its images are preprocessed"


def pipeline_of(network: Network) -> Pipeline:
    """The pipeline that a network wants: that of the published checkpoint which it comes from, else its own.

    Raises:
        UnsupportedArgumentError: If nobody knows.
    """
    if network.preprocessing not in PIPELINES:
        raise UnsupportedArgumentError(f"{network.name}: {UNKNOWN_PIPELINE}. Give images that are, as .npz.")
    return PIPELINES[network.preprocessing]


def preprocessing_meaning(
    network: Network,
    options: PreprocessingOptions = PreprocessingOptions(),  # noqa: B008  frozen
) -> str | None:
    """What a network wants of its images, in words; ``None`` if nobody knows."""
    if network.preprocessing not in PIPELINES:
        return None
    return PIPELINES[network.preprocessing].describe(*network.image_size, options=options)
