"""What travels with a file is what the network wants of its images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slim2keras.graphs.graph import Layer, LayerGraph
from slim2keras.graphs.network import GraphNetwork
from slim2keras.nets.spec import NetSpec
from slim2keras.preprocessing.factory import preprocess
from slim2keras.preprocessing.facts import describe_images
from slim2keras.preprocessing.options import PreprocessingOptions
from slim2keras.preprocessing.pipelines import PIPELINES

GREY = PreprocessingOptions(use_grayscale=True)


CASES = [
    (name, options)
    for name, pipeline in PIPELINES.items()
    for options in (PreprocessingOptions(), GREY)
    if pipeline.pixels and {*options.chosen()} <= pipeline.takes
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_mean_and_scale_are_what_becomes_of_a_pixel(name: str, options: PreprocessingOptions) -> None:
    """Of an image of one colour, by every pipeline, in colours and in grey."""
    size = 8
    spec = NetSpec.make("lenet", (size, size, 1 if options.use_grayscale else 3), {}).with_preprocessing(name)
    facts = describe_images(spec, options=options)
    pixels = np.full((size, size, 3), (210, 120, 40), "uint8")
    found = preprocess(pixels, spec, options=options)[0, 0]
    grey = [0.2989 * 210 + 0.587 * 120 + 0.114 * 40]
    wanted = (np.array(grey if options.use_grayscale else pixels[0, 0]) - facts["mean"]) * facts["scale"]
    np.testing.assert_allclose(found, wanted, atol=2e-4 * max(1, np.abs(wanted).max()))


def test_geometry_and_words_are_those_of_the_options() -> None:
    """A RUN that crops nothing in evaluation says so, and one of larger images resizes to their side."""
    spec = NetSpec.make("mobilenet_v1_025", None, {"num_classes": 5})
    facts = describe_images(spec, options=PreprocessingOptions(crop_image=False))
    assert facts["geometry"] == {"resize": "bilinear"}
    assert "crop" not in facts["words"]
    large = replace(NetSpec.make("resnet_v1_50", None, {}), input_shape=(320, 300, 3))
    assert describe_images(large)["geometry"] == {"resize_smaller_side": 320, "resize": "bilinear", "crop": "central"}


def test_what_is_no_image_has_neither_size_nor_colours() -> None:
    """A network of features, of which nobody would say that they are grey or colours."""
    graph = LayerGraph()
    graph.outputs.append(graph.add(Layer("InputLayer", "features", {"input_shape": (3,)}, ()), (3,)))
    facts = describe_images(GraphNetwork("dense", graph))
    assert [facts[name] for name in ("size", "channels", "colours", "layout")] == [None, 3, None, None]


def test_a_video_has_frames_before_its_height() -> None:
    """Five axes are no NHWC."""
    assert describe_images(NetSpec.make("s3dg", None, {}))["layout"] == "NDHWC"
    assert describe_images(NetSpec.make("lenet", None, {}))["layout"] == "NHWC"
