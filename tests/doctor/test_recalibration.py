"""Recalibration: exact statistics, the repair that slim and Keras agree on, and nothing else touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.batch_norm.batches import images_and_labels
from slim2keras.batch_norm.modes import batch_norm_layers
from slim2keras.batch_norm.probe import BatchNormProbe
from slim2keras.checkpoints.load_plan import LoadOptions
from slim2keras.checkpoints.locating import CheckpointVersion
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.checkpoints.writing import write_checkpoint as write_slim_checkpoint
from slim2keras.conversion.reading import load_model
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.doctor.recalibration import num_sweeps, recalibrate, recalibrate_file
from slim2keras.errors import (
    DataReadError,
    MovingStatisticsWarning,
    OutputError,
    PreprocessingWarning,
    TrainingDataError,
    UnsupportedArgumentError,
)
from slim2keras.models.networks import network_of
from slim2keras.models.variables import slim_variables
from slim2keras.preprocessing.factory import preprocess
from tests import sick_checkpoints as sick
from tests.parity.training_runs import CLASSES, NETS, build_ours
from tests.reference import first_quick, images, labels, write_checkpoint

pytestmark = pytest.mark.usefixtures("shallow_resnets")


SHAPE = (sick.SIZE, sick.SIZE, 3)
NET = NETS["separable"]
X, Y = images(0, (21, *NET.shape)), labels(1, CLASSES, 21)


def batches(size: int = 8, *, with_labels: bool = False) -> list[Any]:
    cuts = [slice(start, start + size) for start in range(0, len(X), size)]
    return [(X[cut], Y[cut]) if with_labels else X[cut] for cut in cuts]


def values(model: Any) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in slim_variables(model).items()}


def is_moving(name: str) -> bool:
    return name.rpartition("/")[2].startswith("moving_")


def test_every_layer_normalises_with_its_batch_in_the_sweep() -> None:
    """Against Keras itself: with momentum 0 a training step leaves the statistics of the batch."""
    model, other = build_ours(NET), build_ours(NET)
    recalibrate(model, [X])
    for layer in batch_norm_layers(other):
        layer.momentum = 0.0
    other(X, training=True)
    for name, value in values(other).items():
        np.testing.assert_allclose(values(model)[name], value, rtol=2e-5, atol=2e-6, err_msg=name)


def test_sequentially_each_layer_is_under_repaired_inputs() -> None:
    """Its statistics are those of what it gets once the layers before it are repaired."""
    import tf_keras

    model = build_ours(NET)
    recalibrate(model, batches(), sequential=True)
    for layer in batch_norm_layers(model):
        rows = tf_keras.Model(model.input, layer.input)(X, training=False).numpy().astype("float64")
        rows = rows.reshape(-1, rows.shape[-1])
        np.testing.assert_allclose(layer.moving_mean, rows.mean(0), rtol=1e-5, atol=1e-6, err_msg=layer.name)
        np.testing.assert_allclose(layer.moving_variance, rows.var(0, ddof=1), rtol=1e-5, err_msg=layer.name)


@pytest.mark.slow
def test_layers_of_a_model_within_a_model_too() -> None:
    """In every way of recalibrating they get the statistics of the plain model."""
    import tf_keras

    inner = build_ours(NET)
    inputs = tf_keras.Input(NET.shape)
    outer = tf_keras.Model(inputs, inner(inputs))
    plain = build_ours(NET)
    for way in WAYS.values():
        recalibrate(outer, batches(), **way)
        recalibrate(plain, batches(), **way)
        for name, value in values(plain).items():
            np.testing.assert_array_equal(values(inner)[name], value, err_msg=name)


def test_the_moving_average_is_that_of_training() -> None:
    """The same as ``fit`` with this momentum at a learning rate of nothing."""
    model, other = build_ours(NET), build_ours(NET)
    recalibrate(model, batches(7), decay=0.8)
    for layer in batch_norm_layers(other):
        layer.momentum = 0.8
    for part in batches(7):
        other(part, training=True)
    for name, value in values(other).items():
        np.testing.assert_allclose(values(model)[name], value, rtol=2e-5, atol=2e-6, err_msg=name)


WAYS: dict[str, dict[str, Any]] = {"exact": {}, "sequential": {"sequential": True}, "moving average": {"decay": 0.5}}


@pytest.mark.parametrize("way", WAYS)
def test_only_moving_statistics_change_and_always_to_the_same(way: str) -> None:
    """Weights stay, labels do not matter, and progress tells every image of every sweep."""
    model, other = build_ours(NET), build_ours(NET)
    before = values(model)
    seen: list[int] = []
    report = recalibrate(model, batches(with_labels=True), progress=seen.append, **WAYS[way])
    recalibrate(other, batches(), **WAYS[way])
    after = values(model)
    assert {name for name in before if not np.array_equal(before[name], after[name])} == {*filter(is_moving, before)}
    for name, value in values(other).items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    assert seen == [8, 8, 5] * num_sweeps(model, **WAYS[way])
    assert report.after.accuracy_moving == pytest.approx(np.mean(model.predict(X, verbose=0).argmax(1) == Y))
    assert list(report.drifts) == [layer.name for layer in batch_norm_layers(model)]
    json.dumps(report.to_json(), allow_nan=False)


def model_that_drops(rate: float) -> Any:
    """With a BatchNorm before its dropout and one behind it."""
    import tf_keras

    inputs = x = tf_keras.Input((12, 12, 3))
    for name in ("first", "second"):
        x = tf_keras.layers.Conv2D(4, 3, name=name)(x)
        x = tf_keras.layers.BatchNormalization(name=f"{name}/BatchNorm")(x)
        x = tf_keras.layers.Dropout(rate)(x)
    return tf_keras.Model(inputs, tf_keras.layers.GlobalAveragePooling2D()(x))


def test_dropout_and_a_tuned_models_modes_do_not_matter() -> None:
    """The statistics are those of the network without either."""
    plain, dropping = model_that_drops(0.0), model_that_drops(0.9)
    dropping.set_weights(plain.get_weights())
    tuned = slim2keras.finetune(dropping, batch_norm="frozen")
    data = [images(5, (8, 12, 12, 3))]
    assert recalibrate(plain, data) == recalibrate(tuned, data)
    for name, value in values(plain).items():
        np.testing.assert_array_equal(values(tuned)[name], value, err_msg=name)


def interrupted() -> Iterator[Any]:
    yield X[:8]
    raise KeyboardInterrupt


def endless() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensors(X).repeat()


class Changing:
    """A data set that is another one the second time."""

    def __init__(self, *passes: Any) -> None:
        self.passes = iter(passes)

    def __iter__(self) -> Iterator[Any]:
        return iter(next(self.passes))


NOT_FINITE = [np.where(np.arange(3) == 1, np.nan, X[:8]).astype("float32")]


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (interrupted, {}, KeyboardInterrupt, None),
        (lambda: Changing(batches(), [X[:8], object()]), {}, ValueError, "unsupported type"),
        (lambda: Changing(batches(), [], []), {}, TrainingDataError, "has no images"),
        (list, {}, TrainingDataError, "has no images"),
        (lambda: NOT_FINITE, {}, TrainingDataError, "NaN or infinite"),
        (lambda: NOT_FINITE, {"sequential": True}, TrainingDataError, "NaN or infinite"),
        (lambda: NOT_FINITE, {"decay": 0.5}, TrainingDataError, "NaN or infinite"),
        (lambda: [(X, Y + CLASSES)], {}, TrainingDataError, "labels from"),
        (lambda: [(X, Y[:3])], {}, TrainingDataError, "3 labels"),
        (lambda: (X, Y), {}, TrainingDataError, "is a tuple"),
        (lambda: [X[:, :16]], {}, TrainingDataError, "takes"),
        (endless, {}, TrainingDataError, "repeats for ever"),
        (batches, {"sequential": True, "decay": 0.5}, UnsupportedArgumentError, "leave it or decay out"),
        (batches, {"decay": "auto"}, UnsupportedArgumentError, "decay must be"),
    ],
)
def test_after_an_error_the_model_is_as_it_was(
    data: Callable[[], Any], options: dict[str, Any], error: type[BaseException], message: str | None
) -> None:
    """Whatever goes wrong with the data, no statistic is half moved."""
    model = build_ours(NET)
    before = values(model)
    with pytest.raises(error, match=message):
        recalibrate(model, data(), **options)
    for name, value in values(model).items():
        np.testing.assert_array_equal(before[name], value, err_msg=name)


def test_one_value_per_channel_has_no_variance() -> None:
    """The layer is named, and nothing becomes NaN."""
    import tf_keras

    inputs = tf_keras.Input((3,))
    model = tf_keras.Model(inputs, tf_keras.layers.BatchNormalization(name="norm")(inputs))
    with pytest.raises(TrainingDataError, match="norm gets one value per channel"):
        recalibrate(model, [np.ones((1, 3), "float32")])


def test_models_that_cannot_be() -> None:
    """Without BatchNorm, with a layer called twice, or no functional model: each is refused as such."""
    import tf_keras

    inputs = tf_keras.Input((4, 4, 3))
    norm = tf_keras.layers.BatchNormalization()
    twice = tf_keras.Model(inputs, tf_keras.layers.Flatten()(norm(norm(inputs))))
    without = tf_keras.Model(inputs, tf_keras.layers.Flatten()(inputs))
    data = [np.ones((2, 4, 4, 3), "float32")]
    for model, message in ((without, "no BatchNorm layer"), (twice, "called twice"), (norm, "not a functional model")):
        with pytest.raises(UnsupportedArgumentError, match=message):
            recalibrate(model, data)


@pytest.fixture(scope="module")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training images of the sick checkpoints."""
    data, targets, _, _ = sick.digits()
    path = tmp_path_factory.mktemp("digits") / "train.npz"
    np.savez(path, images=data, labels=targets)
    return path


