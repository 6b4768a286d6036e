"""Scores of images that nobody took."""

from __future__ import annotations

import numpy as np

from slim2keras.evaluation import Evaluation
from slim2keras.evaluation.scores import TOP, Scores


def log_probabilities(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Of a network that is right half of the time, (images, classes), and the labels."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, classes, images)
    logits = random.normal(size=(images, classes))
    logits[np.arange(images), labels] += 2.0
    return (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype("float32"), labels


def evaluation(images: int, classes: int, names: list[str] | None = None) -> Evaluation:
    found, labels = log_probabilities(images, classes)
    return Evaluation(
        "model.keras",
        "photos",
        Scores.of(found, labels, TOP),
        names or [f"class {number}" for number in range(classes)],
        [f"{label}/{place}.jpg" for place, label in enumerate(labels)],
        "as in labels.txt",
    )
