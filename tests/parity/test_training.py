"""Fine-tuning against slim's own training: twenty steps from equal states, then every variable, slot and shadow."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from slim2keras.errors import CheckpointMismatchError
from slim2keras.graphs import layers
from slim2keras.models.variables import slim_variables
from slim2keras.training.export import export_checkpoint
from tests.parity.training_runs import (
    BARS,
    EVERYTHING,
    FEATURES,
    FULL_NETS,
    NETS,
    SCHEDULES,
    STEPS,
    Case,
    Run,
    build_ours,
    differences,
    finetuned,
    of_net,
    run_ours,
    run_theirs,
    slim_training,
    state_of,
    train,
)
from tests.reference import first_quick
from tests.test_optimizers import PAIRS

FROZEN_BELOW = Case(frozen=("MobilenetV1/Conv2d_0", "MobilenetV1/Conv2d_1_depthwise"))


FEW_OPTIMIZERS = ("RMSProp",)
"""Besides Momentum; ``test_optimizers`` holds each of them to TensorFlow 1 on its own."""

FEW_FEATURES = ("slim's trainer", "batch", "frozen", "train_only", "multipliers before clipping", "weights")
"""The others are in "everything", or in one of these."""

Named = dict[str, tuple[str, Case]]


def each_once(named: Named, besides: Named) -> Named:
    """Cases under the first of their names, without those that go by another name already."""
    found: Named = {}
    for name, (net, case) in named.items():
        if (item := (net, of_net(net, case))) not in (*besides.values(), *found.values()):
            found[name] = item
    return found


def cases() -> Named:
    """All at once on each family, one by one on the quick ones; ``resnet_v2`` has its turn in the compiled steps."""
    found = {f"{net}, everything": (net, EVERYTHING) for net in NETS if net != "resnet_v2"}
    found |= {f"{net}, by default": (net, Case()) for net in ("separable", "vgg")}
    found |= {f"{net}, train_only": (net, Case(train_only=True)) for net in ("separable", "vgg")}
    found |= {f"separable, {name}": ("separable", Case(optimizer=name)) for name in FEW_OPTIMIZERS}
    found["separable, exponential"] = ("separable", Case(schedule="exponential"))
    found |= {f"separable, {name}": ("separable", FEATURES[name]) for name in FEW_FEATURES}
    found["separable, frozen below"] = ("separable", FROZEN_BELOW)
    return each_once(found, besides={})


def the_rest() -> Named:
    """Every optimizer, schedule and feature on every network."""
    found: Named = {f"{net}, everything": (net, EVERYTHING) for net in NETS}
    for net in NETS:
        found |= {f"{net}, by default": (net, Case())}
        found |= {f"{net}, {name}": (net, Case(optimizer=name)) for name in PAIRS}
        found |= {f"{net}, {name}": (net, Case(schedule=name)) for name in SCHEDULES}
        found |= {f"{net}, {name}": (net, case) for name, case in FEATURES.items()}
    found["inception_v3, another auxiliary weight"] = ("inception_v3", Case(aux_weight=1.0))
    return each_once(found, besides=cases())


CASES = cases()
REST = the_rest()


@functools.cache
def slims_run(net: str, case: Case) -> Run:
    return run_theirs(NETS[net], case)


def assert_equal_within_the_bars(ours: Run, theirs: Run) -> None:
    assert set(ours.state) == set(theirs.state)
    assert ours.state["global_step"] == theirs.state["global_step"] == STEPS
    found = differences(ours, theirs)
    assert {kind: value for kind, value in found.items() if not value <= BARS[kind]} == {}


@pytest.mark.parametrize("name", [*CASES, *[pytest.param(name, marks=pytest.mark.slow) for name in REST]])
def test_twenty_steps_are_slims(name: str) -> None:
    """Losses, variables, slots, statistics and shadows."""
    net, case = (CASES | REST)[name]
    ours, theirs = run_ours(NETS[net], case), slims_run(net, case)
    assert_equal_within_the_bars(ours, theirs)
    assert len(set(theirs.losses)) == STEPS, "a run that does not move compares nothing"


@pytest.mark.parametrize(
    "net", [pytest.param(n, marks=() if n in ("resnet_v2", "separable") else pytest.mark.slow) for n in NETS]
)
def test_compiled_steps_are_slims(net: str) -> None:
    """In a ``tf.function`` TensorFlow fuses and reorders; at a small rate that stays rounding."""
    calm = replace(NETS[net], rate=1e-4)
    case = of_net(net, Case(optimizer="RMSProp", decay=0.9))
    found = differences(run_ours(calm, case, run_eagerly=False), run_theirs(calm, case))
    assert found["losses"] <= 1e-4
    assert found["moving statistics"] <= 1e-4
    assert found["variables"] <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("net", FULL_NETS)
def test_few_steps_of_a_full_network_are_nearer_than_slim_to_itself(net: str) -> None:
    """slim's own start, shaken in the last bit, is the floor; five times it is the bar."""
    full, steps = FULL_NETS[net], 4
    theirs = run_theirs(full, Case(), steps)
    floor = differences(run_theirs(full, Case(), steps, shake=1e-7), theirs)
    found = differences(run_ours(full, Case(), steps), theirs)
    for kind, value in found.items():
        assert value <= 5 * floor[kind], kind


