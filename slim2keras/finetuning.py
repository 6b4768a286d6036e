"""Where files that were saved by earlier versions say that the fine-tuned model is."""

from slim2keras.training.model import FineTunedModel

__all__ = ["FineTunedModel"]
