"""Images as a network wants them: slim's pipelines, what each means, and whether images look like it."""

from slim2keras.preprocessing.factory import preprocess
from slim2keras.preprocessing.options import PreprocessingOptions
from slim2keras.preprocessing.pipelines import PIPELINES

__all__ = ["PIPELINES", "PreprocessingOptions", "preprocess"]
