"""Facts of the published checkpoints, and which file is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slim2keras.conversion.converting import convert_to_file
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.nets import NETS
from slim2keras.nets.spec import NetSpec
from slim2keras.recognition.published import PUBLISHED, find_published
from tests.reference import values_of, write_checkpoint


def test_every_row_is_of_a_network_that_takes_its_arguments() -> None:
    """Classes and label offset agree, and no name comes twice."""
    for row in PUBLISHED:
        spec = NetSpec.make(row.net, None, {"num_classes": row.classes, **row.arguments})
        assert row.is_network(spec)
        assert row.labels_offset == (1 if row.classes == 1000 else 0), row.name
    assert len({row.name for row in PUBLISHED}) == len(PUBLISHED)
    assert {row.net for row in PUBLISHED} <= set(NETS)


@pytest.mark.parametrize(
    ("path", "net", "arguments", "name"),
    [
        ("resnet_v2_50_2017_04_14.tar.gz", "resnet_v2_50", {}, "resnet_v2_50_2017_04_14"),
        ("mobilenet_v1_0.25_128.tgz", "mobilenet_v1_025", {}, "mobilenet_v1_0.25_128"),
        ("mobilenet_v1_1.0_224_quant.tgz", "mobilenet_v1", {}, "mobilenet_v1_1.0_224"),
        (
            "mobilenet_v2_1.3_224/mobilenet_v2_1.3_224.ckpt",
            "mobilenet_v2",
            {"depth_multiplier": 1.3},
            "mobilenet_v2_1.3_224",
        ),
        ("inception_v3_2016_08_28/inception_v3.ckpt", "inception_v3", {}, "inception_v3_2016_08_28"),
        ("v3-large_224_0.75_float.tgz", "mobilenet_v3_large", {"depth_multiplier": 0.75}, "v3-large_224_0.75_float"),
        ("20180402-114759", "inception_resnet_v1", {"bottleneck_layer_size": 512}, "20180402-114759"),
        ("my_inception_v3.ckpt", "inception_v3", {}, None),
        ("mobilenet_v1_0.25_128.tgz", "mobilenet_v1_050", {}, None),
        ("20180402-114759", "inception_resnet_v1", {"bottleneck_layer_size": 128}, None),
    ],
)
def test_a_published_file_is_known_by_its_name(
    path: str, net: str, arguments: dict[str, Any], name: str | None
) -> None:
    """As archive, file or directory, and only if it is that network."""
    found = find_published(Path(path), NetSpec.make(net, None, {"num_classes": 7, **arguments}))
    assert (found.name if found else None) == name


def test_conversion_takes_size_and_preprocessing_of_the_published_row(tmp_path: Path) -> None:
    """A size that is given goes before."""
    spec = NetSpec.make("mobilenet_v1_025", None, {"num_classes": 1001})
    checkpoint = write_checkpoint(tmp_path / "mobilenet_v1_0.25_128.ckpt", values_of(spec.trace().variables()))
    report = convert_to_file(checkpoint, tmp_path / "model.weights.h5")
    assert report.published is not None
    assert report.published["top_1"] == 41.5
    assert list(report.input_shape) == [128, 128, 3]
    given = convert_to_file(checkpoint, tmp_path / "other.weights.h5", CheckpointRequest(input_shape=(160, 160, 3)))
    assert list(given.input_shape) == [160, 160, 3]


def test_resnet_v2_wants_inceptions_preprocessing_at_299_pixels() -> None:
    """Although slim's factory says otherwise."""
    rows = [row for row in PUBLISHED if row.net.startswith("resnet_v2")]
    assert {(row.preprocessing, row.image_size, row.labels_offset) for row in rows} == {("inception", 299, 0)}


def test_faces_know_both_standardisations() -> None:
    """The checkpoint of 2017 whitens, that of 2018 has a fixed rule."""
    rows = {row.name: row.preprocessing for row in PUBLISHED if row.net == "inception_resnet_v1"}
    assert rows["20170512-110547"] == "facenet_prewhiten"
    assert rows["20180402-114759"] == "facenet_fixed"
