"""The command line as a user runs it: output, JSON, exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import slim2keras
from slim2keras.cli.app import app
from slim2keras.errors import ExitStatus
from slim2keras.nets import list_nets
from slim2keras.nets.spec import NetSpec
from slim2keras.recognition.published import PUBLISHED
from slim2keras.scopes import ema_name
from slim2keras.slim.runtime import DOWNLOAD_SLIM
from tests.reference import (
    SHALLOW_NET,
    SMALL_NET,
    SMALL_SHAPE,
    STAND_IN_SLIM,
    small_values,
    values_of,
    write_checkpoint,
    write_meta,
)

pytestmark = pytest.mark.usefixtures("shallow_resnets")

SHAPE = ",".join(str(size) for size in SMALL_SHAPE)
LOGITS = f"{SMALL_NET}/logits"
CHECKPOINT = "a checkpoint"
COMMANDS = ("nets", "inspect", "convert", "verify", "export", "doctor", "recalibrate")


class Result:
    def __init__(self, *arguments: object) -> None:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        self.status = result.exit_code
        self.out, self.err = result.stdout, result.stderr


def ok(*arguments: object) -> str:
    result = Result(*arguments)
    assert result.status == 0, result.err
    return result.out


def fails(status: ExitStatus, message: str, *arguments: object) -> None:
    result = Result(*arguments)
    assert result.status == status, (result.status, result.err)
    assert re.search(message, result.err), result.err
    assert "Traceback" not in result.err


def spawn(*arguments: object) -> subprocess.Popen[str]:
    # Tests that run in the background of a shell have Ctrl-C ignored, and so would have the command.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code += "; from slim2keras.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_help_describes_every_command_and_the_exit_codes() -> None:
    text = ok("--help")
    for command in COMMANDS:
        assert command in text
        assert "Exit codes: 0 ok" in " ".join(ok(command, "--help").split())
    assert ok("--version").startswith("slim2keras ")


def test_every_command_and_option_is_documented() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"slim2keras {command}" in readme
        for option in re.findall(r"--[a-z]+(?:-[a-z]+)*", ok(command, "--help")):
            assert option in readme, f"{command} {option}"


def test_nets_lists_every_network() -> None:
    text = ok("nets")
    rows = json.loads(ok("nets", "--json"))
    assert [row["net"] for row in rows] == list_nets()
    for name in list_nets():
        assert name in text


def test_nets_lists_the_published_checkpoints() -> None:
    text = ok("nets", "--verbose")
    for row in PUBLISHED:
        assert row.name in text
    published = {row["net"]: row["published"] for row in json.loads(ok("nets", "--json"))}
    assert [row["image_size"] for row in published["resnet_v2_50"]] == [299]


def test_inspect_tells_what_a_checkpoint_is(tmp_path: Path) -> None:
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
    path = write_checkpoint(tmp_path / "own.ckpt", {"my/conv/weights": np.ones((3, 3, 3, 8), "float32")})
    assert "not recognised" in ok("inspect", path)
    assert json.loads(ok("inspect", path, "--json"))["net"] is None


@pytest.fixture(scope="module")
def grey_checkpoint(tmp_path_factory: pytest.TempPathFactory, shallow_resnets: None) -> Path:
    """A grey net of 96 pixels with another decay than the default, its .meta as slim's trainer writes it."""
    arguments = {"num_classes": 2, "depth_multiplier": 0.125, "batch_norm_decay": 0.9}
    spec = NetSpec.make(SHALLOW_NET, (96, 96, 1), arguments)
    values = values_of(spec.trace().variables())
    path = write_checkpoint(tmp_path_factory.mktemp("grey") / "model.ckpt-9", {**values, "global_step": np.int64(9)})
    write_meta(path, spec)
    return path


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