@pytest.mark.parametrize("sickness", first_quick("pit one", "pit two", "not restored", "poisoned"))
def test_slim_and_keras_are_well_again(
    sick_checkpoints: dict[str, Path], digits_file: Path, tmp_path: Path, sickness: str
) -> None:
    """The gap closes to within a point, slim and Keras agree, and everything else is bit for bit what it was."""
    checkpoint, output = sick_checkpoints[sickness], tmp_path / "well.ckpt-200"
    request = CheckpointRequest(input_shape=SHAPE)
    report = recalibrate_file(checkpoint, digits_file, output, request, batch_size=100)
    assert report.before.accuracy_lost > 0.1
    assert report.after.accuracy_lost < 0.01
    _, _, held_out, targets = sick.digits()
    model = slim2keras.convert(output, input_shape=SHAPE)
    accuracy = float(np.mean(model.predict(held_out, verbose=0).argmax(1) == targets))
    assert sick.accuracy_of_slim(output) == pytest.approx(accuracy, abs=1e-9)
    held_out_gap = BatchNormProbe(model).measure([(held_out, targets)]).gap
    assert held_out_gap.accuracy_moving == pytest.approx(accuracy)
    assert held_out_gap.accuracy_lost < 0.05
    with open_checkpoint(checkpoint) as old, open_checkpoint(output) as new:
        assert sorted(old) == sorted(new)
        for name in old:
            assert (old[name].tobytes() != new[name].tobytes()) is is_moving(name), name
        assert old.global_step == new.global_step
    diagnosis = slim2keras.diagnose(output)
    assert diagnosis.is_healthy
    assert diagnosis.verdicts[1] == "remark: the statistics were recalibrated from 1400 images"


