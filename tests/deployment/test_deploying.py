"""A model becomes a file, with its report, whole or not at all."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.checkpoints.load_plan import LoadOptions
from slim2keras.conversion.converting import convert_to_file
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.deployment import origin, tf_keras_file
from slim2keras.deployment.options import DeploymentOptions
from slim2keras.errors import (
    CheckpointMismatchError,
    CheckpointReadError,
    ModelReadError,
    NoSpaceError,
    OutputError,
    UnsupportedArgumentError,
)
from slim2keras.evaluation.opening import open_classifier
from slim2keras.files.output_files import sha256
from slim2keras.files.run_layout import RunLayout
from slim2keras.models.networks import network_of
from slim2keras.nets.spec import NetSpec
from tests.cli.running import ExitStatus, fails, ok
from tests.reference import values_of, write_checkpoint
from tests.trainer.runs import tiny_network, write_network


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A model file in a folder of its own."""
    (tmp_path / "given").mkdir()
    return write_network(tmp_path / "given" / "tiny.keras")


def test_the_report_says_what_is_needed_to_use_and_to_doubt_the_file(tmp_path: Path, tiny: Path) -> None:
    """In the object, beside the file, and on a page."""
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{number}:kind {number}\n" for number in range(5)))
    report = slim2keras.deploy(tiny, tmp_path / "out.keras", DeploymentOptions(labels=labels))
    written = json.loads((tmp_path / "out.keras.json").read_text())
    assert written == json.loads(json.dumps(report.to_json()))
    assert written["source"]["path"] == str(tiny)
    assert written["source"]["files"] == [
        {"path": str(tiny), "bytes": tiny.stat().st_size, "sha256": sha256(tiny)},
    ]
    assert written["net"] == "tiny"
    assert written["output"]["sha256"] == sha256(tmp_path / "out.keras")
    assert written["proof"]["runtime"].startswith("tf_keras 2")
    assert written["proof"]["largest_difference"] == 0.0
    assert written["images"]["class_names"] == [f"kind {number}" for number in range(5)]
    assert written["options"]["labels"] == str(labels)
    assert "tensorflow" in written["versions"]
    assert "largest difference 0" in str(report)


def test_what_is_written_is_read_again_with_its_network(tmp_path: Path, tiny: Path) -> None:
    """A file that was written of a file is as good as that."""
    slim2keras.deploy(tiny, tmp_path / "once.keras")
    slim2keras.deploy(tmp_path / "once.keras", tmp_path / "twice.weights.h5")
    assert network_of(slim2keras.load_model(tmp_path / "twice.weights.h5")).to_config() == (
        network_of(slim2keras.load_model(tiny)).to_config()
    )