def test_convert_takes_the_size_of_the_meta_and_prints_it(
    tmp_path: Path, grey_checkpoint: Path, small_checkpoint: Path
) -> None:
    """Nobody gets a model of another size than trained without being told."""
    dry = ("--dry-run", "--input-shape", "64,None,1")
    assert "input 96 x 96 x 1 (from the .meta)" in ok("convert", grey_checkpoint, "--dry-run")
    assert "input 64 x open x 1 (given)" in ok("convert", grey_checkpoint, *dry)
    assert "input 224 x 224 x 3 (default)" in ok("convert", small_checkpoint, "--dry-run")
    output = tmp_path / "grey.weights.h5"
    assert "input 96 x 96 x 1 (from the .meta)" in ok("convert", grey_checkpoint, "-o", output)
    report = json.loads(Path(f"{output}.json").read_text())
    assert (report["input_shape"], report["input_shape_source"]) == ([96, 96, 1], "from the .meta")


def test_a_broken_meta_is_no_reason_not_to_convert(own_checkpoint: Path) -> None:
    """Its size and decay are unknown then, and ``inspect`` says why."""
    Path(f"{own_checkpoint}.meta").write_bytes(b"\xff\xfe not a graph")
    text = ok("inspect", own_checkpoint)
    assert "224 x 224 x 3 (default)" in text
    assert "cannot be read: size and decay are not from it" in text
    assert "is no graph" in json.loads(ok("inspect", own_checkpoint, "--json"))["meta_error"]
    assert "input 224 x 224 x 3 (default)" in ok("convert", own_checkpoint, "--dry-run")


def test_convert_writes_a_model_and_a_report(tmp_path: Path, small_checkpoint: Path) -> None:
    output = tmp_path / "model.weights.h5"
    text = ok("convert", small_checkpoint, "-o", output, "--input-shape", SHAPE)
    assert SMALL_NET in text
    assert "267 variables" in text
    assert "Not loaded: 1 step counter" in text
    assert output.is_file()
    assert json.loads(Path(f"{output}.json").read_text())["net"] == SMALL_NET


@pytest.mark.parametrize(("name", "is_told"), [("lenet.keras", True), ("lenet.weights.h5", False)])
def test_convert_says_how_to_load_what_it_wrote(tmp_path: Path, name: str, is_told: bool) -> None:
    """Keras 3's ``load_model`` fails on it; weights alone are not loaded like that."""
    import tensorflow as tf
    import tf_keras

    values = values_of(NetSpec.make("lenet", None, {}).trace().variables())
    checkpoint = write_checkpoint(tmp_path / "lenet.ckpt", values)
    text = ok("convert", checkpoint, "-o", tmp_path / name)
    assert ("Load it with tf_keras.models.load_model; tf.keras" in text) is is_told
    if is_told:
        tf_keras.models.load_model(tmp_path / name)
        with pytest.raises(TypeError, match="Could not locate class"):
            tf.keras.models.load_model(tmp_path / name)


def test_verify_names_the_policy_of_a_model_in_mixed_precision(tmp_path: Path) -> None:
    """What is judged is a copy in float32, so parity holds; a weight that is off still fails."""
    import tf_keras

    values = values_of(NetSpec.make("lenet", None, {}).trace().variables())
    checkpoint = write_checkpoint(tmp_path / "lenet.ckpt", values)
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = slim2keras.convert(checkpoint)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    model.save(tmp_path / "lenet.keras")
    judged = ("verify", checkpoint, tmp_path / "lenet.keras", "--slim-source", STAND_IN_SLIM)
    text = ok(*judged)
    assert "The model computes in mixed_bfloat16" in text
    assert "Parity holds" in text
    assert json.loads(ok(*judged, "--json"))["precision"] == "mixed_bfloat16"
    kernel = model.get_layer("LeNet/fc4").kernel
    kernel.assign(kernel * 1.001)
    model.save(tmp_path / "lenet.keras")
    assert Result(*judged).status == ExitStatus.PARITY


def test_convert_takes_an_archive_and_prints_json(tmp_path: Path, small_checkpoint: Path) -> None:
    archive = tmp_path / "net.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in small_checkpoint.parent.glob("model.ckpt-5000*"):
            tar.add(path, path.name)
    report = json.loads(ok("convert", archive, tmp_path / "model.weights.h5", "--input-shape", SHAPE, "--json"))
    assert report["source"]["files"][0]["path"] == str(archive)
    assert report["largest_difference"] == 0.0