def test_the_report_speaks_of_these_very_files_only(
    sick_checkpoints: dict[str, Path], digits_file: Path, tmp_path: Path
) -> None:
    """Beside another checkpoint under the same name the doctor does not believe it."""
    output = tmp_path / "well.ckpt-200"
    recalibrate_file(sick_checkpoints["pit two"], digits_file, output, CheckpointRequest(input_shape=SHAPE))
    for suffix in (".index", ".data-00000-of-00001"):
        Path(f"{output}{suffix}").write_bytes(Path(f"{sick_checkpoints['pit two']}{suffix}").read_bytes())
    assert not slim2keras.diagnose(output, decay=0.9997).is_healthy


def test_of_shadows_it_is_the_shadows_that_are_repaired(tmp_path: Path, digits_file: Path) -> None:
    """Raw statistics stay, since the averages are what is used."""
    model = slim2keras.build(sick.NET, input_shape=SHAPE, **sick.ARGUMENTS)
    raw = values(model)
    shadows = {f"{name}/ExponentialMovingAverage": value for name, value in raw.items()}
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", {**raw, **shadows})
    request = CheckpointRequest(input_shape=SHAPE, load=LoadOptions(use_ema=True))
    recalibrate_file(checkpoint, digits_file, tmp_path / "well.ckpt", request, batch_size=200)
    with open_checkpoint(checkpoint) as old, open_checkpoint(tmp_path / "well.ckpt") as new:
        changed = {name for name in old if old[name].tobytes() != new[name].tobytes()}
    assert changed == {f"{name}/ExponentialMovingAverage" for name in raw if is_moving(name)}


