"""The doctor: each sickness gets its own verdict and no other, from the checkpoint alone and with data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.batch_norm.batches import are_mixed
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.doctor.findings import Diagnosis, Finding
from slim2keras.doctor.plots import plot_drift
from slim2keras.errors import (
    CheckpointReadError,
    MovingStatisticsWarning,
    OutputError,
    UnknownNetError,
    UnsupportedArgumentError,
)
from slim2keras.scopes import VariableKind
from tests import sick_checkpoints as sick
from tests.parity.training_runs import CLASSES, NETS, build_ours
from tests.reference import images, labels, write_checkpoint

pytestmark = pytest.mark.usefixtures("shallow_resnets")

LAYERS = ("net/conv1/BatchNorm", "net/conv2/BatchNorm", "net/conv3/BatchNorm")
CHANNELS = 8
Values = dict[str, Any]


def values(seed: int = 0, *, step: int | None = 100_000) -> Values:
    """A network of somebody's own, in health."""
    random = np.random.RandomState(seed)
    found: Values = {} if step is None else {"global_step": np.int64(step)}
    for layer in LAYERS:
        found[f"{layer}/gamma"] = random.uniform(0.5, 1.5, CHANNELS).astype("float32")
        found[f"{layer}/beta"] = random.normal(0.0, 0.1, CHANNELS).astype("float32")
        found[f"{layer}/moving_mean"] = random.normal(0.0, 1.0, CHANNELS).astype("float32")
        found[f"{layer}/moving_variance"] = random.uniform(0.5, 2.0, CHANNELS).astype("float32")
        found[layer.replace("BatchNorm", "weights")] = random.normal(0.0, 0.1, (3, 3, 4, CHANNELS)).astype("float32")
    return found


def diagnose(tmp_path: Path, changes: Mapping[str, Any] | None = None, **options: Any) -> Diagnosis:
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", {**values(), **(changes or {})})
    return slim2keras.diagnose(checkpoint, **{"decay": 0.99, **options})


def findings(diagnosis: Diagnosis) -> dict[str, tuple[Finding, ...]]:
    return {layer.name: layer.findings for layer in diagnosis.layers if layer.findings}


def statistics(mean: Any, variance: Any, layer: str = LAYERS[1]) -> Values:
    full = {"moving_mean": mean, "moving_variance": variance}
    return {
        f"{layer}/{name}": np.broadcast_to(value, CHANNELS).astype("float32").copy() for name, value in full.items()
    }


ALL = f"{sick.LAYERS} of {sick.LAYERS} layers"
VERDICTS = {
    "healthy": "healthy: ",
    "pit one": f"pit one: {ALL} were never updated; test results with is_training=False are meaningless",
    "pit two": f"pit two: {ALL} were left behind: after 200 steps at decay 0.9997, 94% of the statistics",
    "not restored": f"{ALL} were given the statistics of a fresh network",
    "poisoned": f"1 of {sick.LAYERS} layers was poisoned: statistics that are NaN or infinite, first {sick.POISONED}",
}


@pytest.mark.parametrize("sickness", VERDICTS)
def test_each_sickness_gets_its_verdict_and_no_other(sick_checkpoints: dict[str, Path], sickness: str) -> None:
    diagnosis = slim2keras.diagnose(sick_checkpoints[sickness])
    verdict, *others = diagnosis.verdicts
    assert verdict.startswith(VERDICTS[sickness])
    assert not others
    assert diagnosis.is_healthy is (sickness == "healthy")
    assert len({finding for layer in diagnosis.layers for finding in layer.findings}) == (sickness != "healthy")
    assert diagnosis.decay_source == "the .meta beside the checkpoint"