def test_a_dry_run_shows_the_plan_and_writes_nothing(tmp_path: Path, small_checkpoint: Path) -> None:
    arguments = ("convert", small_checkpoint, "--dry-run", "--exclude", LOGITS, "--num-classes", 3)
    text = ok(*arguments)
    assert f"Started afresh: {LOGITS}/weights, {LOGITS}/biases" in text
    assert "265 variables would be loaded" in text
    plan = json.loads(ok(*arguments, "--json"))
    assert plan["arguments"]["num_classes"] == 3
    assert len(plan["load"]) == 265
    assert not list(tmp_path.iterdir())


def test_any_slim_argument_can_be_set(small_checkpoint: Path) -> None:
    settings = ("--set", "output_stride=16", "--set", "global_pool=false", "--set", "spatial_squeeze=False")
    plan = json.loads(ok("convert", small_checkpoint, "--dry-run", "--json", *settings, "--input-shape", "None,None,3"))
    assert plan["arguments"]["output_stride"] == 16
    assert plan["arguments"]["global_pool"] is False
    assert plan["input_shape"] == [None, None, 3]


def test_verify_passes_for_a_converted_model(tmp_path: Path, shallow_checkpoint: Path) -> None:
    logits = f"{SHALLOW_NET}/logits"
    output = tmp_path / "model.keras"
    ok("convert", shallow_checkpoint, "-o", output, "--input-shape", SHAPE, "--exclude", logits, "--num-classes", 3)
    text = ok("verify", shallow_checkpoint, output)
    assert "Parity holds" in text
    assert f"Started afresh, slim got the model's values: {logits}/weights" in text
    report = json.loads(ok("verify", shallow_checkpoint, output, "--json"))
    assert report["passed"]
    assert report["images_shape"] == [2, *SMALL_SHAPE]
    assert {row["rung"] for row in report["comparisons"]} == {
        "inference",
        "training",
        "moving statistics",
        "regularization loss",
    }


def test_verify_converts_by_itself_without_a_model(shallow_checkpoint: Path) -> None:
    assert "block1/unit_1" in ok("verify", shallow_checkpoint, "--input-shape", SHAPE, "--all")


def test_the_users_own_slim_judges_what_tf_slim_lacks(tmp_path: Path) -> None:
    values = values_of(NetSpec.make("lenet", None, {}).trace().variables())
    checkpoint = write_checkpoint(tmp_path / "lenet.ckpt", values)
    assert "Parity holds" in ok("verify", checkpoint, "--slim-source", STAND_IN_SLIM)
    fails(ExitStatus.USAGE, "tf_slim has no network lenet", "verify", checkpoint)
    fails(ExitStatus.USAGE, "no nets/nets_factory.py", "verify", checkpoint, "--slim-source", tmp_path)


