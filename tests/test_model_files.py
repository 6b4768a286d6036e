"""Files as tf_keras has them, written without a model and read without its reader."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import slim2keras
from slim2keras.conversion.converting import convert_to_file
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.models import building
from slim2keras.models.building import build_model
from slim2keras.models.config import model_config
from slim2keras.models.variables import slim_variables
from slim2keras.nets.spec import NetSpec
from slim2keras.outputs.formats import OutputFormat
from slim2keras.outputs.keras_archive import open_weights
from slim2keras.outputs.outline import outline_of_model, outline_of_network
from slim2keras.outputs.writing import write_model
from tests.reference import SMALL_SHAPE, assign_values, small_spec, small_values
from tests.test_round_trips import small_spec_of

ONE_OF_EACH_FAMILY = (
    "alexnet_v2",
    "cifarnet",
    "densenet121",
    "i3d",
    "inception_resnet_v2",
    "inception_v1",
    "inception_v2",
    "inception_v3",
    "inception_v4",
    "lenet",
    "mobilenet_v1_025",
    "mobilenet_v2_035",
    "mobilenet_v3_small",
    "nasnet_cifar",
    "overfeat",
    "resnet_v1_50",
    "resnet_v2_50",
    "s3dg",
    "vgg_a",
)
QUICK_TO_BUILD = ("cifarnet", "inception_v2", "lenet", "mobilenet_v1_025", "mobilenet_v3_small")


@pytest.mark.parametrize(
    "net",
    [pytest.param(net, marks=() if net in QUICK_TO_BUILD else pytest.mark.slow) for net in ONE_OF_EACH_FAMILY],
)
def test_a_network_is_described_without_being_built(net: str) -> None:
    """Configuration, order of layers, places of weights and number of parameters are those of the built model."""
    spec = small_spec_of(net)
    ours, theirs = outline_of_network(spec), outline_of_model(build_model(spec))
    assert json.dumps(ours.config()) == json.dumps(theirs.config())
    assert list(ours.places.items()) == list(theirs.places.items())
    assert ours.num_parameters == theirs.num_parameters


@pytest.mark.parametrize("shape", [(None, None, 3), SMALL_SHAPE])
def test_open_sizes_and_mixed_precision_are_in_the_description(shape: Any) -> None:
    """Under a policy of mixed precision what gives the outputs stays in float32 in the file too."""
    spec = NetSpec.make("mobilenet_v1_025", shape, {"num_classes": 3, "global_pool": True})
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        theirs = tf_keras.saving.serialize_keras_object(build_model(spec))
        assert json.dumps(model_config(spec.trace(), spec.net)) == json.dumps(theirs)
    finally:
        tf_keras.mixed_precision.set_global_policy(before)


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``.keras`` that was written without a model."""
    path = tmp_path_factory.mktemp("small") / "model.keras"
    write_model(outline_of_network(small_spec()), small_values().items(), path, OutputFormat.KERAS)
    return path


@pytest.mark.parametrize("output", ["model.keras", "model.weights.h5"])
def test_a_conversion_builds_no_model(
    output: str, tmp_path: Path, small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values go from file to file: no layer is called, and no variable is made."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a layer was called")

    monkeypatch.setattr(tf_keras.layers.Layer, "__call__", refuse)
    monkeypatch.setattr(tf, "Variable", refuse)
    report = convert_to_file(small_checkpoint, tmp_path / output, CheckpointRequest(input_shape=SMALL_SHAPE))
    assert report.largest_difference == 0.0
    assert sorted(path.name for path in tmp_path.iterdir()) == [output, f"{output}.json"]