@pytest.mark.parametrize("sickness", VERDICTS)
def test_data_show_the_gap_and_its_causes(sick_checkpoints: dict[str, Path], sickness: str) -> None:
    import tensorflow as tf

    images, labels, _, _ = sick.digits()
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(100)
    assert are_mixed([part.numpy() for _, part in data])
    diagnosis = slim2keras.diagnose(sick_checkpoints[sickness], data=data, input_shape=images.shape[1:])
    gap = diagnosis.gap
    assert gap is not None
    assert diagnosis.verdicts[0].startswith(VERDICTS[sickness])
    assert diagnosis.verdicts[1].startswith(f"on the data: {gap.describe()}; ")
    assert len(diagnosis.verdicts) == 2
    off = [layer.name for layer in diagnosis.layers if layer.drift is not None and not layer.drift.is_small]
    if sickness == "healthy":
        assert gap.accuracy_moving == pytest.approx(gap.accuracy_batch, abs=0.02)
        assert not off
        assert diagnosis.is_healthy
        assert "can be trusted, as far as the checkpoint and these images tell" in diagnosis.verdicts[0]
        return
    assert not diagnosis.is_healthy
    assert gap.accuracy_lost > 0.1
    assert diagnosis.gap_repaired.accuracy_lost < 0.05
    assert off == [sick.POISONED] if sickness == "poisoned" else len(off) > 0.85 * sick.LAYERS
    assert diagnosis.layers[0].name == f"{sick.NET}/conv1/BatchNorm"
    assert json.loads(json.dumps(diagnosis.to_json(), allow_nan=False))["gap"]["images"] == len(images)


def test_the_picture_is_drawn(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    images, _, _, _ = sick.digits()
    # The size of the images stands in the .meta.
    diagnosis = slim2keras.diagnose(sick_checkpoints["poisoned"], data=[images[:64]])
    for name in ("drift.png", "drift.svg"):
        plot_drift(diagnosis, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000
    with pytest.raises(OutputError, match="exists"):
        plot_drift(diagnosis, tmp_path / "drift.png")
    with pytest.raises(OutputError, match="not the name of a picture"):
        plot_drift(diagnosis, tmp_path / "drift.txt")
    with pytest.raises(UnsupportedArgumentError, match="diagnose with data"):
        plot_drift(slim2keras.diagnose(sick_checkpoints["poisoned"]), tmp_path / "other.png")


def test_a_network_of_ones_own_in_health(tmp_path: Path) -> None:
    diagnosis = diagnose(tmp_path)
    assert diagnosis.is_healthy
    assert findings(diagnosis) == {}
    assert [layer.name for layer in diagnosis.layers] == list(LAYERS)
    assert diagnosis.layers[0].old_statistics_left == pytest.approx(0.99**100_000)
    assert len(diagnosis.verdicts) == 1
    assert diagnosis.verdicts[0].startswith("healthy: nothing wrong is seen in the statistics of all 3 layers")
    assert diagnosis.verdicts[0].endswith("whether they fit the images, --data tells")


NAN = np.array([np.nan, *np.ones(CHANNELS - 1)])


@pytest.mark.parametrize(
    ("changes", "finding", "words"),
    [
        (statistics(0.0, 1.0), Finding.NEVER_UPDATED, "pit one: 1 of 3 layers was never updated"),
        (statistics(NAN, 1.0), Finding.NONFINITE, "1 of 3 layers was poisoned"),
        (statistics(-np.inf, np.inf), Finding.NONFINITE, "1 of 3 layers was poisoned"),
        (statistics(0.1, np.where(np.isnan(NAN), -0.1, 1.0)), Finding.NEGATIVE_VARIANCE, "a variance is negative"),
        (statistics(0.1, 1e-12), Finding.DEAD_LAYER, "1 of 3 layers was dead"),
        (statistics(0.1, 1e9), Finding.EXPLODING, "1 of 3 layers was exploding"),
    ],
)
def test_sick_layers(tmp_path: Path, changes: Values, finding: Finding, words: str) -> None:
    diagnosis = diagnose(tmp_path, changes)
    assert findings(diagnosis) == {LAYERS[1]: (finding,)}
    assert not diagnosis.is_healthy
    assert words in diagnosis.verdicts[0]


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        (statistics(0.1, np.where(np.isnan(NAN), 0.0, 1.0)), Finding.DEAD_CHANNELS),
        ({f"{LAYERS[1]}/gamma": np.where(np.isnan(NAN), 1e-7, 1.0).astype("float32")}, Finding.SMALL_GAMMA),
    ],
)
def test_what_healthy_networks_have_too_is_a_remark(tmp_path: Path, changes: Values, finding: Finding) -> None:
    diagnosis = diagnose(tmp_path, changes)
    assert findings(diagnosis) == {LAYERS[1]: (finding,)}
    assert diagnosis.layers[1].facts[finding] == f"1 of {CHANNELS} channels"
    assert diagnosis.is_healthy
    assert diagnosis.verdicts[1].startswith("remark: 1 of 3 layers was")


