"""Files of strangers: nothing in them runs, and what is refused is named."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import slim2keras
from slim2keras.conversion.reading import load_model
from slim2keras.errors import ExitStatus, ModelReadError, UnsafeModelError
from slim2keras.outputs import model_safety
from slim2keras.outputs.loading import load_weights
from slim2keras.outputs.model_safety import check_model_file
from tests.cli.running import Result

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning")


def lambda_model(marker: Path) -> tf_keras.Model:
    """Whose Lambda layer, inside a model inside a wrapper, creates a file whenever it is called."""
    path = str(marker)
    code = eval(f"lambda x: (open({path!r}, 'w').close(), x)[1]")
    inner = tf_keras.Sequential([tf_keras.layers.Lambda(code, name="trap", input_shape=(3,))], name="inner")
    return tf_keras.Sequential([tf_keras.layers.TimeDistributed(inner, input_shape=(2, 3), name="outer")], name="evil")


def plain_model(**compiled: Any) -> tf_keras.Model:
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, "relu", input_shape=(3,), name="dense")], name="plain")
    if compiled:
        model.compile(**compiled)
    return model


def edit_config(path: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """Change the configuration in a ``.keras`` or ``.h5`` file, as a forger would."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            edit(config)
            file.attrs["model_config"] = json.dumps(config)
        return path
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    edit(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def call_at_load(function: str, argument: str, **others: Any) -> Callable[[dict[str, Any]], None]:
    """Append a TFOpLambda whose arguments are constants, which tf_keras calls while it loads."""

    def edit(config: dict[str, Any]) -> None:
        layer = {
            "class_name": "TFOpLambda",
            "config": {"name": "trap", "trainable": True, "dtype": "float32", "function": function},
            "name": "trap",
            "inbound_nodes": [["_CONSTANT_VALUE", -1, argument, others]],
        }
        if "module" in config:
            layer |= {"module": "tf_keras.src.layers.core.tf_op_layer", "registered_name": "TFOpLambda"}
        config["config"]["layers"].append(layer)

    return edit


class Trap(tf.saved_model.experimental.TrackableResource):  # type: ignore[misc]
    """A resource whose initializer, run by whoever loads the SavedModel, writes a file."""

    def __init__(self, marker: Path) -> None:
        super().__init__()
        self.marker = str(marker)
        self._resource_handle = self._create_resource()

    def _create_resource(self) -> Any:
        return tf.raw_ops.MutableHashTableV2(key_dtype=tf.int64, value_dtype=tf.int64, shared_name="trap")

    @tf.function(input_signature=[])
    def _initialize(self) -> Any:
        tf.io.write_file(self.marker, "written")
        return tf.constant(1.0)


def functional_model() -> tf_keras.Model:
    inputs = tf_keras.Input((3,), name="inputs")
    return tf_keras.Model(inputs, tf_keras.layers.Dense(2, name="dense")(inputs), name="functional")


def evil_file(kind: str, directory: Path, marker: Path) -> Path:
    if kind == "resource":
        model = plain_model()
        model.trap = Trap(marker)
        model.save(directory / "evil", save_format="tf")
        marker.unlink(missing_ok=True)
        return directory / "evil"
    if kind.startswith("function"):
        path = directory / f"evil{kind.removeprefix('function')}"
        functional_model().save(path)
        return edit_config(path, call_at_load("io.write_file", str(marker), contents="written"))
    path = directory / f"evil{kind}"
    lambda_model(marker).save(path, save_format={"": "tf", ".h5": "h5", ".keras": "keras"}[kind])
    marker.unlink(missing_ok=True)
    return path


REASONS = {
    "": "evil/outer/inner/trap: Lambda: a Lambda layer carries Python code",
    ".h5": "evil/outer/inner/trap: Lambda: a Lambda layer carries Python code",
    ".keras": "evil/outer/inner/trap: Lambda: a Lambda layer carries Python code",
    "function.h5": "functional/trap: TFOpLambda calls 'io.write_file'",
    "function.keras": "functional/trap: TFOpLambda calls 'io.write_file'",
    "resource": "op WriteFile is not in the list of ops that only compute",
}


@pytest.mark.parametrize("kind", REASONS)
def test_no_command_runs_code_of_a_file(kind: str, tmp_path: Path, small_checkpoint: Path) -> None:
    """Code that stock tf_keras runs in loading does not run in ``export`` or ``verify``; both say what they found."""
    marker = tmp_path / "marker"
    evil = evil_file(kind, tmp_path, marker)
    for arguments in (("export", evil, "-o", tmp_path / "out.ckpt"), ("verify", small_checkpoint, evil)):
        result = Result(*arguments)
        assert result.status == ExitStatus.UNREADABLE, result.err
        assert REASONS[kind] in " ".join(result.err.split()), result.err
        assert "load it yourself with tf_keras" in " ".join(result.err.split())
        assert "Traceback" not in result.err
    assert not marker.exists()
    assert not list(tmp_path.glob("out.ckpt*"))


@pytest.mark.parametrize("kind", REASONS)
def test_the_attacks_are_real(kind: str, tmp_path: Path) -> None:
    """Stock tf_keras, with its safe mode off where it has one, runs the code of every evil file here."""
    marker = tmp_path / "marker"
    evil = evil_file(kind, tmp_path, marker)
    with contextlib.suppress(AttributeError, TypeError, ValueError):  # tf_keras may stumble once the code has run
        tf_keras.models.load_model(evil, compile=False, **({"safe_mode": False} if kind == ".keras" else {}))
    assert marker.exists()


def rename(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["config"]["layers"][-1].update({key: value})


def configure(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["config"]["layers"][-1]["config"].update({key: value})


def forged(name: str, module: str | None, registered: str | None = None) -> dict[str, Any]:
    return {"class_name": name, "config": {}, "module": module, "registered_name": registered}


FORGERIES = {
    "class of another module": (rename("module", "os"), "class os.Dense"),
    "class of another name": (rename("class_name", "system"), "class keras.layers.system"),
    "class registered by a user": (rename("registered_name", "Mine>Dense"), r"registered as Mine>Dense"),
    "class that is no name": (rename("class_name", {"class_name": "__bytes__", "value": "Lambda"}), "are no names"),
    "private module": (rename("module", "keras.src.utils.data_utils"), "class keras.src.utils.data_utils.Dense"),
    "our name, their module": (
        configure("kernel_initializer", forged("FineTunedModel", "evil", "slim2keras>FineTunedModel")),
        "class evil.FineTunedModel",
    ),
    "initializer": (configure("kernel_initializer", forged("Popen", "subprocess")), "dense: class subprocess.Popen"),
    "regularizer": (configure("kernel_regularizer", "deserialize"), "kernel_regularizer 'deserialize'"),
    "activation by name": (configure("activation", "get"), "dense: activation 'get'"),
    "activation as function": (
        configure("activation", {**forged("function", "os"), "config": "system"}),
        "function 'system' of os",
    ),
    "lambda as activation": (configure("activation", forged("__lambda__", "builtins")), "a lambda carries Python code"),
    "op layer": (rename("class_name", "TensorFlowOpLayer"), "it runs any op"),
    "file as vocabulary": (rename("class_name", "StringLookup"), "it may read a file"),
    "compiled inner model": (
        rename("compile_config", {"optimizer": forged("system", "os")}),
        "class os.system is not stock",
    ),
    "optimizer": (
        lambda config: config.update(compile_config={"optimizer": forged("system", "os")}),
        "optimizer: class os.system",
    ),
    "lambda as loss": (
        lambda config: config.update(compile_config={"loss": forged("__lambda__", "builtins")}),
        "loss and metrics: a lambda carries Python code",
    ),
}


@pytest.fixture(scope="module")
def plain_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plain")
    for name in ("plain.keras", "plain.h5", "plain"):
        plain_model().save(directory / name, save_format="tf" if name == "plain" else None)
    return directory


@pytest.mark.parametrize("forgery", FORGERIES)
def test_every_class_and_function_of_a_configuration_is_looked_at(
    forgery: str, plain_files: Path, tmp_path: Path
) -> None:
    """A layer, initializer, activation or optimizer that is neither tf_keras' own nor ours is refused by name."""
    edit, message = FORGERIES[forgery]
    path = edit_config(shutil.copy(plain_files / "plain.keras", tmp_path / "forged.keras"), edit)
    with pytest.raises(UnsafeModelError, match=message):
        load_model(path, with_optimizer=True)


def test_all_findings_come_at_once(plain_files: Path, tmp_path: Path) -> None:
    """One message has everything that is wrong with a file."""

    def edit(config: dict[str, Any]) -> None:
        rename("class_name", "Lambda")(config)
        configure("activation", "get")(config)

    path = edit_config(shutil.copy(plain_files / "plain.h5", tmp_path / "forged.h5"), edit)
    with pytest.raises(UnsafeModelError, match=r"(?s)Lambda layer.*activation 'get'"):
        load_model(path)


def test_a_file_is_judged_as_tf_keras_reads_it(plain_files: Path, tmp_path: Path) -> None:
    """An HDF5 file that is called .keras is looked into as HDF5, for tf_keras would load it as one."""
    path = edit_config(shutil.copy(plain_files / "plain.h5", tmp_path / "x.h5"), rename("class_name", "Lambda"))
    with pytest.raises(UnsafeModelError, match="Lambda layer"):
        load_model(path.rename(tmp_path / "evil.keras"))


def test_loss_and_metrics_of_the_user_do_not_matter(tmp_path: Path) -> None:
    """A model that was compiled with functions of its own loads, because these are never looked up."""

    def own_loss(y: Any, x: Any) -> Any:
        return tf.reduce_mean(tf.abs(y - x))

    for name in ("own.keras", "own.h5"):
        plain_model(optimizer="adam", loss=own_loss, metrics=[own_loss]).save(tmp_path / name)
        assert load_model(tmp_path / name, with_optimizer=True).name == "plain"


def test_heads_of_stock_layers_and_pure_functions_load(tmp_path: Path) -> None:
    """What users build of stock layers, wrappers, operators and functions that only compute is not refused."""
    layers = tf_keras.layers
    inputs = tf_keras.Input((6, 6, 3), dtype="float32")
    x = layers.Conv2D(4, 3, activation="swish", kernel_regularizer="l2", kernel_constraint="max_norm")(inputs)
    x = layers.TimeDistributed(layers.TimeDistributed(layers.Dense(2)))(x)
    x = tf.nn.relu6(tf.concat([x * 2.0 + 1.0, x[:, :, :, :1]], axis=-1))
    x = tf.math.reduce_mean(layers.Dropout(0.5)(layers.BatchNormalization()(x)), axis=[1, 2])
    rate = tf_keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model = tf_keras.Model(inputs, layers.Activation(tf.nn.softmax)(x))
    model.compile(tf_keras.optimizers.AdamW(rate), "mse", metrics=["mae", tf_keras.metrics.AUC()])
    batch = np.ones((2, 6, 6, 3), "float32")
    for name in ("head.keras", "head.h5", "head"):
        model.save(tmp_path / name, save_format="tf" if name == "head" else None)
        loaded = load_model(tmp_path / name, with_optimizer=name == "head.keras")
        np.testing.assert_array_equal(loaded(batch), model(batch))


def test_our_own_classes_load(tmp_path: Path) -> None:
    """A fine-tuned model with an optimizer and a loss of ours is no stranger, as ``.keras`` and as SavedModel."""
    tuned = slim2keras.finetune(slim2keras.build("lenet", num_classes=5), batch_norm="update", ema_decay=0.9)
    tuned.compile(slim2keras.optimizers.Momentum(0.1, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    for name in ("tuned.keras", "tuned"):
        tuned.save(tmp_path / name, save_format="tf" if name == "tuned" else None)
        loaded = load_model(tmp_path / name, with_optimizer=True)
        assert type(loaded).__name__ == "FineTunedModel"


def test_files_of_earlier_versions_load(tmp_path: Path) -> None:
    """Our classes are known by the names that they are registered under, wherever they lay when the file was saved."""
    tuned = slim2keras.finetune(slim2keras.build("lenet", num_classes=5), batch_norm="update")
    tuned.save(tmp_path / "new.keras")
    module = type(tuned).__module__.encode()
    with zipfile.ZipFile(tmp_path / "new.keras") as new, zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        assert module in new.read("config.json")
        for name in new.namelist():
            old.writestr(name, new.read(name).replace(module, b"slim2keras.finetuning"))
    assert type(load_model(tmp_path / "old.keras")) is type(tuned)


def edited_graph(plain_files: Path, directory: Path, op: str, function: str) -> Path:
    """A SavedModel with one op more in a function."""
    path = Path(shutil.copytree(plain_files / "plain", directory / "forged"))
    saved = SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    for candidate in saved.meta_graphs[0].graph_def.library.function:
        if re.search(function, candidate.signature.name):
            candidate.node_def.add(name="forged", op=op)
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("op", "function"),
    [
        ("PyFunc", "call_and_return"),
        ("EagerPyFunc", "traced_save"),
        ("ReadFile", "call_and_return"),
        ("SaveV2", "call_and_return"),
        ("RestoreV2", "call_fn"),
        ("PrintV2", "wrapped_model"),
        ("NotAnOpAtAll", "traced_restore"),
    ],
)
def test_functions_of_a_saved_model_only_compute(op: str, function: str, plain_files: Path, tmp_path: Path) -> None:
    """Ops for files, Python and printing are refused wherever they are; the saver's, wherever a layer may call them."""
    with pytest.raises(UnsafeModelError, match=rf"{function}.*op {op} is not in the list"):
        check_model_file(edited_graph(plain_files, tmp_path, op, function))


@pytest.mark.parametrize("name", ["saved_model.cpb", "saved_model.pbtxt"])
def test_a_saved_model_has_one_graph(name: str, plain_files: Path, tmp_path: Path) -> None:
    """A second graph, which TensorFlow may prefer to the one that was looked into, is refused."""
    path = Path(shutil.copytree(plain_files / "plain", tmp_path / "forged"))
    (path / name).touch()
    with pytest.raises(UnsafeModelError, match=name):
        check_model_file(path)


def test_a_saved_model_without_keras_metadata_is_no_model(tmp_path: Path) -> None:
    """A SavedModel of other programs is refused in words, not loaded as something else."""
    tf.saved_model.save(tf.Module(), str(tmp_path / "module"))
    with pytest.raises(ModelReadError, match="without Keras metadata"):
        load_model(tmp_path / "module")


def weights_of_another_file(path: Path, how: str, other: Path) -> Path:
    other.write_bytes(np.ones(3).tobytes())
    with h5py.File(path, "a") as file:
        if how == "link":
            file["vars_0"] = h5py.ExternalLink(str(other), "x")
        elif how == "storage":
            file.create_dataset("vars_0", (3,), "f8", external=[(str(other), 0, 24)])
        else:
            layout = h5py.VirtualLayout((3,), "f8")
            layout[:] = h5py.VirtualSource(str(other), "x", shape=(3,))
            file.create_virtual_dataset("vars_0", layout)
    return path


@pytest.mark.parametrize("how", ["link", "storage", "virtual"])
def test_values_of_other_files_are_refused(how: str, plain_files: Path, tmp_path: Path) -> None:
    """Weights may not be taken from other files of this machine, in any of HDF5's three ways."""
    h5 = weights_of_another_file(shutil.copy(plain_files / "plain.h5", tmp_path / "model.h5"), how, tmp_path / "secret")
    weights = weights_of_another_file(tmp_path / "model.weights.h5", how, tmp_path / "secret")
    keras = shutil.copy(plain_files / "plain.keras", tmp_path / "model.keras")
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(keras, "a", compression) as archive:
            archive.write(weights, f"other{compression}.h5")
    for path, load in ((h5, load_model), (weights, partial(load_weights, plain_model())), (keras, load_model)):
        with pytest.raises(UnsafeModelError, match=r"/vars_0: (a link to the file|its values lie in another file)"):
            load(path)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "noise": lambda content: content[:300] + bytes(range(256)) * 4 + content[300:],
    "no container": lambda _: b"{}",
}


@pytest.mark.parametrize("name", ["plain.keras", "plain.h5", "plain"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_an_error_in_words(damage: str, name: str, plain_files: Path, tmp_path: Path) -> None:
    """Truncated or overwritten files of every format are unreadable, never a crash."""
    path = tmp_path / name
    (shutil.copytree if name == "plain" else shutil.copy)(plain_files / name, path)
    for file in (path,) if path.is_file() else (path / "saved_model.pb", path / "keras_metadata.pb"):
        file.write_bytes(DAMAGE[damage](file.read_bytes()))
    with pytest.raises(ModelReadError):
        load_model(path)


@pytest.mark.parametrize(
    "config",
    [
        "[]",
        "null",
        "3",
        "{",
        '{"class_name": []}',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"config": ' * 900 + "1" + "}" * 900,
    ],
)
def test_a_configuration_that_is_none_is_an_error_in_words(config: str, tmp_path: Path) -> None:
    """JSON of the wrong type, unfinished or nested without end is unreadable, never a crash."""
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as archive:
        archive.writestr("config.json", config)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["model_config"] = np.bytes_(config[:60_000])
    for name in ("x.keras", "x.h5"):
        with pytest.raises(ModelReadError):
            load_model(tmp_path / name)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration is read up to a bound, whatever a zip says of its size."""
    monkeypatch.setattr(model_safety, "LARGEST_CONFIG", 1000)
    with zipfile.ZipFile(tmp_path / "x.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", " " * 2_000_000)
    with pytest.raises(ModelReadError, match="more than 1000 bytes"):
        load_model(tmp_path / "x.keras")
