"""scikit-learn's handwritten digits, enlarged: real images that need no download."""

from __future__ import annotations

import numpy as np


def load_digits(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and held-out images in [-1, 1], (count, size, size, 3), each with their labels."""
    import tensorflow as tf
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    digits = sklearn_digits()
    grey = (digits.images / 8.0 - 1.0).astype("float32")[..., None]
    images = np.repeat(tf.image.resize(grey, (size, size)).numpy(), 3, axis=-1)
    train, held_out, train_labels, held_out_labels = train_test_split(images, digits.target, random_state=0)
    return train, train_labels, held_out, held_out_labels
