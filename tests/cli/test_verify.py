"""``slim2keras verify``: parity, or the first difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import slim2keras
from slim2keras.errors import ExitStatus
from slim2keras.nets.spec import NetSpec
from slim2keras.parity import comparing
from slim2keras.slim.runtime import DOWNLOAD_SLIM
from tests.cli.running import SHAPE, Result, fails, ok
from tests.docs.pages import DOCS
from tests.reference import SHALLOW_NET, SMALL_SHAPE, STAND_IN_SLIM, values_of, write_checkpoint

pytestmark = pytest.mark.usefixtures("shallow_resnets")


@pytest.fixture
def compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that asks the same again is given the same report, for another way to print it."""
    compare, reports = comparing.verify, []

    def verify(*arguments: Any, **options: Any) -> Any:
        if not reports:
            reports.append(compare(*arguments, **options))
        return reports[0]

    monkeypatch.setattr(comparing, "verify", verify)


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


@pytest.mark.usefixtures("compared_once")
def test_verify_passes_for_a_converted_model(tmp_path: Path, shallow_checkpoint: Path) -> None:
    """Every rung is judged, and layers that started afresh are compared at equal values."""
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


def test_the_checkpoint_comes_first(tmp_path: Path, shallow_checkpoint: Path) -> None:
    """Who exchanges the two is told the command."""
    (tmp_path / "model.keras").touch()
    arguments = (tmp_path / "model.keras", shallow_checkpoint)
    fails(ExitStatus.USAGE, f"comes first: slim2keras verify {shallow_checkpoint} {arguments[0]}", "verify", *arguments)


def test_verify_converts_by_itself_without_a_model(shallow_checkpoint: Path) -> None:
    """A checkpoint alone is enough."""
    assert "block1/unit_1" in ok("verify", shallow_checkpoint, "--input-shape", SHAPE, "--all")


def test_the_users_own_slim_judges_what_tf_slim_lacks(tmp_path: Path) -> None:
    """``--slim-source`` makes the difference, and is refused where it holds no slim."""
    values = values_of(NetSpec.make("lenet", None, {}).trace().variables())
    checkpoint = write_checkpoint(tmp_path / "lenet.ckpt", values)
    assert "Parity holds" in ok("verify", checkpoint, "--slim-source", STAND_IN_SLIM)
    fails(ExitStatus.USAGE, "tf_slim has no network lenet", "verify", checkpoint)
    fails(ExitStatus.USAGE, "no nets/nets_factory.py", "verify", checkpoint, "--slim-source", tmp_path)


def test_guide_help_and_error_fetch_slim_by_the_same_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads either can judge a MobileNet."""
    assert DOWNLOAD_SLIM in (DOCS / "start.md").read_text(encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "300")
    assert DOWNLOAD_SLIM in ok("verify", "--help")


@pytest.mark.usefixtures("compared_once")
def test_verify_fails_with_5_and_names_the_first_difference(tmp_path: Path, shallow_checkpoint: Path) -> None:
    """One weight off by a thousandth is found, at the layer where it is."""
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


def test_a_model_file_says_itself_which_network_it_is(small_checkpoint: Path, tmp_path: Path) -> None:
    """Options that would be dropped are refused."""
    (tmp_path / "model.keras").write_bytes(b"PK")
    fails(ExitStatus.USAGE, "leave net out", "verify", small_checkpoint, tmp_path / "model.keras", "--net", "lenet")
