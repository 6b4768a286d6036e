"""What may be asked of a model that goes to another runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral
from pathlib import Path
from typing import Any

from slim2keras.errors import UnsupportedArgumentError, did_you_mean

KERAS_VERSIONS = (2, 3)
BATCH_NORM_LAYERS = ("keras", "slim")
QUANTIZATIONS = ("float16", "dynamic", "int8")
SIGNATURES = ("raw", "images", "bytes")

_PATHS = ("data", "labels")


@dataclass(frozen=True)
class DeploymentOptions:
    """What may be asked of a model that goes to another runtime.

    Attributes:
        keras: Which Keras a ``.keras`` is for: 2 is tf_keras.
        batch_norm_layer: Of Keras 3: its own, ``"keras"``, or ``"slim"``, whose moving variance is slim's in training.
        fold_batch_norm: Fold BatchNorm into the layer before it; for inference only.
        quantize: Of TFLite: ``"float16"``, ``"dynamic"`` or ``"int8"``; ``None`` stays in float32.
        data: Images that represent what will come, for ``"int8"``, and on which the file is compared with the model.
        split: Of ``data``.
        opset: Of ONNX, tf2onnx's own if left out.
        signature: Of a SavedModel that TensorFlow alone serves: ``"raw"`` takes what the network takes, ``"images"``
            uint8 images of any size, ``"bytes"`` encoded files. ``None`` is a SavedModel of tf_keras.
        labels: Names of the classes, lines ``0:daisy``; those of a RUN if left out.
        image_size: Height and width of the images, pixels, where they are not the network's, or are to be fixed.
        preprocessing_name: A network whose preprocessing is taken, or a pipeline.

    Raises:
        UnsupportedArgumentError: If a value is not among those that there are, or is of another type, or there is a
            split and no data.

    Examples:
        >>> from slim2keras.deployment.options import DeploymentOptions
        >>> DeploymentOptions(quantize="int8", data="flowers/").chosen()
        ['quantize', 'data']
    """

    keras: int = 2
    batch_norm_layer: str = "keras"
    fold_batch_norm: bool = False
    quantize: str | None = None
    data: Path | None = None
    split: str | None = None
    opset: int | None = None
    signature: str | None = None
    labels: Path | None = None
    image_size: tuple[int, int] | None = None
    preprocessing_name: str | None = None

    def __post_init__(self) -> None:
        allowed = {
            "keras": KERAS_VERSIONS,
            "batch_norm_layer": BATCH_NORM_LAYERS,
            "quantize": (None, *QUANTIZATIONS),
            "signature": (None, *SIGNATURES),
        }
        for name, values in allowed.items():
            given = getattr(self, name)
            if given not in values:
                known = ", ".join(str(value) for value in values if value is not None)
                raise UnsupportedArgumentError(f"{name} must be one of {known}. Received: {name}={given!r}")
        if self.split is not None and self.data is None:
            raise UnsupportedArgumentError(f"split is of data: give data too (--data). Received: split={self.split!r}")
        if self.opset is not None and not isinstance(self.opset, Integral):
            raise UnsupportedArgumentError(f"opset must be a whole number. Received: opset={self.opset!r}")
        if self.image_size is not None and not _is_size(self.image_size):
            raise UnsupportedArgumentError(
                f"image_size must be (height, width) in pixels. Received: image_size={self.image_size!r}"
            )
        for name in _PATHS:
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else Path(given))

    def with_settings(self, settings: Mapping[str, Any]) -> DeploymentOptions:
        """The same with other values of some options, by name.

        Raises:
            UnsupportedArgumentError: If there is no such option, or it cannot have that value.
        """
        names = [item.name for item in fields(self)]
        for name in settings:
            if name not in names:
                raise UnsupportedArgumentError(f"deploy has no option {name!r}.{did_you_mean(name, names)}")
        return replace(self, **settings)

    def chosen(self) -> list[str]:
        """Names of what differs from its default."""
        return [item.name for item in fields(self) if getattr(self, item.name) != item.default]


def _is_size(given: Any) -> bool:
    return (
        isinstance(given, Sequence)
        and len(given) == 2
        and all(isinstance(side, Integral) and int(side) > 0 for side in given)
    )