def test_the_readme_and_the_error_fetch_slim_by_the_same_command() -> None:
    """Whoever reads either can judge a MobileNet."""
    assert DOWNLOAD_SLIM in (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_verify_fails_with_5_and_names_the_first_difference(tmp_path: Path, shallow_checkpoint: Path) -> None:
    import tf_keras

    output = tmp_path / "model.keras"
    ok("convert", shallow_checkpoint, "-o", output, "--input-shape", SHAPE)
    model = tf_keras.models.load_model(output)
    kernel = model.get_layer(f"{SHALLOW_NET}/block2/unit_1/bottleneck_v1/conv2").kernel
    kernel.assign(kernel * 1.001)
    model.save(output)
    result = Result("verify", shallow_checkpoint, output)
    assert result.status == ExitStatus.PARITY
    assert "Parity fails" in result.out
    assert f"First to miss its bar: {SHALLOW_NET}/block2/unit_1/bottleneck_v1/conv2 (inference)" in result.out
    report = json.loads(Result("verify", shallow_checkpoint, output, "--json").out)
    assert not report["passed"]


def test_usage_errors_exit_with_2(tmp_path: Path, small_checkpoint: Path) -> None:
    existing = tmp_path / "model.keras"
    existing.write_text("precious")
    convert = ("convert", small_checkpoint, "-o", tmp_path / "new.keras")
    for message, arguments in {
        "Missing argument": ("convert",),
        "No such option": ("nets", "--nonsense"),
        "one output file": ("convert", small_checkpoint),
        "exists already": ("convert", small_checkpoint, "-o", existing),
        "unknown format": ("convert", small_checkpoint, "-o", tmp_path / "model.pb"),
        "there is no directory": ("convert", small_checkpoint, "-o", tmp_path / "no" / "where" / "model.keras"),
        "Did you mean model.keras": ("convert", small_checkpoint, "-o", tmp_path / "model.kears"),
        "Did you mean resnet_v1_50": (*convert, "--net", "resnet_v1_5"),
        "no argument 'output_strid'": (*convert, "--set", "output_strid=8"),
        "--set must be NAME=VALUE": (*convert, "--set", "output_stride"),
        "--input-shape must be": (*convert, "--input-shape", "big"),
        "matches nothing": (*convert, "--exclude", "logits"),
        "no ExponentialMovingAverage": (*convert, "--use-ema"),
    }.items():
        fails(ExitStatus.USAGE, message, *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_unreadable_files_exit_with_3(tmp_path: Path, small_checkpoint: Path) -> None:
    text = tmp_path / "notes.ckpt"
    text.write_text("dear diary")
    for command in ("inspect", "verify", "convert"):
        rest = ("-o", tmp_path / "out.keras") if command == "convert" else ()
        fails(ExitStatus.UNREADABLE, "There is no checkpoint", command, tmp_path / "nothing", *rest)
        fails(ExitStatus.UNREADABLE, "it is text", command, text, *rest)
    fails(ExitStatus.UNREADABLE, "cannot be loaded by tf_keras", "verify", small_checkpoint, text)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.ckpt"]


def test_what_does_not_fit_exits_with_4(tmp_path: Path, small_checkpoint: Path) -> None:
    out = ("-o", tmp_path / "out.keras")
    other = tmp_path / "other"
    other.mkdir()
    spec = NetSpec.make("inception_v2", None, {"depth_multiplier": 0.1})
    inception = write_checkpoint(other / "model.ckpt", values_of(spec.trace().variables()))
    fails(ExitStatus.MISMATCH, "looks like inception_v2", "convert", inception, *out, "--net", SMALL_NET)
    fails(ExitStatus.MISMATCH, "of another shape", "convert", small_checkpoint, *out, "--num-classes", 3)
    own = write_checkpoint(other / "own.ckpt", {"my/weights": np.ones(3, "float32")})
    fails(ExitStatus.MISMATCH, "not a network", "convert", own, *out)
    values = small_values()
    values[f"{LOGITS}/biases"][0] = np.inf
    diverged = write_checkpoint(other / "nan.ckpt", values)
    fails(ExitStatus.MISMATCH, f"NaN or infinite:\n  {LOGITS}/biases", "convert", diverged, *out)
    assert not (tmp_path / "out.keras").exists()
    ok("convert", diverged, "-o", tmp_path / "out.weights.h5", "--allow-nonfinite")


def test_ema_is_converted_on_request(tmp_path: Path) -> None:
    values = small_values()
    path = write_checkpoint(tmp_path / "m.ckpt", {**values, **{ema_name(n): a * 2 for n, a in values.items()}})
    plan = json.loads(ok("convert", path, "--dry-run", "--use-ema", "--json"))
    assert plan["load"][f"{LOGITS}/weights"] == ema_name(f"{LOGITS}/weights")
    assert plan["raw_statistics"] == []


def test_statistics_without_shadow_are_mentioned(tmp_path: Path) -> None:
    values = small_values()
    shadows = {ema_name(name): array for name, array in values.items() if "moving_" not in name}
    path = write_checkpoint(tmp_path / "m.ckpt", {**values, **shadows})
    text = ok("convert", path, "--use-ema", "-o", tmp_path / "m.weights.h5")
    assert "Without EMA shadow, taken as they are: 106 moving statistics" in text


def test_an_unexpected_error_is_one_line_and_exit_code_1(
    small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr("slim2keras.recognition.from_variables.recognise", broken)
    fails(ExitStatus.UNEXPECTED, "Unexpected error: ZeroDivisionError: surprise", "inspect", small_checkpoint)
    result = CliRunner().invoke(app, ["--traceback", "inspect", str(small_checkpoint)])
    assert isinstance(result.exception, ZeroDivisionError)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path, small_checkpoint: Path, signal_number: int) -> None:
    process = spawn("convert", small_checkpoint, "-o", tmp_path / "model.keras")
    deadline = time.monotonic() + 120
    while not list(tmp_path.iterdir()) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal_number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == ExitStatus.INTERRUPTED, err
    assert "Interrupted; nothing was written" in err
    assert not list(tmp_path.iterdir())


LOSING = """
import os, signal, time, typer
import slim2keras.cli.app as module
def losing() -> None:
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    except KeyboardInterrupt:
        time.sleep(1)  # not raised again while it is handled
        print("handled", flush=True)
    {then}
    time.sleep(30)
module.app.command()(module._report_errors(losing))
module.main()
"""


@pytest.mark.parametrize("then", ["pass", "raise SystemError('an exception set')"])
def test_an_interruption_that_native_code_swallows_comes_again(then: str) -> None:
    process = subprocess.run(
        [sys.executable, "-c", LOSING.format(then=then), "losing"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == ExitStatus.INTERRUPTED, process.stderr
    assert process.stdout == "handled\n"
    assert process.stderr == "Interrupted; nothing was written.\n"


def test_stdout_carries_nothing_but_the_answer(small_checkpoint: Path) -> None:
    process = spawn("inspect", small_checkpoint, "--json")
    out, err = process.communicate(timeout=120)
    assert json.loads(out)["net"] == SMALL_NET
    assert err == ""


@pytest.fixture(scope="module")
def tuned_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network in the middle of fine-tuning, saved by Keras; loss and metric are functions that only we have."""
    import slim2keras
    from tests.reference import images, labels

    def own_loss(y: Any, x: Any) -> Any:
        return slim2keras.losses.SoftmaxCrossEntropy()(y, x)

    tuned = slim2keras.finetune(slim2keras.build("lenet", num_classes=5), batch_norm="update", ema_decay=0.9)
    tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), own_loss)
    for step in range(3):
        tuned.train_on_batch(images(step, (4, 28, 28, 1)), labels(step, 5, 4))
    path = tmp_path_factory.mktemp("tuned") / "tuned.keras"
    tuned.save(path)
    return path


def test_export_of_a_tuned_model_has_slots_step_and_shadows(tuned_file: Path, tmp_path: Path) -> None:
    text = ok("export", tuned_file, "-o", tmp_path / "model.ckpt-3")
    assert "8 model" in text
    assert "8 optimizer slot" in text
    assert f"Written: {tmp_path}/model.ckpt-3 (V2)" in text.replace("\n", "")
    facts = json.loads(ok("inspect", tmp_path, "--json"))
    assert facts["net"] == "lenet"
    assert facts["global_step"] == 3
    fails(ExitStatus.USAGE, "exists already", "export", tuned_file, "-o", tmp_path / "model.ckpt-3")
    report = json.loads(ok("export", tuned_file, "-o", tmp_path / "model.ckpt-3", "--overwrite", "--json"))
    assert report["variables"] == {"model": 8, "EMA shadow": 8, "optimizer slot": 8, "step counter": 1}


def test_export_undoes_convert(shallow_checkpoint: Path, tmp_path: Path) -> None:
    model = tmp_path / "small.weights.h5"
    ok("convert", shallow_checkpoint, "-o", model)
    text = ok("export", model, "-o", tmp_path / "back.ckpt", "--format", "v1")
    assert "Without step and slots" in text
    ok("verify", tmp_path / "back.ckpt", model)
    (tmp_path / "small.weights.h5.json").unlink()
    fails(ExitStatus.UNREADABLE, "holds weights alone", "export", model, "-o", tmp_path / "again.ckpt")


def test_export_refuses_what_is_no_model(small_checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.ckpt-1"
    fails(ExitStatus.UNREADABLE, "There is no model", "export", tmp_path / "none.keras", "-o", target)
    (tmp_path / "broken.keras").write_bytes(b"PK but no more")
    fails(ExitStatus.UNREADABLE, "cannot be loaded", "export", tmp_path / "broken.keras", "-o", target)
    fails(ExitStatus.USAGE, "", "export", tmp_path / "broken.keras")
    assert not target.exists()


def test_export_refuses_an_optimizer_that_slim_does_not_have(tmp_path: Path) -> None:
    import slim2keras

    model = slim2keras.build("lenet", num_classes=5)
    model.compile("adamw")
    model.save(tmp_path / "other.keras")
    target = tmp_path / "model.ckpt-1"
    fails(ExitStatus.USAGE, "AdamW has no place in a slim checkpoint", "export", tmp_path / "other.keras", "-o", target)
    assert not Path(f"{target}.index").exists()


@pytest.fixture(scope="module")
def images_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of the small network with labels."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    data = np.random.RandomState(0).normal(size=(12, *SMALL_SHAPE)).astype("float32")
    np.savez(path, images=data, labels=np.zeros(12, int))
    return path


def never_updated(directory: Path, net: str = SMALL_NET) -> Path:
    """The small network after 5000 steps without update ops."""
    initial = {"moving_mean": 0.0, "moving_variance": 1.0}
    values = {
        name: np.full_like(value, initial.get(name.rpartition("/")[2], value))
        for name, value in small_values(net).items()
    }
    return write_checkpoint(directory / "model.ckpt-5000", {**values, "global_step": np.int64(5000)})


def test_the_doctor_exits_with_4_for_a_sick_checkpoint(tmp_path: Path) -> None:
    result = Result("doctor", never_updated(tmp_path))
    assert result.status == ExitStatus.SICK
    assert result.out.startswith("pit one: ")
    assert "run `slim2keras recalibrate`" in result.out
    assert not result.err
    found = Result("doctor", tmp_path, "--json")
    assert found.status == ExitStatus.SICK
    assert json.loads(found.out)["healthy"] is False


def test_the_doctor_says_where_the_decay_is_from(tmp_path: Path) -> None:
    values = {"net/moving_mean": np.ones(4, "float32"), "net/moving_variance": np.full(4, 2.0, "float32")}
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", {**values, "global_step": np.int64(200)})
    assert "without the decay (--decay)" in ok("doctor", checkpoint)
    assert "decay 0.9 (given), fast enough for 200 steps" in ok("doctor", checkpoint, "--decay", 0.9)
    result = Result("doctor", checkpoint, "--net", "inception_v3")
    assert result.status == ExitStatus.SICK
    assert result.out.startswith("pit two: 1 of 1 layers was left behind: after 200 steps at decay 0.9997, 94% ")
    assert "decay 0.9997 (the default of inception_v3), slow for 200 steps; 0.955" in result.out


def test_diagnosis_picture_repair_and_diagnosis_again(tmp_path: Path, images_file: Path) -> None:
    checkpoint = never_updated(tmp_path, SHALLOW_NET)
    data = ("--data", images_file, "--input-shape", SHAPE, "--batch-size", 6)
    result = Result("doctor", checkpoint, *data, "--plot", tmp_path / "drift.png")
    assert result.status == ExitStatus.SICK
    assert "on the data: accuracy " in result.out
    assert f"Written: {tmp_path / 'drift.png'}" in result.out
    assert (tmp_path / "drift.png").read_bytes().startswith(b"\x89PNG")
    text = ok("recalibrate", checkpoint, *data, "-o", tmp_path / "well.ckpt-5000")
    assert re.search(r"before: accuracy .*\nafter:  accuracy .*\nfurthest off: ", text)
    report = json.loads((tmp_path / "well.ckpt-5000.json").read_text())
    assert report["after"]["images"] == 12
    assert "remark: the statistics were recalibrated from 12 images" in ok("doctor", tmp_path / "well.ckpt-5000")
    out = ok("recalibrate", checkpoint, *data, "-o", tmp_path / "well.keras", "--sequential", "--json")
    assert json.loads(out)["before"] == pytest.approx(report["before"])


@pytest.mark.parametrize("command", ["doctor", "verify"])
def test_only_slims_arguments_can_be_set(small_checkpoint: Path, command: str) -> None:
    fails(ExitStatus.USAGE, "has no argument 'net'", command, small_checkpoint, "--set", "net=vgg_16")


def test_doctor_and_recalibrate_refuse(tmp_path: Path, shallow_checkpoint: Path, images_file: Path) -> None:
    out = tmp_path / "out.ckpt"
    (tmp_path / "mine.png").write_text("mine")
    fails(ExitStatus.USAGE, "give --data too", "doctor", shallow_checkpoint, "--plot", out)
    fails(ExitStatus.USAGE, "not the name", "doctor", shallow_checkpoint, "--data", images_file, "--plot", out)
    mine = tmp_path / "mine.png"
    fails(ExitStatus.USAGE, "exists", "doctor", shallow_checkpoint, "--data", images_file, "--plot", mine)
    fails(ExitStatus.USAGE, "decay must be", "doctor", shallow_checkpoint, "--decay", 2)
    fails(ExitStatus.UNREADABLE, "nowhere", "doctor", tmp_path / "nowhere")
    fails(ExitStatus.UNREADABLE, "no images", "doctor", shallow_checkpoint, "--data", tmp_path / "nowhere")
    recalibrate = ("recalibrate", shallow_checkpoint, "-o", out, "--data")
    fails(ExitStatus.UNREADABLE, "no images", *recalibrate, tmp_path / "nowhere")
    fails(ExitStatus.UNREADABLE, r"but mine\.png|cannot be read", *recalibrate, tmp_path)
    fails(ExitStatus.UNREADABLE, "--input-shape H,W,C", *recalibrate, images_file, "--input-shape", "64,64,3")
    fails(
        ExitStatus.USAGE,
        "leave it or decay",
        *recalibrate,
        images_file,
        "--input-shape",
        SHAPE,
        "--sequential",
        "--decay",
        1,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]


def test_the_doctor_needs_no_network_it_knows(tmp_path: Path, images_file: Path) -> None:
    values = {"mine/bn/moving_mean": np.ones(4, "float32"), "mine/bn/moving_variance": np.full(4, 2.0, "float32")}
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", values)
    assert "healthy: nothing wrong is seen in the statistics of the only layer" in ok("doctor", checkpoint)
    fails(ExitStatus.MISMATCH, "not a network that", "doctor", checkpoint, "--data", images_file)


def test_a_dry_run_checks_the_target_and_shows_shapes(tmp_path: Path, small_checkpoint: Path) -> None:
    """As the run would: a target that exists is refused before, not after."""
    (tmp_path / "model.keras").write_text("precious")
    dry = ("convert", small_checkpoint, "--dry-run", "-o")
    fails(ExitStatus.USAGE, "exists already", *dry, tmp_path / "model.keras")
    assert f"{LOGITS}/weights   (1, 1, 256, 7)" in ok(*dry, tmp_path / "other.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_outputs_make_their_last_directory(tmp_path: Path, small_checkpoint: Path) -> None:
    """After hours of training nothing fails for want of ``out/``; an error leaves none behind."""
    ok("convert", small_checkpoint, "-o", tmp_path / "new" / "model.weights.h5")
    ok("export", tmp_path / "new" / "model.weights.h5", "-o", tmp_path / "out" / "model.ckpt-1")
    fails(ExitStatus.UNREADABLE, "no checkpoint", "convert", tmp_path / "none", "-o", tmp_path / "more" / "model.keras")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "out"]


def test_a_wrong_number_of_channels_is_told_as_such(small_checkpoint: Path, images_file: Path) -> None:
    """And not as a layer to exclude, which ``doctor`` cannot."""
    data = ("--data", images_file, "--input-shape", "33,36,1")
    result = Result("doctor", small_checkpoint, *data)
    assert result.status == ExitStatus.MISMATCH
    assert "The checkpoint takes images of 3 channels, and 1 were asked for" in result.err
    assert "--input-shape 33,36,3" in result.err
    assert "--exclude" not in result.err


def test_advice_names_options_that_the_command_has(tmp_path: Path, small_checkpoint: Path, images_file: Path) -> None:
    """``--exclude`` is offered where it is, and nowhere else."""
    wrong = ("--num-classes", 3)
    for command in (("doctor", small_checkpoint), ("recalibrate", small_checkpoint, "-o", tmp_path / "well.ckpt")):
        result = Result(*command, "--data", images_file, *wrong)
        assert result.status == ExitStatus.MISMATCH
        assert "--exclude" not in result.err
    assert f"--exclude {LOGITS}" in Result("convert", small_checkpoint, "-o", tmp_path / "m.keras", *wrong).err


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (ExitStatus.UNREADABLE, ("inspect", "nowhere")),
        (ExitStatus.UNREADABLE, ("convert", "nowhere", "-o", "model.keras")),
        (ExitStatus.USAGE, ("convert", "nowhere")),
        (ExitStatus.USAGE, ("convert", "nowhere", "-o", "model.pb")),
        (ExitStatus.USAGE, ("convert", "nowhere", "-o", "model.keras", "--net", "resnet")),
        (ExitStatus.USAGE, ("convert", "nowhere", "-o", "model.keras", "--input-shape", "big")),
        (ExitStatus.UNREADABLE, ("verify", "nowhere")),
        (ExitStatus.UNREADABLE, ("verify", "nowhere", "model.keras")),
        (ExitStatus.UNREADABLE, ("doctor", "nowhere")),
        (ExitStatus.UNREADABLE, ("doctor", "nowhere.keras")),
        (ExitStatus.UNREADABLE, ("doctor", CHECKPOINT, "--pretrained", "nowhere")),
        (ExitStatus.USAGE, ("doctor", CHECKPOINT, "--decay", "5")),
        (ExitStatus.USAGE, ("doctor", CHECKPOINT, "--steps", "-1")),
        (ExitStatus.USAGE, ("verify", CHECKPOINT, "--slim-source", "nowhere")),
        (ExitStatus.UNREADABLE, ("recalibrate", "nowhere", "--data", "images", "-o", "well.ckpt")),
        (ExitStatus.UNREADABLE, ("export", "nowhere.keras", "-o", "model.ckpt-1")),
    ],
)
def test_errors_that_need_no_tensorflow_do_not_wait_for_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_checkpoint: Path,
    status: ExitStatus,
    arguments: tuple[str, ...],
) -> None:
    """What is wrong with names and paths is told before the seconds that its import takes."""

    def imported() -> None:
        raise AssertionError("TensorFlow was imported for nothing")

    monkeypatch.chdir(tmp_path)
    for command in ("convert", "inspect", "verify", "doctor", "recalibrate", "export"):
        monkeypatch.setattr(f"slim2keras.cli.{command}.import_tensorflow", imported)
    fails(status, "Error", *(small_checkpoint if item == CHECKPOINT else item for item in arguments))


def test_help_shows_no_type_behind_a_flag() -> None:
    """A flag takes no value."""
    for command in COMMANDS:
        assert "bool" not in ok(command, "--help")


def test_the_doctor_reads_what_keras_saved(tuned_file: Path, tmp_path: Path) -> None:
    """A network without BatchNorm is healthy; a checkpoint's name that is none names the command that makes one."""
    assert "has no BatchNorm layer" in ok("doctor", tuned_file)
    fails(ExitStatus.UNREADABLE, "`slim2keras export` makes", "convert", tuned_file, "-o", tmp_path / "out.keras")


def test_labels_that_do_not_fit_are_refused_and_can_be_ignored(tmp_path: Path, shallow_checkpoint: Path) -> None:
    """Three folders for seven classes; without labels the doctor still compares."""
    import tensorflow as tf

    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        pixels = np.random.RandomState(ord(name)).randint(0, 256, (40, 40, 3)).astype("uint8")
        tf.io.write_file(str(tmp_path / name / "1.png"), tf.io.encode_png(pixels))
    arguments = ("doctor", shallow_checkpoint, "--data", tmp_path, "--input-shape", SHAPE)
    fails(ExitStatus.UNREADABLE, "it is not clear which is which", *arguments)
    assert "labels: labels ignored, as asked" in Result(*arguments, "--ignore-labels").out