def their_scheduled_momentum() -> Case:
    return Case(schedule="exponential")


def keras_optimizer(make: Any) -> Any:
    def run(net: str) -> Run:
        import tf_keras

        model = build_ours(NETS[net])
        tuned = finetuned(NETS[net], Case(), model, optimizer=make(tf_keras, SCHEDULES["exponential"][0](0.01)))
        losses = train(tuned, NETS[net], Case(), range(STEPS))
        return Run(losses, {name: item.numpy() for name, item in slim_variables(model).items()})

    return run


def doubled_l2(net: str) -> Run:
    with mock.patch.object(layers, "l2_regularizer", lambda scale: {"class_name": "L2", "config": {"l2": scale}}):
        return run_ours(NETS[net], their_scheduled_momentum())


def frozen_through_trainable(net: str) -> Run:
    """Plain Keras with ``trainable = False`` on BatchNorm, where slim has its variables not trained."""
    import tf_keras

    from slim2keras.losses import SoftmaxCrossEntropy

    model = build_ours(NETS[net])
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.trainable = False
    model.compile(PAIRS["Momentum"][0](SCHEDULES["exponential"][0](0.01)), SoftmaxCrossEntropy(), run_eagerly=True)
    losses = train(model, NETS[net], Case(), range(STEPS))
    return Run(losses, {name: item.numpy() for name, item in slim_variables(model).items()})