def shadows(of: Values, shift: float) -> Values:
    names = [name for name in of if name.rpartition("/")[2].startswith("moving_")]
    return {f"{name}/ExponentialMovingAverage": of[name] + np.float32(shift) for name in names}


@pytest.mark.parametrize(("shift", "is_healthy"), [(0.01, True), (3.0, False)])
def test_shadows_that_are_out_of_step(tmp_path: Path, shift: float, is_healthy: bool) -> None:
    diagnosis = diagnose(tmp_path, shadows(values(), shift))
    assert diagnosis.is_healthy is is_healthy
    assert len(diagnosis.with_finding(Finding.OUT_OF_STEP)) == (0 if is_healthy else 3)


def test_pit_one_of_fine_tuning_needs_the_start(tmp_path: Path) -> None:
    start = values(1, step=None)
    tuned = {name: value if "moving" in name else value + np.float32(0.1) for name, value in start.items()}
    pretrained = write_checkpoint(tmp_path / "start.ckpt", start)
    checkpoint = write_checkpoint(tmp_path / "tuned.ckpt", {**tuned, "global_step": np.int64(5000)})
    assert slim2keras.diagnose(checkpoint, decay=0.9).is_healthy
    diagnosis = slim2keras.diagnose(checkpoint, decay=0.9, pretrained=pretrained)
    assert findings(diagnosis) == dict.fromkeys(LAYERS, (Finding.FROZEN,))
    assert "while 9 other variables moved" in diagnosis.verdicts[0]
    assert slim2keras.diagnose(pretrained, decay=0.9, steps=9, pretrained=pretrained).with_finding(Finding.FROZEN) == []


def test_a_fresh_network_is_not_pit_one(tmp_path: Path) -> None:
    changes = {name: value for layer in LAYERS for name, value in statistics(0.0, 1.0, layer).items()}
    diagnosis = diagnose(tmp_path, {**changes, "global_step": np.int64(0)})
    assert {finding for found in findings(diagnosis).values() for finding in found} == {Finding.NOT_RESTORED}


@pytest.mark.parametrize(
    ("steps", "decay", "is_healthy", "recommended"),
    [
        (None, 0.9997, True, 0.9997),
        (1000, 0.9997, False, 0.99083),
        (1000, 0.997, True, 0.99083),
        (700, 0.997, False, 0.98693),
    ],
)
def test_pit_two_by_decay_and_steps(
    tmp_path: Path, steps: int | None, decay: float, is_healthy: bool, recommended: float
) -> None:
    diagnosis = diagnose(tmp_path, decay=decay, steps=steps)
    assert diagnosis.is_healthy is is_healthy
    assert diagnosis.recommended_decay == pytest.approx(recommended, abs=1e-3)
    for layer in diagnosis.layers:
        assert layer.old_statistics_left == pytest.approx(decay ** (steps or 100_000))


