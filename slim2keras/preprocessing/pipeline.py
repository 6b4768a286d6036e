"""What a pipeline is: what becomes of an image in evaluation and in training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from slim2keras.errors import UnsupportedArgumentError
from slim2keras.preprocessing.options import PreprocessingOptions, Target
from slim2keras.preprocessing.pixels import cut

if TYPE_CHECKING:
    import tensorflow as tf

Draws: TypeAlias = "Mapping[str, tf.Tensor]"
"""What is random about one image, by name."""

WINDOW = "window"
"""The draw that says which part of an image is looked at: top, left, height and width, int32, (4,)."""

_DEFAULTS = PreprocessingOptions()


def draw_nothing(seed: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, target: Target) -> Draws:
    """The draws of a pipeline that leaves nothing to chance."""
    del seed, rows, columns, target
    return {}


@dataclass(frozen=True)
class Pixels:
    """How a pixel of 0 to 255 becomes a value: ``(pixel - mean) * scale``.

    Attributes:
        mean: Of each channel, or one for all of them.
        scale: Of all channels.
    """

    mean: tuple[float, ...]
    scale: float


@dataclass(frozen=True)
class Pipeline:
    """What becomes of an image before a network sees it.

    Attributes:
        name: Key of slim's ``preprocessing_factory``, or of its original's own.
        value_range: Smallest and largest value that comes out, ``None`` where that depends on the image.
        steps: What is done in evaluation, in words, of options; ``{size}`` stands for the size of the network's images,
            ``{shortest}`` and ``{longest}`` for the sides that they are resized to.
        training_steps: The same in training.
        takes: Names of the options that it has.
        prepare: Evaluates: image, uint8, (any height, any width, channels), and target to (height, width, channels).
        draw_numbers: Seed, rows and columns of an image, and target, to what is random about it in training.
        distort: Trains: image, or the window of it that was drawn, draws and target to (height, width, channels).
        geometry: Which part of an image is looked at in evaluation, and how it gets its size; by what TensorFlow calls
            it, ``{"central_fraction": 0.875, "resize": "bilinear"}``.
        pixels: What becomes of a pixel, ``None`` where that depends on the image.
        channels: The only number of channels that it takes, ``None`` if it takes any.
    """

    name: str
    value_range: tuple[float, float] | None
    steps: Callable[[PreprocessingOptions], str]
    training_steps: Callable[[PreprocessingOptions], str]
    takes: frozenset[str]
    prepare: Callable[[tf.Tensor, Target], tf.Tensor]
    draw_numbers: Callable[[tf.Tensor, tf.Tensor, tf.Tensor, Target], Draws]
    distort: Callable[[tf.Tensor, Draws, Target], tf.Tensor]
    geometry: Mapping[str, Any]
    pixels: Pixels | None
    channels: int | None = None

    def describe(
        self,
        height: int | None,
        width: int | None,
        *,
        training: bool = False,
        options: PreprocessingOptions = _DEFAULTS,
    ) -> str:
        """What it means, in one sentence: values, crop, size."""
        values = "of mean 0 and deviation 1, each image by itself"
        if self.value_range is not None:
            values = "in [{:.6g}, {:.6g}]".format(*self.value_range)
        size = f"{height or 'any'} x {width or 'any'}"
        grey = ", in grey" if options.use_grayscale else ""
        shortest, longest = Target(height or 0, width or 0, options).sides
        steps = self.training_steps(options) if training else self.steps(options)
        return f"{self.name}: float32 {values}{grey}, {steps.format(size=size, shortest=shortest, longest=longest)}"

    def evaluate(
        self, image: tf.Tensor, height: int, width: int, options: PreprocessingOptions = _DEFAULTS
    ) -> tf.Tensor:
        """Prepare an image as in evaluation.

        Args:
            image: uint8, (any height, any width, channels).
            height: Pixels of the result.
            width: The same.
            options: Of which those of evaluation count.

        Returns:
            float32, (height, width, channels).

        Raises:
            UnsupportedArgumentError: If the pipeline does not take an option, or not so many channels.
        """
        target = self._target(image, height, width, options)
        return _shaped(self.prepare(image, target), target, image)

    def draw(
        self, seed: Any, image_shape: Any, height: int, width: int, options: PreprocessingOptions = _DEFAULTS
    ) -> Draws:
        """Draw what is random about one image in training; the same for the same seed.

        Args:
            seed: Two integers, (2,).
            image_shape: Rows and columns of the image, and more, which is not looked at; int32, (2,) or (3,).
            height: Pixels of the result.
            width: The same.
            options: What shall be random.

        Returns:
            Scalars, and ``"window"`` if ``apply`` will look at no more than this part of the image: top, left, height
            and width, as ``tf.image.decode_and_crop_jpeg`` wants it.
        """
        import tensorflow as tf

        shape = tf.cast(image_shape, tf.int32)
        return self.draw_numbers(tf.convert_to_tensor(seed), shape[0], shape[1], Target(height, width, options))

    def apply(
        self, image: tf.Tensor, draws: Draws, height: int, width: int, options: PreprocessingOptions = _DEFAULTS
    ) -> tf.Tensor:
        """Prepare an image as in training, with what was drawn for it. Nothing is random any more.

        Args:
            image: uint8, (rows, columns, channels), of the shape that the draws are for. Colours are distorted of the
                first three channels, and the others left as they are; where there are not three, the first one is grey,
                and its brightness and contrast are.
            draws: Of ``draw``, with the same height, width and options.
            height: Pixels of the result.
            width: The same.
            options: As drawn with.

        Returns:
            float32, (height, width, channels).

        Raises:
            UnsupportedArgumentError: If the pipeline does not take an option, or not so many channels.
        """
        part = cut(image, draws[WINDOW]) if WINDOW in draws else image
        return self.apply_to_window(part, draws, height, width, options)

    def apply_to_window(
        self, part: tf.Tensor, draws: Draws, height: int, width: int, options: PreprocessingOptions = _DEFAULTS
    ) -> tf.Tensor:
        """``apply``, of an image of which no more than the window was decoded, if there is a window."""
        target = self._target(part, height, width, options)
        return _shaped(self.distort(part, draws, target), target, part)

    def check(self, channels: int | None, options: PreprocessingOptions = _DEFAULTS) -> None:
        """Look whether the pipeline has the options, and takes images of so many channels, ``None`` if that is unknown.

        ``Dataset.map`` and ``tf.map_fn`` turn an error into one of another class: look before.

        Raises:
            UnsupportedArgumentError: If not.
        """
        unknown = [name for name in options.chosen() if name not in self.takes]
        if unknown:
            raise UnsupportedArgumentError(
                f"{self.name} has no {', '.join(unknown)}: it takes {', '.join(sorted(self.takes))}. Leave that out, "
                "or name a pipeline that takes it."
            )
        if options.use_grayscale and channels not in (1, 3, None):
            raise UnsupportedArgumentError(
                f"use_grayscale takes images of three channels, or one. Received: {channels} channels."
            )
        if not options.use_grayscale and self.channels and channels not in (self.channels, None):
            raise UnsupportedArgumentError(
                f"{self.name} subtracts a mean colour of three channels. Received: {channels} channels. Of grey images "
                "tf.image.grayscale_to_rgb(images) makes three, if the network takes three; use_grayscale subtracts "
                "the grey of that colour, if it takes one; else give images that are preprocessed, as .npz."
            )

    def _target(self, image: tf.Tensor, height: int, width: int, options: PreprocessingOptions) -> Target:
        self.check(image.shape[-1], options)
        return Target(height, width, options)


def _shaped(prepared: tf.Tensor, target: Target, image: tf.Tensor) -> tf.Tensor:
    """With the shape that is known of it."""
    channels = 1 if target.options.use_grayscale else image.shape[-1]
    prepared.set_shape((target.height, target.width, channels))
    return prepared
