"""``slim2keras export``: from a model back to slim."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import slim2keras
from slim2keras.errors import ExitStatus
from tests.cli.running import fails, ok

pytestmark = pytest.mark.usefixtures("shallow_resnets")


def test_export_of_a_tuned_model_has_slots_step_and_shadows(tuned_file: Path, tmp_path: Path) -> None:
    """Training can go on in slim from what was written, and it is not overwritten unless asked."""
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
    """What comes back passes ``verify``; weights without a report cannot be exported."""
    model = tmp_path / "small.weights.h5"
    ok("convert", shallow_checkpoint, "-o", model)
    text = ok("export", model, "-o", tmp_path / "back.ckpt", "--format", "v1")
    assert "Without step and slots" in text
    ok("verify", tmp_path / "back.ckpt", model)
    (tmp_path / "small.weights.h5.json").unlink()
    fails(ExitStatus.UNREADABLE, "holds weights alone", "export", model, "-o", tmp_path / "again.ckpt")


def test_export_refuses_what_is_no_model(small_checkpoint: Path, tmp_path: Path) -> None:
    """Missing, damaged or without a target: each has its exit code."""
    target = tmp_path / "model.ckpt-1"
    fails(ExitStatus.UNREADABLE, "There is no model", "export", tmp_path / "none.keras", "-o", target)
    (tmp_path / "broken.keras").write_bytes(b"PK but no more")
    fails(ExitStatus.UNREADABLE, "cannot be loaded", "export", tmp_path / "broken.keras", "-o", target)
    fails(ExitStatus.USAGE, "", "export", tmp_path / "broken.keras")
    assert not target.exists()


def test_export_refuses_an_optimizer_that_slim_does_not_have(tmp_path: Path) -> None:
    """Its state is not dropped in silence."""

    model = slim2keras.build("lenet", num_classes=5)
    model.compile("adamw")
    model.save(tmp_path / "other.keras")
    target = tmp_path / "model.ckpt-1"
    fails(ExitStatus.USAGE, "AdamW has no place in a slim checkpoint", "export", tmp_path / "other.keras", "-o", target)
    assert not Path(f"{target}.index").exists()