def test_the_sources_of_the_decay_in_their_order(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    checkpoint = sick_checkpoints["healthy"]

    def source(**options: Any) -> tuple[float | None, str]:
        diagnosis = slim2keras.diagnose(checkpoint, **options)
        return diagnosis.decay, diagnosis.decay_source

    assert source(decay=0.5, net=sick.NET) == (0.5, "given")
    assert source(net="inception_v3") == (0.9997, "the default of inception_v3")
    assert source(net=sick.NET, batch_norm_decay=0.7) == (0.7, f"the default of {sick.NET}")
    assert source() == (pytest.approx(0.9), "the .meta beside the checkpoint")
    checkpoint = tmp_path / "copy.ckpt"
    for suffix in (".index", ".data-00000-of-00001"):
        original = Path(f"{sick_checkpoints['healthy']}{suffix}")
        Path(f"{checkpoint}{suffix}").write_bytes(original.read_bytes())
    assert source() == (0.997, f"assumed, the default of {sick.NET}")
    checkpoint = write_checkpoint(tmp_path / "own.ckpt", values())
    assert source() == (None, "unknown")


def test_what_cannot_be_known_is_said(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", values(step=None))
    remark = "remark: pit two cannot be excluded without "
    assert slim2keras.diagnose(checkpoint).verdicts[1] == f"{remark}the decay (--decay)"
    assert slim2keras.diagnose(checkpoint, decay=0.9).verdicts[1] == f"{remark}the number of steps (--steps)"
    assert len(slim2keras.diagnose(checkpoint, decay=0.9, steps=1000).verdicts) == 1


def test_no_batch_norm_at_all(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", {"vgg_16/conv1/weights": np.ones((3, 3, 3, 4), "float32")})
    diagnosis = slim2keras.diagnose(checkpoint)
    assert diagnosis.is_healthy
    assert diagnosis.verdicts == ("healthy: the checkpoint has no BatchNorm layer",)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"decay": 1.5}, UnsupportedArgumentError),
        ({"decay": "auto"}, UnsupportedArgumentError),
        ({"steps": -1}, UnsupportedArgumentError),
        ({"net": "resnet_v9", "decay": None}, UnknownNetError),
        ({"pretrained": "nowhere.ckpt"}, CheckpointReadError),
    ],
)
def test_wrong_arguments(tmp_path: Path, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        diagnose(tmp_path, **options)


@pytest.mark.parametrize(
    ("mean", "variance", "is_layer"),
    [
        (np.ones((), "float32"), np.ones((), "float32"), True),
        (np.ones((1, 1, 8), "float16"), np.ones((1, 1, 8), "float16"), True),
        (np.ones(8, "float32"), np.ones(4, "float32"), False),
        (np.ones(0, "float32"), np.ones(0, "float32"), False),
        (np.ones(8, "int64"), np.ones(8, "int64"), False),
        (np.array([b"mean"]), np.array([b"variance"]), False),
    ],
)
def test_whatever_somebody_calls_moving_mean(tmp_path: Path, mean: Any, variance: Any, is_layer: bool) -> None:
    diagnosis = diagnose(tmp_path, {"odd/moving_mean": mean, "odd/moving_variance": variance, "odd/gamma": mean})
    assert ("odd" in {layer.name for layer in diagnosis.layers}) is is_layer


def copied(checkpoint: Path, directory: Path) -> Path:
    """Without its ``.meta``, so that the decay can only be assumed."""
    for suffix in (".index", ".data-00000-of-00001"):
        (directory / f"copy.ckpt{suffix}").write_bytes(Path(f"{checkpoint}{suffix}").read_bytes())
    return directory / "copy.ckpt"


def test_a_decay_that_is_assumed_makes_no_verdict(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """What follows from the default of the network alone is told as a condition, and nothing is called sick by it."""
    diagnosis = slim2keras.diagnose(copied(sick_checkpoints["healthy"], tmp_path))
    assert diagnosis.is_healthy
    assert {finding for found in findings(diagnosis).values() for finding in found} == {Finding.PERHAPS_UNDER_CONVERGED}
    assert diagnosis.verdicts[0].startswith("not sick: ")
    assert diagnosis.verdicts[1].startswith(
        "perhaps pit two: if it was trained with decay 0.997, 55% of the statistics"
    )
    assert f"only assumed, the default of {sick.NET}: give --decay" in diagnosis.verdicts[1]
    assert not slim2keras.diagnose(tmp_path / "copy.ckpt", decay=0.997).is_healthy


def test_pit_two_may_be_pit_one_from_pretrained_statistics(tmp_path: Path) -> None:
    """The advice helps in both, and says how to tell them apart; with the start given they are apart."""
    start = values(1, step=None)
    pretrained = write_checkpoint(tmp_path / "start.ckpt", start)
    tuned = {name: value if "moving" in name else value + np.float32(0.1) for name, value in start.items()}
    checkpoint = write_checkpoint(tmp_path / "tuned.ckpt", {**tuned, "global_step": np.int64(500)})
    verdict = slim2keras.diagnose(checkpoint, decay=0.9997).verdicts[0]
    assert "Recalibrate the statistics" in verdict
    assert "Whether they moved at all (pit one), --pretrained CHECKPOINT tells" in verdict
    assert "train on" not in verdict
    assert slim2keras.diagnose(checkpoint, decay=0.9997, pretrained=pretrained).verdicts[0].startswith("pit one: ")


def network(layers: int = 4, channels: int = 32, *, folded: bool) -> Values:
    """Convolutions whose outputs vary as their weights are large; folded, divided by what BatchNorm divides by."""
    random = np.random.RandomState(0)
    found: Values = {"global_step": np.int64(100_000)}
    for number in range(layers):
        scope = f"net/conv{number}"
        weights = random.normal(size=(3, 3, 8, channels)) * random.lognormal(0.0, 0.7, channels)
        variance = (weights**2).sum((0, 1, 2)) * random.lognormal(0.0, 0.7, channels)
        if folded:
            weights = weights / np.sqrt(variance + 1e-3)
        for name, value in {
            "weights": weights,
            "BatchNorm/moving_variance": variance,
            "BatchNorm/moving_mean": random.normal(size=channels),
            "BatchNorm/beta": random.normal(size=channels),
        }.items():
            found[f"{scope}/{name}"] = value.astype("float32")
    return found


def test_folded_weights_with_the_old_statistics_are_seen(tmp_path: Path) -> None:
    """A script that folds BatchNorm into the weights and leaves its statistics makes a network that divides twice."""
    as_trained = write_checkpoint(tmp_path / "trained.ckpt", network(folded=False))
    folded = write_checkpoint(tmp_path / "folded.ckpt", network(folded=True))
    assert slim2keras.diagnose(as_trained, decay=0.99).is_healthy
    diagnosis = slim2keras.diagnose(folded, decay=0.99)
    assert not diagnosis.is_healthy
    assert set(findings(diagnosis).values()) == {(Finding.FOLDED,)}
    assert "take the checkpoint from before folding" in diagnosis.verdicts[0]


def test_folding_is_seen_in_a_network_that_slim_trained(sick_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """With gammas, and convolutions of all sizes."""
    with open_checkpoint(sick_checkpoints["healthy"]) as trained:
        held = {name: trained[name] for name in trained.names(VariableKind.MODEL)}
    for name in [name for name in held if name.endswith("/moving_variance")]:
        scope = name.removesuffix("/moving_variance")
        weights = f"{scope.rpartition('/')[0]}/weights"
        held[weights] = held[weights] * held[f"{scope}/gamma"] / np.sqrt(held[name] + np.float32(1e-5))
    diagnosis = slim2keras.diagnose(write_checkpoint(tmp_path / "folded.ckpt", held), decay=0.9, steps=200)
    assert len(diagnosis.with_finding(Finding.FOLDED)) == len(diagnosis.layers)


def test_too_few_images_decide_nothing(sick_checkpoints: dict[str, Path]) -> None:
    """Three images neither make a healthy network sick nor clear one; the output says so."""
    images, labels, _, _ = sick.digits()
    few = [(images[:3], labels[:3])]
    diagnosis = slim2keras.diagnose(sick_checkpoints["healthy"], data=few, input_shape=images.shape[1:])
    assert diagnosis.is_healthy
    assert diagnosis.with_finding(Finding.PERHAPS_DRIFTED)
    assert any("3 images are too few to tell" in verdict for verdict in diagnosis.verdicts)
    assert not any("can be trusted" in verdict for verdict in diagnosis.verdicts)
    again = slim2keras.diagnose(sick_checkpoints["pit two"], data=few, input_shape=images.shape[1:])
    assert len(again.with_finding(Finding.UNDER_CONVERGED)) == len(again.layers)


def test_a_data_set_that_is_sorted_decides_nothing(sick_checkpoints: dict[str, Path]) -> None:
    """Batches of one class have statistics of their own; a healthy network is not called sick by them."""
    images, labels, _, _ = sick.digits()
    order = np.argsort(labels, kind="stable")
    batches = [(images[part], labels[part]) for part in np.array_split(order, 20)]
    diagnosis = slim2keras.diagnose(sick_checkpoints["healthy"], data=batches, input_shape=images.shape[1:])
    assert diagnosis.is_healthy
    assert any("hold some of the classes each" in verdict for verdict in diagnosis.verdicts)


def test_a_network_of_ones_own_is_told_the_way_that_exists(tmp_path: Path) -> None:
    """The command that cannot read the network is not advised; Python's way is."""
    diagnosis = diagnose(tmp_path, statistics(0.0, 1.0))
    assert not any("run `slim2keras recalibrate`" in verdict for verdict in diagnosis.verdicts)
    assert "slim2keras.load_checkpoint(model, checkpoint)" in diagnosis.verdicts[-1]


def test_layers_come_in_the_order_that_people_count_in(tmp_path: Path) -> None:
    """``Conv2d_2`` before ``Conv2d_10``."""
    names = [f"net/Conv2d_{number}/BatchNorm" for number in (10, 2, 1)]
    changes = {name: value for layer in names for name, value in statistics(0.1, 1.5, layer).items()}
    checkpoint = write_checkpoint(tmp_path / "model.ckpt", changes)
    assert [layer.name for layer in slim2keras.diagnose(checkpoint).layers] == names[::-1]


def test_a_diagnosis_is_a_line_and_a_page(tmp_path: Path) -> None:
    """``repr`` for a prompt, ``print`` for a person."""
    diagnosis = diagnose(tmp_path, statistics(0.0, 1.0), steps=1000, decay=0.9997)
    assert len(repr(diagnosis).splitlines()) == 1
    assert len(repr(diagnosis)) < 400
    page = str(diagnosis)
    assert LAYERS[1] in page
    assert page.splitlines()[0].startswith("pit one: 1 of 3 layers was never updated")
    assert "decay 0.9997 (given), slow for 1,000 steps; 0.9908 would average over their last tenth" in page
    assert "fast enough for 100,000 steps" in str(diagnose(tmp_path, decay=0.9))


def test_the_doctor_reads_keras_files(tmp_path: Path) -> None:
    """The question makes sense there too: the momentum is the decay, and a compiled file knows its steps."""
    net = NETS["separable"]
    tuned = slim2keras.finetune(build_ours(net), batch_norm="update", decay=0.999)
    tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
    with pytest.warns(MovingStatisticsWarning):
        tuned.fit(images(0, (8, *net.shape)), labels(1, CLASSES, 8), batch_size=4, epochs=5, verbose=0)
    tuned.save(tmp_path / "tuned.keras")
    diagnosis = slim2keras.diagnose(tmp_path / "tuned.keras")
    assert diagnosis.steps == 10
    assert diagnosis.decay == pytest.approx(0.999)
    assert len(diagnosis.with_finding(Finding.UNDER_CONVERGED)) == len(diagnosis.layers)
    plain = tf_keras_model_of(tuned)
    plain.save(tmp_path / "plain.keras")
    assert slim2keras.diagnose(tmp_path / "plain.keras", steps=100_000).is_healthy


def test_options_that_a_model_file_does_not_take_are_refused(tmp_path: Path) -> None:
    """It says itself which network it is; none of them is ignored."""
    build_ours(NETS["separable"]).save(tmp_path / "net.keras")
    for options in ({"net": "vgg_16"}, {"use_ema": True}, {"input_shape": (8, 8, 3)}, {"num_classes": 9}):
        with pytest.raises(UnsupportedArgumentError, match=f"leave {next(iter(options))} out"):
            slim2keras.diagnose(tmp_path / "net.keras", **options)


def test_images_of_nan_make_nothing_sick(sick_checkpoints: dict[str, Path]) -> None:
    """The images are at fault, and are named."""
    pictures, _, _, _ = sick.digits()
    broken = pictures[:128].copy()
    broken[5, 3, 3, 0] = np.nan
    diagnosis = slim2keras.diagnose(sick_checkpoints["healthy"], data=[broken], input_shape=pictures.shape[1:])
    assert diagnosis.is_healthy
    assert any("get NaN or infinity from these images" in verdict for verdict in diagnosis.verdicts)


def tf_keras_model_of(tuned: Any) -> Any:
    import tf_keras

    return tf_keras.Model(tuned.input, tuned.output)
