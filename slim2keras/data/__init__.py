"""Images and labels from files."""

from slim2keras.data.opening import open_dataset

__all__ = ["open_dataset"]
