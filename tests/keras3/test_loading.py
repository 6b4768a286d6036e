from __future__ import annotations

import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import keras
import numpy as np
import pytest

import slim2keras
from slim2keras import keras3
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.errors import CheckpointMismatchError, ModelReadError, UnrecognisedNetError, UnsupportedArgumentError
from slim2keras.keras3.loading import _Turns, _variables_fit
from tests.files.half_moved import half_move
from tests.keras3.networks import model_of
from tests.outputs.test_model_safety import edit_config
from tests.outputs.test_size_claims import in_weights, rezipped
from tests.own_network import CLASSES, SHAPE, own_network
from tests.reference import images, labels


@pytest.fixture(name="model")
def _model() -> Any:
    return slim2keras.to_keras3(model_of(own_network()))


def contents(prefix: Path) -> dict[str, np.ndarray]:
    with open_checkpoint(prefix) as checkpoint:
        return {name: checkpoint[name] for name in checkpoint.variables}


def test_a_checkpoint_goes_round_by_keras_3(model: Any, tmp_path: Path) -> None:
    """Of slim's names and bits, into a model that only Keras has loaded too."""
    keras3.export_checkpoint(model, tmp_path / "model.ckpt-1")
    slim2keras.export_checkpoint(model_of(own_network()), tmp_path / "theirs.ckpt-1")
    written, theirs = contents(tmp_path / "model.ckpt-1"), contents(tmp_path / "theirs.ckpt-1")
    assert {*written} == {*theirs}
    assert all(np.array_equal(written[name], theirs[name]) for name in theirs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for weight in loaded.weights:
        weight.assign(weight * 0)
    plan = keras3.load_checkpoint(loaded, tmp_path / "model.ckpt-1")
    assert {*plan.sources} == {*theirs}
    assert all(np.array_equal(*pair) for pair in zip(loaded.get_weights(), model.get_weights(), strict=True))


def test_what_does_not_fit_is_listed_by_slims_names(model: Any, tmp_path: Path) -> None:
    """And left out on request, by these names."""
    keras3.export_checkpoint(model, tmp_path / "model.ckpt-1")
    other = slim2keras.to_keras3(slim2keras.build("lenet", num_classes=3))
    with pytest.raises(CheckpointMismatchError, match="LeNet/conv1/weights"):
        keras3.load_checkpoint(other, tmp_path / "model.ckpt-1")
    model.get_layer("own>logits").bias.assign(np.full(CLASSES, 7.0))
    keras3.load_checkpoint(model, tmp_path / "model.ckpt-1", exclude=["own/logits"])
    assert np.all(np.asarray(model.get_layer("own>logits").bias) == 7.0)


def test_slots_and_step_are_written_too(model: Any, tmp_path: Path) -> None:
    """slim goes on training from there."""
    model.compile(keras3.Momentum(0.1, 0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    keras3.export_checkpoint(model, tmp_path / "model.ckpt-0")
    model.fit(images(0, (4, *SHAPE)), labels(0, CLASSES, 4), verbose=0)
    keras3.export_checkpoint(model, tmp_path / "model.ckpt-1")
    before, after = contents(tmp_path / "model.ckpt-0"), contents(tmp_path / "model.ckpt-1")
    assert (before["global_step"], after["global_step"]) == (0, 1)
    assert not before["own/first/weights/Momentum"].any()
    assert after["own/first/weights/Momentum"].any()


def test_an_optimizer_of_keras_has_no_place_in_a_checkpoint(model: Any, tmp_path: Path) -> None:
    """Its state would be lost, or wrong."""
    model.compile(keras.optimizers.SGD(0.1), "mse")
    with pytest.raises(UnsupportedArgumentError, match="SGD has no place in a slim checkpoint"):
        keras3.export_checkpoint(model, tmp_path / "model.ckpt-1")
    assert not [*tmp_path.iterdir()]


def test_end_points_have_slims_names(model: Any) -> None:
    """And the values of the layers on the way to the outputs."""
    found = keras3.end_points(model)
    assert [*found] == ["first", "second"]
    x = images(0, (2, *SHAPE))
    wanted = keras.Model(model.input, model.get_layer("own>second>Relu").output)(x)
    np.testing.assert_array_equal(keras.Model(model.input, found["second"])(x), wanted)


def test_end_points_beside_the_way_to_the_outputs_are_made() -> None:
    """The softmax of a classifier."""
    model = slim2keras.to_keras3(model_of(slim2keras.build("lenet", num_classes=3).slim_network))
    predictions = keras3.end_points(model)["Predictions"]
    scores = keras.Model(model.input, predictions)(images(0, (2, 28, 28, 1)))
    np.testing.assert_allclose(np.sum(scores, -1), 1.0, rtol=1e-6)


def test_a_file_without_report_has_no_end_points(model: Any, tmp_path: Path) -> None:
    """Nothing tells which network it is."""
    model.save(tmp_path / "model.keras")
    with pytest.raises(UnrecognisedNetError, match=r"keras3\.load_model"):
        keras3.end_points(keras3.load_model(tmp_path / "model.keras"))


def test_a_file_that_was_replaced_half_way_is_whole_before_it_is_read(model: Any, tmp_path: Path) -> None:
    """The one who replaced it was killed when its new report was there."""
    path, beside = tmp_path / "model.keras", tmp_path / "model.keras.json"
    model.save(path)
    beside.write_text(json.dumps(own_network().to_config()))
    half_move(path, beside)
    path.write_bytes(b"old")
    assert keras3.load_model(path).name == model.name


def test_tf_keras_is_not_given_a_file_of_keras_3(model: Any, tmp_path: Path) -> None:
    """The error says what it is, and what loads it."""
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelReadError, match=rf"is a file of Keras {keras.__version__}.*keras\.models\.load_model"):
        slim2keras.load_model(tmp_path / "model.keras")


def test_keras_3_is_not_given_a_file_of_tf_keras(tmp_path: Path) -> None:
    """The error says what it is, and not the whole of its configuration."""
    model_of(own_network()).save(tmp_path / "model.keras")
    with pytest.raises(ModelReadError, match=r"is a file of Keras 2\..* Load it with slim2keras\.load_model; [^\n]*$"):
        keras3.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (slim2keras.fold_batch_norm, "to_keras3 takes the folded model"),
        (partial(slim2keras.finetune, batch_norm="update"), "keras3.finetune"),
        (partial(slim2keras.deploy, output="model.keras"), "slim checkpoint"),
    ],
    ids=["fold", "finetune", "deploy"],
)
def test_what_is_of_tf_keras_refuses_a_model_of_keras_3(call: Any, advice: str, model: Any) -> None:
    """Which knows its network too; the error says what there is instead."""
    with pytest.raises(UnsupportedArgumentError, match=rf"Received: Functional of keras\. .*{advice}"):
        call(model)