def test_a_model_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash in the report would be of another model than the one that was written."""

    def open_and_replace(*arguments: Any) -> Any:
        found = open_classifier(*arguments)
        write_network(tiny, 3)
        return found

    monkeypatch.setattr(origin, "open_classifier", open_and_replace)
    with pytest.raises(CheckpointReadError, match=f"{tiny} changed while it was read"):
        slim2keras.deploy(tiny, tmp_path / "out.keras")
    assert not (tmp_path / "out.keras").exists()


def test_a_checkpoint_goes_by_what_is_asked_of_it(tmp_path: Path) -> None:
    """Network, size and arguments come with the request."""
    network = tiny_network()
    checkpoint = write_checkpoint(tmp_path / "tiny.ckpt", values_of(network.graph.variables()))
    report = slim2keras.deploy(checkpoint, tmp_path / "out.keras", request=CheckpointRequest(network=network))
    assert report.network["net"] == "tiny"
    assert report.proof.largest_difference == 0.0
    assert "started afresh" not in str(report)


def test_of_a_checkpoint_the_report_says_what_that_of_convert_does(tmp_path: Path) -> None:
    """Which files, of which step, and what became of every variable: without it nobody knows what a phone runs."""
    values = values_of(NetSpec.make("lenet", None, {}).trace().variables())
    values |= {f"{name}/Momentum": value for name, value in values.items()}
    checkpoint = write_checkpoint(tmp_path / "lenet.ckpt", {**values, "global_step": np.asarray(70, "int64")})
    convert_to_file(checkpoint, tmp_path / "convert.keras")
    page = str(slim2keras.deploy(checkpoint, tmp_path / "deploy.tflite"))
    theirs, ours = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("convert.keras", "deploy.tflite"))
    assert ours["source"]["global_step"] == 70
    told = ("source", "left_out", "variables", "excluded", "raw_statistics", "input_shape_source", "decay_source")
    assert {name: ours[name] for name in told} == {name: theirs[name] for name in told}
    assert "Not loaded: 8 optimizer slot, 1 step counter" in page


def test_a_checkpoint_that_does_not_fit_is_told_with_advice_that_can_be_followed(tmp_path: Path) -> None:
    """By the command and in Python."""
    values = values_of(NetSpec.make("lenet", None, {"num_classes": 3}).trace().variables())
    checkpoint = write_checkpoint(tmp_path / "lenet.ckpt", values)
    request = CheckpointRequest(net="lenet", arguments={"num_classes": 5})
    with pytest.raises(CheckpointMismatchError, match=r"exclude=\['LeNet/fc4'\].*--exclude LeNet/fc4") as told:
        slim2keras.deploy(checkpoint, tmp_path / "m.tflite", request=request)
    advice = str(told.value).rpartition("afresh, or to leave them out: request=")[2].partition("   (command")[0]
    followed = replace(request, load=eval(advice, {**globals(), "LoadOptions": LoadOptions}).load)
    assert slim2keras.deploy(checkpoint, tmp_path / "m.tflite", request=followed).network["num_classes"] == 5
    asked = ("--net", "lenet", "--num-classes", "5", "--exclude", "LeNet/fc4")
    assert "Started" not in ok("convert", checkpoint, "-o", tmp_path / "n.tflite", *asked)


def test_what_a_run_is_made_of_is_not_replaced(tmp_path: Path, tiny: Path) -> None:
    """Nor by the report of what is written: the model that a RUN reports would be another."""
    run = write_run(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in run.directory.iterdir()}
    with pytest.raises(OutputError, match="is a part of the run"):
        slim2keras.deploy(run.directory, run.model, fold_batch_norm=True, overwrite=True)
    with pytest.raises(OutputError, match=r"request\.json is a part of the run"):
        slim2keras.deploy(tiny, run.directory / "request", overwrite=True)
    fails(ExitStatus.USAGE, "Give another name", "convert", run.directory, "-o", run.model, "--overwrite")
    assert {path.name: path.read_bytes() for path in run.directory.iterdir()} == before
    slim2keras.deploy(run.directory, run.directory / "other.keras")


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_a_file_for_a_runtime_is_no_model_to_go_on_with(tmp_path: Path, suffix: str) -> None:
    """The message says what it is, and not that it is broken."""
    file = tmp_path / f"m{suffix}"
    file.write_bytes(b"\x1c\x00\x00\x00TFL3" * 9)
    checkpoint = write_checkpoint(
        tmp_path / "lenet.ckpt", values_of(NetSpec.make("lenet", None, {}).trace().variables())
    )
    fails(ExitStatus.UNREADABLE, f"is a file for .*verify {file}", "verify", checkpoint, file)
    fails(
        ExitStatus.UNREADABLE, "is a file for .*give what it was made of", "convert", file, "-o", tmp_path / "m.keras"
    )
    with pytest.raises(ModelReadError, match="of which no model can be made again"):
        slim2keras.load_model(file)


def test_a_model_file_that_is_not_there_is_called_one(tmp_path: Path) -> None:
    """And no checkpoint."""
    fails(ExitStatus.UNREADABLE, "There is no model", "convert", tmp_path / "nothing.keras", "-o", tmp_path / "m.onnx")


def test_a_dry_run_says_what_would_be_folded_and_written(tmp_path: Path) -> None:
    """Of the size that is asked for, and an option that cannot be is refused."""
    spec = NetSpec.make("mobilenet_v1_025", None, {})
    checkpoint = write_checkpoint(tmp_path / "m.ckpt", values_of(spec.trace().variables()))
    dry = ("convert", checkpoint, "--dry-run", "--fold-batch-norm", "--image-size", "96", "-o")
    text = ok(*dry, tmp_path / "m.tflite", "--quantize", "dynamic")
    assert "input 96 x 96 x 3 (given)" in text
    assert "27 BatchNorm layers would be folded, 0 stay" in text
    assert "A TFLite file (fold_batch_norm=True, quantize=dynamic, image_size=(96, 96)) would be written" in text
    plan = json.loads(ok(*dry, tmp_path / "m.onnx", "--json"))["deployment"]
    assert (plan["as"], plan["outputs"], len(plan["folding"]["folded"])) == ("An ONNX file", ["logits"], 27)
    lenet = write_checkpoint(tmp_path / "l.ckpt", values_of(NetSpec.make("lenet", None, {}).trace().variables()))
    fails(ExitStatus.USAGE, "has no BatchNorm that could be folded", "convert", lenet, *dry[2:4])


def write_run(directory: Path) -> RunLayout:
    """No more of a RUN than its model, its classes, and what was asked of it."""
    run = RunLayout(directory)
    run.directory.mkdir()
    write_network(run.model, 3)
    run.labels.write_text("0:daisy\n1:rose\n2:tulip\n")
    asked = {"crop_image": True, "use_grayscale": False, "preprocessing_name": None, "exif_orientation": True}
    run.request.write_text(json.dumps({"data": str(directory.parent), "options": {**asked, "split": "train"}}))
    return run


def test_what_started_afresh_is_told(tmp_path: Path) -> None:
    """Random values in a file that others run are not found by its proof, which is of the same values."""
    network = tiny_network()
    values = values_of(network.graph.variables())
    checkpoint = write_checkpoint(tmp_path / "tiny.ckpt", values)
    scope = [*values][-1].rpartition("/")[0]
    request = CheckpointRequest(network=network, load=LoadOptions((scope,)))
    report = slim2keras.deploy(checkpoint, tmp_path / "out.keras", request=request)
    assert f"remark: started afresh when the checkpoint was loaded: {scope}" in str(report)


def raises(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), NoSpaceError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (RuntimeError("of a library"), RuntimeError),
    ],
)
def test_what_fails_in_the_middle_leaves_nothing_and_what_was_there_stays(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, told: type[BaseException]
) -> None:
    """The file is written by then, and only its proof is missing."""
    out = tmp_path / "out"
    slim2keras.deploy(tiny, out / "old.keras")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(tf_keras_file, "prove", raises(error))
    with pytest.raises(told):
        slim2keras.deploy(tiny, out / "new.keras")
    with pytest.raises(told):
        slim2keras.deploy(tiny, out / "old.keras", overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_file_that_is_there_is_left_unless_it_may_be_replaced(tmp_path: Path, tiny: Path) -> None:
    """Before the model is opened."""
    (tmp_path / "out.keras.json").write_text("precious")
    with pytest.raises(OutputError, match="exists already and is left as it is"):
        slim2keras.deploy(tmp_path / "nothing.keras", tmp_path / "out.keras")
    assert slim2keras.deploy(tiny, tmp_path / "out.keras", overwrite=True).proof.largest_difference == 0.0


def test_of_a_file_that_says_itself_what_it_is_nothing_is_asked(tmp_path: Path, tiny: Path) -> None:
    """As everywhere."""
    with pytest.raises(UnsupportedArgumentError, match="is a model file, which says itself what it is"):
        slim2keras.deploy(tiny, tmp_path / "out.keras", request=CheckpointRequest(net="lenet"))
    with pytest.raises(CheckpointReadError):
        slim2keras.deploy(tmp_path / "nothing.ckpt", tmp_path / "out.keras")


USAGE: dict[str, tuple[str, ...]] = {
    r"\.tflite \(pip install 'slim2keras\[tflite\]'\) or \.onnx \(pip install 'slim2keras\[onnx\]'\)": ("-o", "m.pt"),
    r"An ONNX file has no quantize. A TFLite file \(NAME.tflite\) takes quantize": (
        "-o",
        "m.onnx",
        "--quantize",
        "int8",
    ),
    "quantize must be one of float16, dynamic, int8": ("-o", "m.tflite", "--quantize", "int4"),
    "Keras 3 has one format of its own": ("-o", "m.h5", "--keras", "3"),
    "keras must be one of 2, 3": ("-o", "m.keras", "--keras", "4"),
    "split is of data": ("-o", "m.keras", "--split", "train"),
    "convert needs one output file": (),
    "there is no directory": ("-o", "nowhere/deep/m.keras"),
    "A TFLite file has no opset": ("-o", "m.tflite", "--opset", "13", "--dry-run"),
    r"tiny\.keras is none: it holds a model as it is. Leave --dry-run out": ("-o", "m.tflite", "--dry-run"),
}


@pytest.mark.parametrize("message", USAGE)
def test_what_cannot_be_asked_is_refused_by_the_command(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    """With what could be, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    fails(ExitStatus.USAGE, message, "convert", tiny, *USAGE[message])
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


def test_the_command_takes_a_run_with_its_names_and_says_how_to_load_it(tmp_path: Path) -> None:
    """A RUN's model is its ``model.keras``, its classes are in its ``labels.txt``."""
    run = write_run(tmp_path / "run")
    text = ok("convert", run.directory, "-o", tmp_path / "m.weights.h5")
    assert "Load it with slim2keras.load_model" in text
    report = json.loads((tmp_path / "m.weights.h5.json").read_text())
    assert report["images"]["class_names"] == ["daisy", "rose", "tulip"]
    facts = json.loads(ok("convert", run.directory, "-o", tmp_path / "m.keras", "--json"))
    assert facts["proof"]["largest_difference"] == 0.0
