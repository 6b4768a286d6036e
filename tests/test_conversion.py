"""Checkpoint to file: every format, whole or not at all, read back bit for bit."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from slim2keras.checkpoints.load_plan import LoadOptions, load_options_of
from slim2keras.conversion import converting
from slim2keras.conversion.converting import convert_to_file
from slim2keras.conversion.reading import load_model
from slim2keras.conversion.report import ConversionReport
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import CheckpointReadError, ModelReadError, NoSpaceError, OutputError, Slim2KerasError
from slim2keras.files.output_files import sha256
from slim2keras.models.building import build_model
from slim2keras.models.networks import network_of
from slim2keras.models.variables import slim_variables
from slim2keras.nets.spec import NetSpec
from slim2keras.outputs import writing
from slim2keras.outputs.formats import OutputFormat, output_format
from tests.reference import (
    SHALLOW_NET,
    SMALL_NET,
    SMALL_SHAPE,
    assign_values,
    images,
    small_spec,
    small_values,
    value,
    values_of,
    write_checkpoint,
)

pytestmark = pytest.mark.usefixtures("shallow_resnets")

# tf_keras needs twenty seconds to trace a SavedModel, so most of its tests are among the slow ones.
SAVED_MODEL = pytest.param("model", marks=pytest.mark.slow)
OUTPUTS = ("model.keras", "model.h5", "model.weights.h5", SAVED_MODEL)


def convert(
    checkpoint: Path,
    output: Path,
    *,
    arguments: dict[str, Any] | None = None,
    load: LoadOptions | None = None,
    **options: Any,
) -> ConversionReport:
    request = CheckpointRequest(None, arguments or {}, SMALL_SHAPE, load or LoadOptions())
    return convert_to_file(checkpoint, output, request, **options)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_every_format_gives_back_every_bit(tmp_path: Path, output: str, version: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", small_values(SHALLOW_NET), version)
    report = convert(checkpoint, tmp_path / output)
    assert report.largest_difference == 0.0
    loaded = load_model(tmp_path / output, checkpoint)
    assert len(slim_variables(loaded)) == report.variables["network"]
    for name, variable in slim_variables(loaded).items():
        np.testing.assert_array_equal(variable.numpy(), value(name, tuple(variable.shape)))


@pytest.mark.parametrize(
    "outputs", [("model.keras", "model.h5"), pytest.param(("model",), marks=pytest.mark.slow)], ids=["files", "model"]
)
def test_files_load_without_slim2keras(tmp_path: Path, shallow_checkpoint: Path, outputs: tuple[str, ...]) -> None:
    """In a process that cannot import slim2keras, a model gives the same numbers."""
    for output in outputs:
        convert(shallow_checkpoint, tmp_path / output)
    batch = images(3, (2, *SMALL_SHAPE))
    np.save(tmp_path / "images.npy", batch)
    code = (
        "import sys; sys.modules['slim2keras'] = None; import numpy, tf_keras\n"
        "_, images, *paths = sys.argv\n"
        "for path in paths:\n"
        "    model = tf_keras.models.load_model(path)\n"
        "    numpy.save(f'{path}.npy', model(numpy.load(images), training=False))"
    )
    arguments = [str(tmp_path / name) for name in ("images.npy", *outputs)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
    model = build_model(small_spec(SHALLOW_NET))
    assign_values(model, small_values(SHALLOW_NET))
    for output in outputs:
        np.testing.assert_array_equal(np.load(tmp_path / f"{output}.npy"), model(batch, training=False).numpy())


def test_a_weights_file_has_the_datasets_of_tf_keras_own_writer(tmp_path: Path) -> None:
    spec = small_spec(SHALLOW_NET, scope="a/b")
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", small_values(SHALLOW_NET, scope="a/b"))
    convert_to_file(checkpoint, tmp_path / "ours.weights.h5", CheckpointRequest(input_shape=SMALL_SHAPE))
    model = build_model(spec)
    assign_values(model, small_values(SHALLOW_NET, scope="a/b"))
    model.save_weights(tmp_path / "theirs.weights.h5")

    def datasets(path: Path) -> dict[str, np.ndarray]:
        found = {}
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        return found

    ours, theirs = datasets(tmp_path / "ours.weights.h5"), datasets(tmp_path / "theirs.weights.h5")
    assert set(ours) == set(theirs)
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array)


def test_a_separable_convolution_survives_a_weights_file(tmp_path: Path) -> None:
    spec = NetSpec.make("inception_v2", (64, 64, 3), {"num_classes": 3, "depth_multiplier": 0.1})
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", values_of(spec.trace().variables()))
    convert_to_file(checkpoint, tmp_path / "model.weights.h5", CheckpointRequest(input_shape=(64, 64, 3)))
    model = build_model(spec)
    model.load_weights(tmp_path / "model.weights.h5")
    for name, variable in slim_variables(model).items():
        np.testing.assert_array_equal(variable.numpy(), value(name, tuple(variable.shape)))


def test_the_report_says_what_was_done(tmp_path: Path, small_checkpoint: Path) -> None:
    options = LoadOptions(exclude=(f"{SMALL_NET}/logits/",))
    report = convert(small_checkpoint, tmp_path / "model.keras", arguments={"num_classes": 4}, load=options)
    written = json.loads((tmp_path / "model.keras.json").read_text())
    assert written == json.loads(json.dumps(report.to_json()))
    assert written["net"] == SMALL_NET
    assert written["arguments"]["depth_multiplier"] == 0.125
    assert written["input_shape"] == list(SMALL_SHAPE)
    assert written["batch_norm"] == {"decay": 0.997, "epsilon": 1e-5}
    assert (written["preprocessing"], written["labels_offset"]) == ("vgg", 1)
    assert written["excluded"]["scopes"] == [f"{SMALL_NET}/logits"]
    assert written["excluded"]["started_afresh"] == [f"{SMALL_NET}/logits/weights", f"{SMALL_NET}/logits/biases"]
    assert written["source"]["global_step"] == 5000
    assert written["source"]["format"] == "V2"
    hashes = {Path(file["path"]).name: file["sha256"] for file in written["source"]["files"]}
    assert hashes == {path.name: sha256(path) for path in small_checkpoint.parent.glob("model.ckpt-5000*")}
    assert set(written["versions"]) == {"slim2keras", "python", "tensorflow", "tf_keras", "numpy"}
    assert written["largest_difference"] == 0.0


def test_a_model_file_knows_how_it_was_converted(tmp_path: Path, shallow_checkpoint: Path) -> None:
    options = LoadOptions(exclude=(f"{SHALLOW_NET}/logits",))
    convert(shallow_checkpoint, tmp_path / "model.keras", arguments={"num_classes": 4}, load=options)
    loaded = load_model(tmp_path / "model.keras", shallow_checkpoint)
    assert load_options_of(loaded) == options
    assert network_of(loaded).arguments["num_classes"] == 4


def test_a_tensor_that_changed_on_the_way_is_noticed(
    tmp_path: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = writing.write_weights

    def one_bit_wrong(model: Any, values: Any, path: Path) -> None:
        write(model, values, path)
        with h5py.File(path, "r+") as file:
            dataset = file["layers/conv2d_3/vars/0"]
            dataset[0, 0, 0, 0] = np.nextafter(dataset[0, 0, 0, 0], np.float32(2))

    monkeypatch.setattr(converting, "write_weights", one_bit_wrong)
    with pytest.raises(Slim2KerasError, match="1 of 267 tensors differ when read back"):
        convert(small_checkpoint, tmp_path / "model.weights.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.keras", OutputFormat.KERAS),
        ("a.h5", OutputFormat.H5),
        ("a.weights.h5", OutputFormat.WEIGHTS),
        ("a", OutputFormat.SAVED_MODEL),
        ("resnet_v1.5", OutputFormat.SAVED_MODEL),
    ],
)
def test_the_suffix_decides_about_the_format(name: str, expected: OutputFormat) -> None:
    assert output_format(Path(name)) is expected


@pytest.mark.parametrize("name", ["model.pb", "model.hdf5", "model.tflite", "model.json"])
def test_an_unknown_suffix_is_refused(tmp_path: Path, small_checkpoint: Path, name: str) -> None:
    with pytest.raises(OutputError, match="unknown format"):
        convert(small_checkpoint, tmp_path / name)


@pytest.mark.parametrize("existing", ["model.keras", "model.keras.json"])
def test_existing_files_are_left_as_they_are_unless_told(tmp_path: Path, small_checkpoint: Path, existing: str) -> None:
    (tmp_path / existing).write_text("precious")
    with pytest.raises(OutputError, match="exists already and is left as it is"):
        convert(small_checkpoint, tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "precious"
    convert(small_checkpoint, tmp_path / "model.keras", overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "model.keras.json"}


def test_a_saved_model_is_replaced_and_another_directory_is_not(tmp_path: Path) -> None:
    """Of LeNet, since tf_keras traces every layer of a SavedModel."""
    values = values_of(NetSpec.make("lenet", None, {}).trace().variables())
    checkpoint = write_checkpoint(tmp_path / "lenet.ckpt", values)
    beside = {path.name for path in tmp_path.iterdir()}
    convert_to_file(checkpoint, tmp_path / "model")
    convert_to_file(checkpoint, tmp_path / "model", overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} - beside == {"model", "model.json"}
    other = tmp_path / "photos"
    other.mkdir()
    (other / "holiday.jpg").write_text("precious")
    with pytest.raises(OutputError, match="holds no SavedModel"):
        convert_to_file(checkpoint, other, overwrite=True)
    assert (other / "holiday.jpg").read_text() == "precious"


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(NoSpaceError, match="3 MiB are needed and 1 MiB are free"):
        convert(small_checkpoint, tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())


def test_a_target_that_cannot_be_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no directory"):
        convert(tmp_path / "no.ckpt", tmp_path / "no" / "where" / "model.keras")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a directory"):
        convert(tmp_path / "no.ckpt", tmp_path / "file" / "model.keras")


def failing(error: Exception) -> Any:
    def write(model: Any, *arguments: Any) -> None:
        Path(arguments[0] if isinstance(arguments[0], Path) else arguments[1]).write_text("half")
        raise error

    return write


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), NoSpaceError),
        (
            OSError("Can't write data (file write failed: errno = 28, error message = 'No space left on device')"),
            NoSpaceError,
        ),
        (PermissionError(errno.EACCES, "Permission denied"), OutputError),
        (RuntimeError("something else"), RuntimeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_nothing_is_left_of_a_write_that_fails(
    tmp_path: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type
) -> None:
    (tmp_path / "model.keras").write_text("the one before")
    monkeypatch.setattr(converting, "write_model", failing(error))
    with pytest.raises(expected):
        convert(small_checkpoint, tmp_path / "model.keras", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert (tmp_path / "model.keras").read_text() == "the one before"


def test_a_real_limit_on_file_size_is_told_as_no_space(tmp_path: Path, small_checkpoint: Path) -> None:
    """Whatever the format, the command says so, exits with 1 and leaves nothing."""
    code = (
        "import resource, signal, sys\n"
        "from slim2keras.cli import main\n"
        "import tensorflow, tf_keras, h5py\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "_, checkpoint, *outputs = sys.argv\n"
        "for output in outputs:\n"
        "    sys.argv = ['slim2keras', 'convert', checkpoint, '-o', output]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as error:\n"
        "        print(error.code)"
    )
    outputs = [str(tmp_path / name) for name in ("model.weights.h5", "model.h5", "model.keras")]
    command = [sys.executable, "-c", code, str(small_checkpoint), *outputs]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1", "1", "1"], result.stderr
    assert result.stderr.count("no space is left") == 3
    assert not list(tmp_path.iterdir())


def test_killed_at_any_moment_there_is_no_half_file(tmp_path: Path, small_checkpoint: Path) -> None:
    code = "from slim2keras.cli import main; main()"
    command = [sys.executable, "-c", code, "convert", str(small_checkpoint), "-o", str(tmp_path / "model.keras")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        drafts = [path for path in tmp_path.glob(".model.keras.*/model.keras") if path.stat().st_size]
        if drafts:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.001)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_a_checkpoint_that_breaks_while_it_is_read_leaves_nothing(tmp_path: Path, own_checkpoint: Path) -> None:
    data = Path(f"{own_checkpoint}.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(bytes(content))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointReadError, match="is corrupt at resnet_v1_50/"):
        convert(own_checkpoint, tmp_path / "model.keras")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.weights.h5"])
def test_a_damaged_model_file_is_refused(tmp_path: Path, shallow_checkpoint: Path, name: str) -> None:
    with pytest.raises(ModelReadError, match="There is no model"):
        load_model(tmp_path / name, shallow_checkpoint)
    convert(shallow_checkpoint, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for damaged in (b"", b"text", content[: len(content) // 2]):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ModelReadError, match="cannot be loaded by tf_keras"):
            load_model(tmp_path / name, shallow_checkpoint)
    (tmp_path / f"{name}.json").write_text("{}")
    with pytest.raises(ModelReadError, match="is not a report of slim2keras"):
        load_model(tmp_path / name, shallow_checkpoint)
