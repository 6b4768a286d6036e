"""What is called while something takes long."""

from __future__ import annotations

from collections.abc import Callable

StepProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is, 0 if unknown."""

ImageProgress = Callable[[int], None]
"""Called after each batch with its number of images, so that ``tqdm(...).update`` does."""