@pytest.mark.parametrize("suffix", first_quick(".keras", ".h5", ".weights.h5"))
def test_keras_files_are_written_by_their_names(
    sick_checkpoints: dict[str, Path], digits_file: Path, tmp_path: Path, suffix: str
) -> None:
    """Each format loads in stock tf_keras with the accuracy that the report tells."""
    import tf_keras

    output = tmp_path / f"well{suffix}"
    request = CheckpointRequest(input_shape=SHAPE)
    report = recalibrate_file(sick_checkpoints["pit one"], digits_file, output, request, batch_size=200)
    if suffix == ".weights.h5":
        model = slim2keras.build(sick.NET, input_shape=SHAPE, **sick.ARGUMENTS)
        model.load_weights(output)
    else:
        model = tf_keras.models.load_model(output)
    data, targets, _, _ = sick.digits()
    accuracy = np.mean(model.predict(data, verbose=0).argmax(1) == targets)
    assert accuracy == pytest.approx(report.after.accuracy_moving, abs=1e-3)
    assert json.loads(Path(f"{output}.json").read_text())["after"]["images"] == len(data)


def test_images_are_prepared_by_the_pipeline_that_is_named(classes_folder: Path, tmp_path: Path) -> None:
    """The statistics are those of images that slim's flag asks for, which nobody doubts, and the report says which."""
    import tensorflow as tf

    model = slim2keras.build(sick.NET, input_shape=SHAPE, **sick.ARGUMENTS)
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", values(model))
    request, output = CheckpointRequest(input_shape=SHAPE), tmp_path / "well.ckpt"
    recalibrate_file(checkpoint, classes_folder, output, request, labels=False, preprocessing_name="mobilenet_v1")
    assert json.loads(Path(f"{output}.json").read_text())["preprocessing"] == "inception"
    pixels = np.stack([tf.io.decode_png(path.read_bytes()).numpy() for path in classes_folder.glob("*/*.png")])
    with pytest.warns(PreprocessingWarning):
        recalibrate(model, [preprocess(pixels, "inception", height=sick.SIZE, width=sick.SIZE).numpy()])
    with open_checkpoint(output) as written:
        for name in filter(is_moving, written):
            np.testing.assert_allclose(written[name], values(model)[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_what_exists_is_kept(sick_checkpoints: dict[str, Path], digits_file: Path, tmp_path: Path) -> None:
    """A model, a checkpoint or a report under the name: nothing is overwritten, nothing new is left."""
    for name in ("well.keras", "well.ckpt.index", "other.ckpt.json"):
        (tmp_path / name).write_text("mine")
    request = CheckpointRequest(input_shape=SHAPE)
    for name in ("well.keras", "well.ckpt", "other.ckpt"):
        with pytest.raises(OutputError, match="exists"):
            recalibrate_file(sick_checkpoints["pit one"], digits_file, tmp_path / name, request)
    with pytest.raises(DataReadError, match="no images"):
        recalibrate_file(sick_checkpoints["pit one"], tmp_path / "none.npz", tmp_path / "new.ckpt", request)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.ckpt.json", "well.ckpt.index", "well.keras"]


def sorted_batches(*, is_sorted: bool) -> list[Any]:
    """Twelve batches of eight, of two classes."""
    pictures, classes = images(0, (96, *NET.shape)), np.arange(96) % 2
    order = np.argsort(classes, kind="stable") if is_sorted else np.random.RandomState(0).permutation(96)
    return [(pictures[part], classes[part]) for part in np.array_split(order, 12)]


def test_a_sorted_data_set_is_warned_of() -> None:
    """Nothing is put into another order there, so the mix of classes in each batch decides about a warning."""
    with pytest.warns(MovingStatisticsWarning, match="hold some of the classes each"):
        report = recalibrate(build_ours(NET), sorted_batches(is_sorted=True))
    assert not report.is_mixed
    assert recalibrate(build_ours(NET), sorted_batches(is_sorted=False)).is_mixed


def test_a_small_last_batch_joins_the_one_before() -> None:
    """One image has statistics of its own kind, and would count as a whole step of the moving average."""
    recalibrated, expected = build_ours(NET), build_ours(NET)
    recalibrate(recalibrated, [X[:10], X[10:20], X[20:21]], decay=0.5)
    recalibrate(expected, [X[:10], X[10:21]], decay=0.5)
    for name, value in values(expected).items():
        np.testing.assert_array_equal(values(recalibrated)[name], value, err_msg=name)
    assert [len(part) for part, _ in images_and_labels([X[:8], X[8:16], X[16:21]])] == [8, 8, 5]
    labelled = [(X[:8], Y[:8]), (X[8:9], Y[8:9])]
    ((pictures, numbers),) = images_and_labels(labelled)
    np.testing.assert_array_equal(pictures, X[:9])
    assert list(numbers) == list(Y[:9])


def test_a_name_that_looks_like_a_format_is_no_checkpoint(tmp_path: Path) -> None:
    """A slip of the pen does not write a slim checkpoint called ``well.kears``."""
    (tmp_path / "data").mkdir()
    for name in ("well.kears", "r.pb", "x.hdf5", "a.kera", "b.json", "c.KERAS"):
        with pytest.raises(OutputError, match="unknown format"):
            recalibrate_file("nowhere", tmp_path / "data", tmp_path / name)


def test_a_recalibrated_model_file_is_read_again(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """Its report says which network it is, as that of a conversion does."""
    pictures, numbers, _, _ = sick.digits()
    np.savez(tmp_path / "digits.npz", images=pictures[:128], labels=numbers[:128])
    request = CheckpointRequest(input_shape=SHAPE)
    recalibrate_file(sick_checkpoints["pit one"], tmp_path / "digits.npz", tmp_path / "well.keras", request)
    model = load_model(tmp_path / "well.keras")
    assert network_of(model).arguments["num_classes"] == sick.CLASSES
    assert slim2keras.diagnose(tmp_path / "well.keras").layers
    recalibrate_file(tmp_path / "well.keras", tmp_path / "digits.npz", tmp_path / "back.ckpt")
    np.testing.assert_allclose(
        open_value(tmp_path / "back.ckpt", sick.POISONED), moving_mean(model, sick.POISONED), rtol=1e-4, atol=1e-5
    )


def test_recalibration_advances_the_checkpoint_file(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """The doctor of the directory sees the repaired checkpoint, as ``tf.train.latest_checkpoint`` does."""
    import tensorflow as tf

    values_of_it = dict(open_values(sick_checkpoints["pit one"]))
    write_slim_checkpoint(tmp_path / "model.ckpt-114", values_of_it, CheckpointVersion.V2)
    assert not slim2keras.diagnose(tmp_path).is_healthy
    pictures, numbers, _, _ = sick.digits()
    np.savez(tmp_path / "digits.npz", images=pictures[:256], labels=numbers[:256])
    recalibrate_file(
        tmp_path, tmp_path / "digits.npz", tmp_path / "model.ckpt-115", CheckpointRequest(input_shape=SHAPE)
    )
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "model.ckpt-115")
    diagnosis = slim2keras.diagnose(tmp_path)
    assert diagnosis.is_healthy
    assert any("recalibrated from 256 images" in verdict for verdict in diagnosis.verdicts)


def open_values(checkpoint: Path) -> Iterator[tuple[str, np.ndarray]]:
    with open_checkpoint(checkpoint) as opened:
        yield from opened.items()


def test_a_report_is_a_line_and_a_page() -> None:
    """``repr`` for a prompt, ``print`` for a person."""
    report = recalibrate(build_ours(NET), batches(with_labels=True))
    assert len(repr(report).splitlines()) == 1
    assert [line.partition(":")[0] for line in str(report).splitlines()] == [
        "before",
        "after",
        "furthest off",
        "remark",
    ]
    assert "21 images are few" in str(report)


def open_value(checkpoint: Path, layer: str) -> np.ndarray:
    return dict(open_values(checkpoint))[f"{layer}/moving_mean"]


def moving_mean(model: Any, layer: str) -> np.ndarray:
    found: np.ndarray = model.get_layer(layer).moving_mean.numpy()
    return found
