"""Which format takes which options, and what it needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from slim2keras import extras
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.deployment.ways import way_out
from slim2keras.errors import ExitStatus, MissingExtraError, UnsupportedArgumentError
from slim2keras.outputs.formats import OutputFormat

EXTRAS = {OutputFormat.TFLITE: "tflite", OutputFormat.ONNX: "onnx"}


@pytest.mark.parametrize(
    ("its_format", "given", "message"),
    [
        (
            OutputFormat.ONNX,
            {"quantize": "int8"},
            r"An ONNX file has no quantize. A TFLite file \(NAME.tflite\) takes quantize.",
        ),
        (OutputFormat.TFLITE, {"opset": 13}, r"A TFLite file has no opset. An ONNX file \(NAME.onnx\) takes opset."),
        (
            OutputFormat.KERAS,
            {"signature": "raw"},
            r"has no signature. A SavedModel for serving \(NAME, a dir.*\) takes signature.",
        ),
        (
            OutputFormat.H5,
            {"batch_norm_layer": "slim"},
            r"A file of Keras 3 \(NAME.keras, keras=3: --keras 3\) takes batch_norm_layer",
        ),
        (OutputFormat.H5, {"keras": 3}, "Keras 3 has one format of its own: give a name that ends in .keras."),
        (
            OutputFormat.KERAS,
            {"opset": 13, "quantize": "int8"},
            r"has no quantize, opset. A TFLite file .* takes quantize. An",
        ),
    ],
)
def test_an_option_of_another_format_is_refused_with_the_one_that_takes_it(
    its_format: OutputFormat, given: dict[str, Any], message: str
) -> None:
    """None is ignored."""
    with pytest.raises(UnsupportedArgumentError, match=message):
        way_out(its_format, DeploymentOptions(**given))


@pytest.mark.parametrize("its_format", OutputFormat)
def test_every_format_takes_what_is_asked_of_all(its_format: OutputFormat) -> None:
    """Folding, images, names and preprocessing are asked of the model, whatever becomes of it."""
    asked = {"data": Path("images"), "split": "train", "labels": Path("labels.txt")}
    options = DeploymentOptions(fold_batch_norm=True, image_size=(64, 64), preprocessing_name="vgg", **asked)
    assert way_out(its_format, options).hint


@pytest.mark.parametrize("its_format", EXTRAS)
def test_a_missing_extra_is_told_with_the_line_that_installs_it(
    its_format: OutputFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that line names an extra that there is."""
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    extra = EXTRAS[its_format]
    with pytest.raises(MissingExtraError, match=rf"pip install 'slim2keras\[{extra}\]'") as caught:
        way_out(its_format, DeploymentOptions())
    assert caught.value.exit_status is ExitStatus.USAGE
    assert f"\n{extra} = [" in (Path(__file__).parents[2] / "pyproject.toml").read_text()


@pytest.mark.parametrize("its_format", OutputFormat)
def test_every_format_has_a_writer(its_format: OutputFormat) -> None:
    """A way without one would be found out by users."""
    assert importlib.util.find_spec(f"slim2keras.deployment.{way_out(its_format, DeploymentOptions()).writer}")