@pytest.mark.parametrize("content", [b"", b"no zip"])
def test_a_damaged_file_is_told(content: bytes, tmp_path: Path) -> None:
    """Whatever Keras says of it."""
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(ModelReadError, match="cannot be loaded by Keras 3"):
        keras3.load_model(tmp_path / "model.keras")


def test_a_file_of_a_newer_keras_is_told(model: Any, tmp_path: Path) -> None:
    """Keras reads what older ones wrote; what it misses it says, but not why."""
    model.save(tmp_path / "written.keras")
    with zipfile.ZipFile(tmp_path / "written.keras") as old, zipfile.ZipFile(tmp_path / "model.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps({**json.loads(content), "keras_version": "3.99.0"}).encode()
            if name == "config.json":
                content = content.replace(b'"padding": ', b'"padding_of_tomorrow": 1, "padding": ')
            new.writestr(name, content)
    with pytest.raises(ModelReadError, match=r"Keras 3\.99\.0 wrote it, and loads it: pip install keras==3\.99\.0"):
        keras3.load_model(tmp_path / "model.keras")


def test_a_damaged_report_is_told(model: Any, tmp_path: Path) -> None:
    """It would hide which network the file is."""
    model.save(tmp_path / "model.keras")
    (tmp_path / "model.keras.json").write_text('{"net": 3}')
    with pytest.raises(ModelReadError, match="is not a report of slim2keras"):
        keras3.load_model(tmp_path / "model.keras")


def claim_units(config: dict[str, Any]) -> None:
    layer = config["config"]["layers"][1]
    layer["config"]["units"] = 2**40


def claim_confusion(config: dict[str, Any]) -> None:
    metric = {"module": "keras.metrics", "class_name": "MeanIoU", "config": {"num_classes": 2**20}}
    config["compile_config"]["metrics"] = [metric]


@pytest.mark.parametrize("claim", [claim_units, claim_confusion])
def test_a_small_file_of_large_variables_is_refused(tmp_path: Path, claim: Any) -> None:
    """Before memory is taken, whatever makes them; and afterwards variables are made as ever."""
    path = compiled_file(tmp_path)
    keras3.load_model(path)
    edit_config(path, claim)
    with pytest.raises(ModelReadError, match=r"model\.keras is damaged: by its configuration .* bytes cannot hold"):
        keras3.load_model(path)
    assert keras.Variable(np.zeros(3), name="as_ever").shape == (3,)


def test_threads_that_load_leave_keras_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once would leave what the first had set: every later variable would count as one of its file."""
    path, load, first_loads, second_loads = compiled_file(tmp_path), keras.models.load_model, Event(), Event()
    made_by_layers = keras.Variable.__bases__[0]
    before = made_by_layers.__init__, vars(keras.Model)["from_config"]

    def loading(path: Path) -> Any:
        if first_loads.is_set():
            second_loads.set()
            first.result(10)
        else:
            first_loads.set()
            second_loads.wait(0.2)
        return load(path)

    monkeypatch.setattr(keras.models, "load_model", loading)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(keras3.load_model, path)
        first_loads.wait(10)
        assert threads.submit(keras3.load_model, path).result().name == first.result().name
    assert (made_by_layers.__init__, vars(keras.Model)["from_config"]) == before


def test_variables_of_another_thread_are_not_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who makes a network while a file is loaded may make a large one."""
    monkeypatch.setattr("slim2keras.outputs.size_claims.ALWAYS_ALLOWED", 0)
    with ThreadPoolExecutor(1) as threads, _variables_fit(compiled_file(tmp_path)):
        threads.submit(keras.Variable, "zeros", (2**20,)).result()
        with pytest.raises(ModelReadError, match="cannot hold"):
            keras.Variable("zeros", (2**20,))


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """A dataset that says it has 2**40 numbers, of which none was written."""
    path = compiled_file(tmp_path)
    rezipped(path, in_weights)
    with pytest.raises(ModelReadError, match=r"model\.keras cannot be loaded by Keras.*its values are not there"):
        keras3.load_model(path)


def test_layers_that_wait_are_refused(tmp_path: Path) -> None:
    """Keras before 3.15 would look for them for ever; afterwards its models are made as ever."""
    x = keras.Input((4,))
    keras.Model(x, keras.layers.Dense(4)(keras.layers.Dense(4, name="first")(x))).save(tmp_path / "model.keras")

    def wait_for_itself(config: dict[str, Any]) -> None:
        [tensor] = config["config"]["layers"][1]["inbound_nodes"][0]["args"]
        tensor["config"]["keras_history"] = ["first", 0, 0]

    keras3.load_model(tmp_path / "model.keras")
    before = vars(keras.Model)["from_config"]
    with pytest.raises(ModelReadError, match="cannot be loaded by Keras"):
        keras3.load_model(edit_config(tmp_path / "model.keras", wait_for_itself))
    assert vars(keras.Model)["from_config"] is before


def test_layers_are_gone_through_as_often_as_they_are_called() -> None:
    """Once more, to make them; each time with a layer left to call."""
    layers = _Turns([{"inbound_nodes": [1]}, {"inbound_nodes": [1, 2]}])
    for _ in range(4):
        assert len([*layers]) == 2
    with pytest.raises(ValueError, match="wait for outputs"):
        iter(layers)


def compiled_file(directory: Path) -> Path:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(directory / "model.keras")
    return directory / "model.keras"