def test_the_archive_is_that_of_tf_keras(small_file: Path, tmp_path: Path) -> None:
    """The same members in the same order, none compressed, the same configuration and the same datasets."""
    model = build_model(small_spec())
    assign_values(model, small_values())
    model.save(tmp_path / "theirs.keras")
    with zipfile.ZipFile(small_file) as ours, zipfile.ZipFile(tmp_path / "theirs.keras") as theirs:
        assert ours.namelist() == theirs.namelist()
        assert {member.compress_type for member in ours.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(ours.read("config.json")) == json.loads(theirs.read("config.json"))
        assert json.loads(ours.read("metadata.json")).keys() == json.loads(theirs.read("metadata.json")).keys()
    stored, wanted = datasets(small_file), datasets(tmp_path / "theirs.keras")
    assert stored.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(stored[name], value)


def datasets(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with open_weights(path) as file:
        file.visititems(add)
    return found


class CountingFile(io.FileIO):
    """A file that counts the bytes that are read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.count += len(content)
        return content


def test_tf_keras_reads_forwards(tmp_path: Path) -> None:
    """tf_keras gets its tensors in a few passes over the file; over one that it wrote itself it makes forty."""
    spec = NetSpec.make("resnet_v1_50", SMALL_SHAPE, {"num_classes": 3, "depth_multiplier": 0.5})
    values = {item.name: np.ones(item.shape, "float32") for item in spec.trace().variables()}
    outline = outline_of_network(spec)
    path = tmp_path / "model.keras"
    write_model(outline, ((name, values[name]) for name in outline.places), path, OutputFormat.KERAS)
    with CountingFile(path) as raw, zipfile.ZipFile(raw) as archive, archive.open("model.weights.h5") as member:
        with h5py.File(member, "r") as file:
            for place in outline.places.values():
                assert file[place][()].all()
        assert raw.count < 12 * path.stat().st_size


def test_stock_tf_keras_and_load_model_give_the_same_model(small_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``load_model`` does without the reader of tf_keras and gives every bit of it."""
    theirs = tf_keras.models.load_model(small_file, compile=False)
    monkeypatch.setattr(tf_keras.models, "load_model", None)
    monkeypatch.setattr(tf_keras.Model, "load_weights", None)
    assert_equal_models(slim2keras.load_model(small_file), theirs)
    for name, value in small_values().items():
        np.testing.assert_array_equal(slim_variables(theirs)[name].numpy(), value)


def assert_equal_models(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    assert ours.get_config() == theirs.get_config()
    assert len(ours.weights) == len(theirs.weights)
    for left, right in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(left.numpy(), right.numpy())


def shake(variables: Any) -> None:
    random = np.random.default_rng(0)
    for variable in variables:
        if variable.dtype.is_floating:
            variable.assign(random.standard_normal(variable.shape).astype(variable.dtype.as_numpy_dtype))


def tuned_model() -> Any:
    model = slim2keras.build("mobilenet_v1_025", num_classes=3, input_shape=(32, 32, 3))
    tuned = slim2keras.finetune(model, batch_norm="update", ema_decay=0.9, train_only=["MobilenetV1/Logits"])
    tuned.compile(slim2keras.optimizers.Momentum(0.1, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    return tuned


def model_within_a_model() -> Any:
    inner = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(3,)), tf_keras.layers.Dense(3)])
    inputs = tf_keras.Input((3,))
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(2)(inner(inner(inputs))))
    model.compile(tf_keras.optimizers.Adam())
    return model


def model_with_an_optimizer_within_another() -> Any:
    model = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(3,))])
    model.compile(tf_keras.mixed_precision.LossScaleOptimizer(tf_keras.optimizers.SGD(0.1, momentum=0.9)))
    return model


def model_with_a_shared_initializer() -> Any:
    shared = tf_keras.initializers.GlorotUniform(3)
    layers = [tf_keras.layers.Dense(3, kernel_initializer=shared, input_shape=(3,)) for _ in range(2)]
    model = tf_keras.Sequential(layers)
    model.compile(tf_keras.optimizers.SGD(0.1, momentum=0.9))
    return model


MODELS = (tuned_model, model_within_a_model, model_with_an_optimizer_within_another, model_with_a_shared_initializer)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("make", MODELS)
def test_files_of_tf_keras_own_writer_load_with_every_bit(
    make: Callable[[], Any], compression: int, tmp_path: Path
) -> None:
    """Weights, shadows and the optimizer's state, of layers within layers and shared ones too, packed or not."""
    model = make()
    model.optimizer.build(model.trainable_variables)
    shake([*model.weights, *model.optimizer.variables])
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as plain, zipfile.ZipFile(tmp_path / "x.keras", "w") as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name), compression)
    loaded = slim2keras.load_model(tmp_path / "x.keras", with_optimizer=True)
    assert_equal_models(loaded, model)
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for ours, theirs in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_the_optimizer_is_loaded_on_request(tmp_path: Path) -> None:
    """Without being asked for it, ``load_model`` gives a model that is not compiled."""
    tuned_model().save(tmp_path / "model.keras")
    assert getattr(slim2keras.load_model(tmp_path / "model.keras"), "optimizer", None) is None
    assert slim2keras.load_model(tmp_path / "model.keras", with_optimizer=True).optimizer.name == "Momentum"


def test_excluded_scopes_start_with_slims_initializers(tmp_path: Path, small_checkpoint: Path) -> None:
    """Where a value is not in the checkpoint a model is built for it, and what it drew is in the file."""
    drawn = []
    build = building.build_model
    options = slim2keras.checkpoints.load_plan.LoadOptions(exclude=["resnet_v1_50/logits"])
    request = CheckpointRequest(input_shape=SMALL_SHAPE, load=options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "slim2keras.conversion.converting.build_model", lambda spec: drawn.append(build(spec)) or drawn[0]
        )
        convert_to_file(small_checkpoint, tmp_path / "model.keras", request)
    fresh = slim_variables(drawn[0])["resnet_v1_50/logits/weights"].numpy()
    loaded = slim_variables(slim2keras.load_model(tmp_path / "model.keras"))["resnet_v1_50/logits/weights"].numpy()
    assert fresh.any()
    np.testing.assert_array_equal(loaded, fresh)


def test_weights_that_a_zip_cannot_address_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond four gigabytes a ``.keras`` is an error in words, and no file that cannot be read."""
    monkeypatch.setattr("slim2keras.outputs.keras_archive._LARGEST", 100_000)
    with pytest.raises(slim2keras.errors.OutputError, match=r"too large for a .keras file. Give a .weights.h5"):
        write_model(
            outline_of_network(small_spec()),
            small_values().items(),
            tmp_path / "x.keras",
            OutputFormat.KERAS,
        )
