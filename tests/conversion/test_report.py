"""The report beside a converted model."""

from __future__ import annotations

import json
from pathlib import Path

from slim2keras.checkpoints.load_plan import LoadOptions
from slim2keras.files.output_files import sha256
from tests.reference import SMALL_NET, SMALL_SHAPE, convert_small


def test_the_report_says_what_was_done(tmp_path: Path, small_checkpoint: Path) -> None:
    """Network, arguments, facts, hashes of the source, versions and the proof, as JSON."""
    options = LoadOptions(exclude=(f"{SMALL_NET}/logits/",))
    report = convert_small(small_checkpoint, tmp_path / "model.keras", arguments={"num_classes": 4}, load=options)
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
