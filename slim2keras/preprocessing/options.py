"""What may be chosen of slim's pipelines, and what an image shall become."""

from __future__ import annotations

from dataclasses import dataclass, fields

from slim2keras.errors import UnsupportedArgumentError


@dataclass(frozen=True)
class PreprocessingOptions:
    """The arguments of slim's ``preprocess_image``, by its names and with its defaults, and facenet's.

    A pipeline refuses what it does not take: ``PIPELINES[name].takes`` says what it does.

    Attributes:
        fast_mode: Of inception in training: bilinear resizing, brightness and saturation alone. Without it, one of four
            ways to resize, and brightness, saturation, hue and contrast in one of four orders, drawn for each image.
        crop_image: Of inception: distorted crop in training, central crop in evaluation. Without it the whole image is
            resized. Of facenet, in training: random crop (facenet's ``random_crop``); without it the central one.
        use_grayscale: One grey channel comes out, of images of three channels or one.
        resize_side_min: Of vgg and densenet: the shortest side, pixels, that the smaller side of an image is resized to
            in training, and the side in evaluation. Where the network's images are larger than that, it is their larger
            side; slim refuses to crop there, or crops what is not there.
        resize_side_max: The longest one, in training; it grows with ``resize_side_min``.
        random_flip: Of facenet: flip left and right at random in training. Slim's other pipelines always do, lenet
            never.
        random_rotate: Of facenet: rotate by -10 to 10 degrees in training.

    Raises:
        UnsupportedArgumentError: If a side is not positive, or the longest is shorter than the shortest.

    Examples:
        >>> image = np.zeros((40, 40, 3), "uint8")
        >>> whole = slim2keras.preprocessing.PreprocessingOptions(crop_image=False)
        >>> slim2keras.preprocessing.preprocess(image, "inception_v1", options=whole).shape
        TensorShape([224, 224, 3])
    """

    fast_mode: bool = True
    crop_image: bool = True
    use_grayscale: bool = False
    resize_side_min: int = 256
    resize_side_max: int = 512
    random_flip: bool = True
    random_rotate: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.resize_side_min <= self.resize_side_max:
            raise UnsupportedArgumentError(
                "resize_side_min must be positive, and resize_side_max no smaller. Received: "
                f"resize_side_min={self.resize_side_min}, resize_side_max={self.resize_side_max}."
            )

    def chosen(self) -> list[str]:
        """Names of what differs from its default."""
        return [item.name for item in fields(self) if getattr(self, item.name) != item.default]

    def decoded_channels(self, channels: int) -> int:
        """Channels to decode an image file with, for a network that takes ``channels``: grey is made of colours.

        Raises:
            UnsupportedArgumentError: If grey is wanted, and the network takes more than one channel.
        """
        if self.use_grayscale and channels != 1:
            raise UnsupportedArgumentError(
                f"use_grayscale makes images of one channel, and the network takes {channels} channels. Leave it out, "
                "or use a network with one."
            )
        return 3 if self.use_grayscale else channels


@dataclass(frozen=True)
class Target:
    """What an image shall become.

    Attributes:
        height: Rows of pixels.
        width: Columns of pixels.
        options: By which options.
    """

    height: int
    width: int
    options: PreprocessingOptions

    @property
    def sides(self) -> tuple[int, int]:
        """Shortest and longest side to resize to, pixels: the image fits into both, and their ratio is the options'."""
        shortest = max(self.options.resize_side_min, self.height, self.width)
        return shortest, shortest * self.options.resize_side_max // self.options.resize_side_min
