"""Unusual numbers, and where they are: in the images, or in the values of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tests.numbers.steps import Values

Change = Callable[[Values, np.ndarray], tuple[Values, np.ndarray]]
LEAVES = {
    "kernel": "net/conv/weights",
    "gamma": "net/conv/BatchNorm/gamma",
    "beta": "net/conv/BatchNorm/beta",
    "moving mean": "net/conv/BatchNorm/moving_mean",
    "moving variance": "net/conv/BatchNorm/moving_variance",
}


def in_images(number: float) -> Change:
    """In one pixel of the first image."""

    def change(values: Values, images: np.ndarray) -> tuple[Values, np.ndarray]:
        changed = images.copy()
        changed[0, 2, 3, 1] = number
        return values, changed

    return change


def in_variable(name: str, number: float) -> Change:
    """In one of its values."""

    def change(values: Values, images: np.ndarray) -> tuple[Values, np.ndarray]:
        changed = values[LEAVES[name]].copy()
        changed.flat[1] = number
        return {**values, LEAVES[name]: changed}, images

    return change


def images_times(factor: float) -> Change:
    return lambda values, images: (values, (images * factor).astype("float32"))


CONDITIONS: Mapping[str, Change] = {
    "images: NaN": in_images(np.nan),
    "images: infinite": in_images(np.inf),
    "images: 1e38": in_images(1e38),
    "images: denormal, 1e-39": images_times(1e-39),
    "images: all 0": images_times(0.0),
    "kernel: NaN": in_variable("kernel", np.nan),
    "kernel: infinite": in_variable("kernel", np.inf),
    "kernel: 1e38": in_variable("kernel", 1e38),
    "kernel: denormal, 1e-40": in_variable("kernel", 1e-40),
    "gamma: NaN": in_variable("gamma", np.nan),
    "gamma: infinite": in_variable("gamma", np.inf),
    "gamma: 0": in_variable("gamma", 0.0),
    "beta: NaN": in_variable("beta", np.nan),
    "beta: infinite": in_variable("beta", -np.inf),
    "moving mean: NaN": in_variable("moving mean", np.nan),
    "moving mean: infinite": in_variable("moving mean", np.inf),
    "moving mean: 1e38": in_variable("moving mean", 1e38),
    "moving variance: NaN": in_variable("moving variance", np.nan),
    "moving variance: infinite": in_variable("moving variance", np.inf),
    "moving variance: 1e38": in_variable("moving variance", 1e38),
    "moving variance: 0": in_variable("moving variance", 0.0),
    "moving variance: denormal, 1e-40": in_variable("moving variance", 1e-40),
    "moving variance: -1": in_variable("moving variance", -1.0),
}
"""Of a batch of four images of 16 x 16."""

SIZES: Mapping[str, tuple[int, int]] = {
    "a batch of one": (1, 16),
    "odd size, 17 x 17": (3, 17),
    "maps of 1 x 1": (4, 2),
    "maps of 1 x 1 and a batch of one": (1, 2),
}
"""Images a batch, and their size."""
