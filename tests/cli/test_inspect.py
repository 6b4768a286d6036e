"""``slim2keras inspect``: what a checkpoint is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.cli.inspect import describe
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.scopes import ema_name
from tests.cli.running import ok
from tests.reference import SMALL_NET, SMALL_SHAPE, small_values, write_checkpoint

pytestmark = pytest.mark.usefixtures("shallow_resnets")


def test_inspect_and_the_report_say_what_the_key_means(small_checkpoint: Path, tmp_path: Path) -> None:
    """Range, crop and size stand beside the key."""
    from slim2keras.conversion.converting import convert_to_file

    with open_checkpoint(small_checkpoint) as opened:
        facts = describe(opened)
    assert facts["preprocessing_meaning"].endswith("(bilinear), central crop of 224 x 224")
    convert_to_file(small_checkpoint, tmp_path / "model.weights.h5", CheckpointRequest(input_shape=SMALL_SHAPE))
    report = json.loads((tmp_path / "model.weights.h5.json").read_text())
    assert report["preprocessing"] == "vgg"
    assert report["preprocessing_meaning"].endswith("central crop of 33 x 36")


def test_inspect_tells_what_a_checkpoint_is(tmp_path: Path) -> None:
    """Network, format, step, slots and shadows, in words and as JSON."""
    values = small_values()
    trained = {
        **values,
        **{ema_name(name): array for name, array in values.items()},
        **{f"{name}/RMSProp": array for name, array in values.items() if "moving" not in name},
        "global_step": np.int64(1234),
    }
    path = write_checkpoint(tmp_path / "model.ckpt", trained, "V1")
    facts = json.loads(ok("inspect", path, "--json"))
    assert facts["net"] == SMALL_NET
    assert (facts["format"], facts["num_classes"], facts["global_step"]) == ("V1", 7, 1234)
    assert facts["batch_norm"]["decay"] == 0.997
    assert facts["ema"] is True
    assert facts["slots"] == ["RMSProp"]
    assert facts["kinds"]["model"]["variables"] == len(values)
    assert len(facts["variables"]) == len(trained)
    text = ok("inspect", path)
    for fact in ("V1", SMALL_NET, "1,234", "RMSProp", "depth_multiplier=0.125", "decay 0.997", "vgg: float32 in [-123"):
        assert fact in text
    assert f"{SMALL_NET}/conv1/weights" in ok("inspect", path, "--variables")


def test_inspect_of_an_unknown_network_still_shows_the_variables(tmp_path: Path) -> None:
    """Not knowing the network is no error here."""
    path = write_checkpoint(tmp_path / "own.ckpt", {"my/conv/weights": np.ones((3, 3, 3, 8), "float32")})
    assert "not recognised" in ok("inspect", path)
    assert json.loads(ok("inspect", path, "--json"))["net"] is None


def test_size_and_decay_are_those_of_the_meta_and_a_default_is_called_one(
    grey_checkpoint: Path, small_checkpoint: Path
) -> None:
    """What ``inspect`` shows of a checkpoint is what it was trained with, or is marked."""
    text = ok("inspect", grey_checkpoint)
    assert "96 x 96 x 1 (from the .meta)" in text
    assert "decay 0.9 (from the .meta), epsilon 1e-05 (default)" in text
    facts = json.loads(ok("inspect", grey_checkpoint, "--json"))
    assert (facts["input_shape"], facts["input_shape_source"]) == ([96, 96, 1], "from the .meta")
    assert (facts["batch_norm"]["decay"], facts["decay_source"]) == (0.9, "from the .meta")
    text = ok("inspect", small_checkpoint)
    assert "224 x 224 x 3 (default)" in text
    assert "decay 0.997 (default)" in text
    facts = json.loads(ok("inspect", small_checkpoint, "--json"))
    assert (facts["input_shape_source"], facts["decay_source"]) == ("default", "default")
