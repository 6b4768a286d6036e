"""slim's pipelines by their keys."""

from __future__ import annotations

from collections.abc import Mapping

from slim2keras.preprocessing.facenet import FACENET_FIXED, FACENET_PREWHITEN
from slim2keras.preprocessing.inception import INCEPTION
from slim2keras.preprocessing.pipeline import Pipeline
from slim2keras.preprocessing.small import CIFARNET, LENET
from slim2keras.preprocessing.vgg import DENSENET, VGG

PIPELINES: Mapping[str, Pipeline] = {
    pipeline.name: pipeline
    for pipeline in (INCEPTION, VGG, DENSENET, LENET, CIFARNET, FACENET_FIXED, FACENET_PREWHITEN)
}
"""Every pipeline that a network or a published checkpoint wants, by its key."""
