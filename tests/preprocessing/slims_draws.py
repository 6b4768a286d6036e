"""slim's own training pipelines on today's TensorFlow, and what each drew when it ran."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from slim2keras.preprocessing.options import PreprocessingOptions
from slim2keras.slim.runtime import import_tf_slim

SLIM_NAMES = {"inception": ("fast_mode", "crop_image"), "vgg": ("resize_side_min", "resize_side_max")}
"""Options that slim's functions take, besides grey."""


COLOURS = {name[0]: name for name in ("brightness", "saturation", "hue", "contrast")}

ORDERS = ("bshc", "sbch", "chbs", "hscb")
"""In which slow mode changes colours, by their initials."""


class SlimPipeline:
    """A pipeline of research/slim, in a graph whose random ops are fetched with the image."""

    def __init__(self, name: str, size: tuple[int, int], options: PreprocessingOptions) -> None:
        import_tf_slim()
        import tensorflow as tf

        module = importlib.import_module(f"preprocessing.{name}_preprocessing")
        taken = {key: getattr(options, key) for key in SLIM_NAMES.get(name, ())}
        self.name, self.size, self.options = name, size, options
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.image = tf.compat.v1.placeholder(tf.uint8, (None, None, 3))
            self.prepared = module.preprocess_image(
                self.image, *size, is_training=True, use_grayscale=options.use_grayscale, **taken
            )
        self.session = tf.compat.v1.Session(graph=self.graph)
        self.random = _outputs_of_random_ops(self.graph)

    def run(self, image: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """An image as slim prepares it, and the draws, by our names."""
        theirs, random = self.session.run((self.prepared, self.random), {self.image: image})
        return theirs, getattr(self, f"_{self.name}")(image.shape, random)

    def _lenet(self, shape: tuple[int, ...], random: list[Any]) -> dict[str, Any]:
        assert not random
        return {}

    def _vgg(self, shape: tuple[int, ...], random: list[Any]) -> dict[str, Any]:
        side, top, left, flip = random
        drawn = {"side": side, "corner": np.stack([top, left]), "flip": flip < np.float32(0.5)}
        return {**drawn, **whole(shape)}

    def _cifarnet(self, shape: tuple[int, ...], random: list[Any]) -> dict[str, Any]:
        offset, flip, brightness, contrast = random
        top, left = (offset[axis] % (shape[axis] + 8 - self.size[axis] + 1) for axis in (0, 1))
        corner = {"top": top, "left": left, "flip": flip < np.float32(0.5)}
        return {**corner, "brightness": brightness, "contrast": contrast}

    def _inception(self, shape: tuple[int, ...], random: list[Any]) -> dict[str, Any]:
        draws = {}
        if self.options.crop_image:
            begin, size, *random = random
            draws["window"] = np.concatenate([begin[:2], size[:2]])
        method, flip, order, *colours = random
        draws["flip"] = flip < np.float32(0.5)
        if self.options.fast_mode:
            return {**draws, **dict(zip(("brightness", "saturation"), colours, strict=True))}
        names = [COLOURS[initial] for initial in ORDERS[order]]
        of_order = zip(names, colours[4 * order : 4 * order + 4], strict=True)
        return {**draws, **dict(of_order), "method": method, "order": order}


def whole(shape: tuple[int, ...]) -> dict[str, Any]:
    """Draws of a pipeline that looks at a window of an image: all of it."""
    return {"size": np.array(shape[:2], "int32"), "window": np.array((0, 0, *shape[:2]), "int32")}


def _outputs_of_random_ops(graph: Any) -> list[Any]:
    """In the order in which they were made: integers, boxes, and floats where they have their range already."""
    outputs, names = [], {op.name for op in graph.get_operations()}
    for op in graph.get_operations():
        if op.type == "SampleDistortedBoundingBoxV2":
            outputs += op.outputs[:2]
        elif op.type == "RandomUniformInt":
            outputs.append(op.outputs[0])
        elif op.type == "RandomUniform":
            ranged = op.name.rpartition("/")[0]
            outputs.append(graph.get_tensor_by_name(f"{ranged if ranged in names else op.name}:0"))
    return outputs
