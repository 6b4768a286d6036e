"""``docs/deployment.md``: its Python runs as it stands, but what needs PyTorch or quantization-aware training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import slim2keras
from tests.docs.pages import blocks_of
from tests.docs.practice import COLOURS, SIZE, make

ELSEWHERE = {
    "PyTorch": "tests/backends.py",
    "Quantization-aware checkpoints as int8 TFLite": "tests/deployment/test_quantization_aware.py",
}
EVERY = [block for block in blocks_of("deployment.md") if block.language == "python"]
BLOCKS = [block for block in EVERY if block.heading not in ELSEWHERE]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:tf_keras.*", "ignore::UserWarning:keras.*"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page names: a checkpoint, images, names of classes, and the files that its commands write."""
    import tensorflow as tf

    directory = tmp_path_factory.mktemp("deployment")
    make(directory)
    (directory / "photos").rename(directory / "images")
    model = slim2keras.convert(directory / "train_dir")
    slim2keras.export_checkpoint(model, directory / "model.ckpt-5000")
    names = directory / "labels.txt"
    names.write_text("".join(f"{number}:{name}\n" for number, name in enumerate(COLOURS)))
    picture = (directory / "images/red/0.png").read_bytes()
    (directory / "tulip.png").write_bytes(picture)
    (directory / "rose.jpg").write_bytes(tf.io.encode_jpeg(tf.io.decode_png(picture)).numpy())
    slim2keras.deploy(model, directory / "model.keras", keras=3)
    slim2keras.deploy(model, directory / "served", signature="bytes", labels=names)
    return directory


@pytest.mark.parametrize("code", [pytest.param(block.code, id=block.heading) for block in BLOCKS])
def test_the_code_runs(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece by itself, with the names that the page leaves to the reader."""
    import ai_edge_litert.interpreter
    import onnxruntime
    import tensorflow as tf

    monkeypatch.chdir(folder)
    random = np.random.RandomState(0)
    known = {
        "slim2keras": slim2keras,
        "tf": tf,
        "onnxruntime": onnxruntime,
        "ai_edge_litert": ai_edge_litert,
        "Path": Path,
        "model": slim2keras.convert("train_dir/"),
        "images": random.uniform(-100, 100, (8, SIZE, SIZE, 3)).astype("float32"),
        "labels": random.randint(0, len(COLOURS), 8),
    }
    exec(code, known)


def test_what_does_not_run_here_is_run_elsewhere() -> None:
    """And stands on the page."""
    assert {block.heading for block in EVERY} >= {*ELSEWHERE}
    assert all((Path(__file__).parents[2] / test).exists() for test in ELSEWHERE.values())
