"""How good a network is: each image once, class by class; and what it says of images."""

from __future__ import annotations

from slim2keras.evaluation.evaluating import evaluate
from slim2keras.evaluation.predicting import predict
from slim2keras.evaluation.predictions import Predictions
from slim2keras.evaluation.report import ClassScore, Evaluation

__all__ = ["ClassScore", "Evaluation", "Predictions", "evaluate", "predict"]