MUTANTS = {
    "Keras SGD for Momentum": (keras_optimizer(lambda keras, rate: keras.optimizers.SGD(rate, 0.9)), "Momentum"),
    "RMSprop from zero": (
        keras_optimizer(lambda keras, rate: keras.optimizers.RMSprop(rate, 0.9, 0.9, 1.0)),
        "RMSProp",
    ),
    "L2 not halved": (doubled_l2, "Momentum"),
    "BatchNorm frozen through trainable = False": (frozen_through_trainable, "Momentum"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_fails(name: str) -> None:
    """Its losses and variables miss their bars tenfold."""
    mutant, optimizer = MUTANTS[name]
    found = differences(mutant("separable"), slims_run("separable", Case(optimizer=optimizer, schedule="exponential")))
    assert found["losses"] > 10 * BARS["losses"]
    assert found["variables"] > 10 * BARS["variables"]


@pytest.mark.parametrize("feature", ["decay", "clipping", "multipliers", "weights", "frozen", "batch"])
def test_leaving_a_feature_out_fails(feature: str) -> None:
    """Each of the cases above compares what it says: without the feature the runs differ."""
    found = differences(slims_run("separable", Case()), slims_run("separable", FEATURES[feature]))
    assert any(value > 10 * BARS[kind] for kind, value in found.items())


def test_pit_one_is_the_mode_batch_and_no_other() -> None:
    """slim without update ops: training looks the same, the moving statistics stay where they were."""
    with_updates, without = slims_run("separable", Case()), slims_run("separable", Case(mode="batch"))
    assert without.losses == with_updates.losses
    batch, update = run_ours(NETS["separable"], Case(mode="batch")), run_ours(NETS["separable"], Case())
    assert differences(batch, without)["moving statistics"] == 0.0
    assert differences(update, with_updates)["moving statistics"] <= BARS["moving statistics"]
    assert differences(update, without)["moving statistics"] > 100 * BARS["moving statistics"]


RESUMED = {
    "separable": EVERYTHING,
    "resnet_v1": Case(optimizer="RMSProp", schedule="exponential", ema_decay=0.99),
    "vgg": Case(optimizer="Momentum", train_only=True),
}


@pytest.mark.parametrize("net", first_quick(*RESUMED))
def test_a_run_of_slim_goes_on_here(net: str, tmp_path: Path) -> None:
    """Its checkpoint from the middle of a run is all that is needed for the second half."""
    case = of_net(net, RESUMED[net])
    with slim_training(NETS[net], case) as training:
        training.train(NETS[net], range(STEPS // 2))
        saved = training.saver.save(training.session, str(tmp_path / "model.ckpt"), global_step=STEPS // 2)
        losses = training.train(NETS[net], range(STEPS // 2, STEPS))
        theirs = Run(losses, training.state())
    tuned = finetuned(NETS[net], case, build_ours(NETS[net]), resume_from=saved)
    ours = Run(train(tuned, NETS[net], case, range(STEPS // 2, STEPS)), state_of(tuned))
    assert_equal_within_the_bars(ours, theirs)


@pytest.mark.parametrize(
    ("net", "version"),
    [
        ("separable", "V2"),
        *(("vgg", version) for version in ("V1", "V2")),
        pytest.param("separable", "V1", marks=pytest.mark.slow),
        *(pytest.param("resnet_v1", version, marks=pytest.mark.slow) for version in ("V1", "V2")),
    ],
)
def test_a_run_from_here_goes_on_in_slim(net: str, version: str, tmp_path: Path) -> None:
    """Weights, slots, step and shadows that were exported in the middle of a run are all that slim needs."""
    case = of_net(net, RESUMED[net])
    tuned = finetuned(NETS[net], case, build_ours(NETS[net]))
    train(tuned, NETS[net], case, range(STEPS // 2))
    export_checkpoint(tuned, tmp_path / "model.ckpt-10", version=version)
    with slim_training(NETS[net], case) as training:
        training.saver.restore(training.session, str(tmp_path / "model.ckpt-10"))
        theirs = Run(training.train(NETS[net], range(STEPS // 2, STEPS)), training.state())
    ours = Run(train(tuned, NETS[net], case, range(STEPS // 2, STEPS)), state_of(tuned))
    assert_equal_within_the_bars(ours, theirs)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FEW_OPTIMIZERS else pytest.mark.slow) for name in PAIRS]
)
def test_slim_to_keras_to_slim_is_bit_for_bit(name: str, tmp_path: Path) -> None:
    """Variables, slots, shadows and step, of each optimizer."""
    from slim2keras.checkpoints.reading import open_checkpoint

    net, case = NETS["vgg"], Case(optimizer=name, ema_decay=0.99)
    with slim_training(net, case) as training:
        training.train(net, range(2))
        saved = training.saver.save(training.session, str(tmp_path / "model.ckpt"), global_step=2)
    tuned = finetuned(net, case, build_ours(net), resume_from=saved)
    export_checkpoint(tuned, tmp_path / "again.ckpt-2")
    with open_checkpoint(saved) as theirs, open_checkpoint(tmp_path / "again.ckpt-2") as ours:
        assert ours.variables == theirs.variables
        for variable in theirs:
            np.testing.assert_array_equal(
                np.atleast_1d(ours[variable]).view("uint8"), np.atleast_1d(theirs[variable]).view("uint8")
            )


@pytest.mark.parametrize("theirs", ["Momentum", "RMSProp", "Adam"])
def test_slots_of_another_optimizer_are_refused(theirs: str, tmp_path: Path) -> None:
    """Whichever two they are."""
    net = NETS["vgg"]
    with slim_training(net, Case(optimizer=theirs)) as training:
        saved = training.saver.save(training.session, str(tmp_path / "model.ckpt"), global_step=0)
    for ours in {"GradientDescent", "Momentum", "centred RMSProp", "Adam"} - {theirs}:
        with pytest.raises(CheckpointMismatchError, match="does not have the slots of"):
            finetuned(net, Case(optimizer=ours), build_ours(net), resume_from=saved)
