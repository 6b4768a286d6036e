"""Each network against values of the original on TensorFlow 1.15, which nobody here computed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.keras_model import build, build_model, end_points, spec_of
from slim2keras.loading import slim_variables
from slim2keras.nets import NETS
from slim2keras.recognition import NetSpec
from tests.parity.cases import QUICK
from tests.reference import assign_values, images, labels, values_of

HERE = Path(__file__).parent
FLOOR = json.loads((HERE / "floor.json").read_text())
CASES = sorted(path.stem for path in HERE.glob("*.npz"))
EXEMPT: dict[str, str] = {}


@dataclass(frozen=True)
class Golden:
    name: str
    meta: dict[str, Any]
    arrays: Any
    model: Any

    def bar(self, bound: float, *floors: str) -> float:
        """The bound, or four times what the original itself shows between two TensorFlow builds."""
        return max(bound, *(4 * FLOOR[self.name].get(floor, 0.0) for floor in floors))


@pytest.fixture(scope="module", params=[pytest.param(c, marks=() if c in QUICK else pytest.mark.slow) for c in CASES])
def golden(request: pytest.FixtureRequest) -> Golden:
    arrays = np.load(HERE / f"{request.param}.npz")
    meta = json.loads(str(arrays["meta"]))
    model = build(
        meta["net"],
        input_shape=tuple(meta["input"][1:]),
        num_classes=meta["num_classes"],
        weight_decay=meta.get("weight_decay", 4e-5),
    )
    assign_values(model, values_of(spec_of(model).trace().variables()))
    return Golden(request.param, meta, arrays, model)


def samples(tensor: np.ndarray) -> np.ndarray:
    flat = tensor.ravel()
    return flat[np.linspace(0, flat.size - 1, min(64, flat.size)).astype("int64")]


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs)))


def test_every_network_has_a_case_or_an_exemption() -> None:
    assert set(CASES) | set(EXEMPT) == set(NETS)
    assert not set(CASES) & set(EXEMPT)


def test_variables_are_equal_in_name_shape_and_trainability(golden: Golden) -> None:
    spec = spec_of(golden.model)
    ours = [[variable.name, list(variable.shape), variable.trainable] for variable in spec.trace().variables()]
    assert ours == golden.meta["variables"]
    keras = {name: [list(item.shape), item.trainable] for name, item in slim_variables(golden.model).items()}
    assert keras == {name: [shape, trainable] for name, shape, trainable in golden.meta["variables"]}


def test_end_points_and_logits_at_inference(golden: Golden) -> None:
    import tf_keras

    batch = images(golden.meta["seed"], tuple(golden.meta["input"]))
    outputs = tf_keras.Model(golden.model.input, end_points(golden.model))(batch, training=False)
    wanted = golden.meta["end_points"]
    assert {name: list(tensor.shape) for name, tensor in outputs.items()} == {
        name: facts["shape"] for name, facts in wanted.items()
    }
    bar = golden.bar(1e-4, "end_points")
    for name, tensor in outputs.items():
        theirs = golden.arrays[f"end_point:{name}"]
        if np.any(theirs):
            assert difference(samples(tensor.numpy()), theirs) <= bar, name
        assert np.linalg.norm(tensor.numpy().astype("float64")) == pytest.approx(wanted[name]["l2"], rel=bar), name
    logits = golden.model(batch, training=False)
    logits = logits[0] if isinstance(logits, list) else logits
    assert difference(logits.numpy(), golden.arrays["logits"]) <= golden.bar(2e-5, "logits")


def test_first_training_step(golden: Golden) -> None:
    import tensorflow as tf

    train = golden.meta["train"]
    spec = spec_of(golden.model)
    arguments = {**spec.arguments, **({"dropout_keep_prob": 1.0} if "dropout_keep_prob" in spec.arguments else {})}
    model = build_model(NetSpec.make(spec.net, tuple(train["input"][1:]), arguments))
    assign_values(model, values_of(spec.trace().variables()))
    batch = images(golden.meta["seed"] + 1, tuple(train["input"]))
    target = labels(golden.meta["seed"] + 2, golden.meta["num_classes"], train["input"][0])
    trainable = {name: item for name, item in slim_variables(model).items() if item.trainable}
    with tf.GradientTape() as tape:
        outputs = model(batch, training=True)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        regularization = tf.add_n(model.losses)
        total = regularization
        for weight, logits in zip((1.0, 0.4), outputs, strict=False):
            total += weight * tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits))
    gradients = dict(zip(trainable, tape.gradient(total, list(trainable.values())), strict=True))

    bar = golden.bar(1e-3, "train_logits")
    assert difference(outputs[0].numpy(), golden.arrays["train_logits"]) <= bar
    assert float(regularization) == pytest.approx(train["regularization_loss"], rel=1e-6)
    floor = 4 * FLOOR[golden.name].get("losses", [0.0])[0]
    assert float(total) == pytest.approx(train["losses"][0], rel=max(1e-4, floor))
    largest = max(train["gradient_l2"].values())
    gradient_bar = golden.bar(1e-2, "gradient_of_largest")
    for name, norm in train["gradient_l2"].items():
        assert abs(float(tf.norm(gradients[name])) - norm) <= gradient_bar * largest, name
    moving_bar = golden.bar(1e-5, "moving")
    moved = slim_variables(model)
    for name in train["moving_after_1"]:
        assert difference(samples(moved[name].numpy()), golden.arrays[f"moving:{name}"]) <= moving_bar, name
