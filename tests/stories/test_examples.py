"""The examples, run as a user runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.nets.spec import NetSpec
from slim2keras.preprocessing.factory import preprocess
from tests.docs.pages import blocks_of
from tests.reference import values_of, write_checkpoint
from tests.trainer.runs import write_images, write_network


def test_the_guide_classifies_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lines run as they stand and print names with the scores of the network, best first."""
    import tensorflow as tf

    (snippet,) = (block.code for block in blocks_of("migrating/checkpoints.md") if "argsort" in block.code)
    monkeypatch.chdir(tmp_path)
    model = slim2keras.build("lenet", input_shape=(28, 28, 3), num_classes=6)
    model.save("model.keras")
    Path("labels.txt").write_text("".join(f"{number}:name {number}\n" for number in range(6)))
    pixels = np.random.RandomState(0).randint(0, 256, (61, 97, 3)).astype("uint8")
    tf.io.write_file("image.jpg", tf.io.encode_jpeg(pixels))
    exec(snippet, {})
    image = tf.io.decode_jpeg(tf.io.read_file("image.jpg"), channels=3)
    scores = tf.nn.softmax(model(preprocess(image, "lenet")[tf.newaxis]))[0].numpy()
    best = scores.argsort()[::-1][:5]
    assert capsys.readouterr().out.splitlines() == [f"{scores[number]:.1%} name {number}" for number in best]


@pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning")  # five steps are few, and it says so
def test_the_guide_trains_on_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines run as they stand, on another checkpoint, and evaluate to what the training says."""
    (snippet,) = (block.code for block in blocks_of("migrating/trainer.md") if "training_request" in block.code)
    monkeypatch.chdir(tmp_path)
    write_network(Path("tiny.keras"))
    write_images(Path("flowers"))
    found: dict[str, Any] = {"slim2keras": slim2keras}
    exec(snippet.replace("resnet_v1_50_2016_08_28.tar.gz", "tiny.keras"), found)
    assert found["result"].state.epoch == 5
    images, labels = next(iter(found["batches"]))
    assert images.shape == (32, 16, 16, 3)
    assert set(labels.numpy()) <= {0, 1, 2}


EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: object) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_finetune(tmp_path: Path) -> None:
    """It ends in a Keras file and a checkpoint of slim with the same numbers."""
    import tf_keras

    spec = NetSpec.make("mobilenet_v1_025", None, {"num_classes": 1001})
    checkpoint = write_checkpoint(tmp_path / "mobilenet.ckpt", values_of(spec.trace().variables()))
    text = run("finetune.py", checkpoint, tmp_path / "tuned")
    assert 'at decay 0.9 (picked by "auto"); after the 86 steps planned 0.0% of the old statistics will be' in text
    plain = tf_keras.models.load_model(tmp_path / "tuned.keras")
    exported = slim2keras.convert(tmp_path / "tuned.ckpt-86", input_shape=(64, 64, 3))
    images = np.random.RandomState(0).uniform(-1, 1, (2, 64, 64, 3)).astype("float32")
    np.testing.assert_array_equal(plain(images, training=False), exported(images, training=False))
    with open_checkpoint(tmp_path / "tuned.ckpt-86") as opened:
        assert opened.global_step == 86


@pytest.mark.slow
def test_two_pits(tmp_path: Path) -> None:
    """It shows both, repairs them and draws its pictures."""
    text = run("two_pits.py", tmp_path)
    assert "Largest difference between the weights of the six runs: 0\n" in text
    repaired = [float(share) for share in re.findall(r"([\d.]+)% *$", text, re.MULTILINE)]
    assert len(repaired) == 6
    assert min(repaired) > 93.0
    assert text.count("    healthy: ") == 2
    for name in ("two_pits.png", "doctor.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_train_images(tmp_path: Path) -> None:
    """Of no use in pit one, good as it is used after ``finetune``; evaluated to what the run says, with pictures."""
    directory = tmp_path / "digits"
    text = run("train_images.py", directory)
    assert "pit one: 27 of 27 layers were never updated" in text
    of_run, evaluated = re.findall(r"^accuracy ([\d.]+)%   \d+ of 450 images", text, re.MULTILINE)
    assert of_run == evaluated
    assert float(of_run) > 90.0
    for name in ("run/curves.png", "confusion.png", "worst.png"):
        assert (directory / name).stat().st_size > 10_000


@pytest.mark.slow
def test_own_network() -> None:
    """It is imported from its own graph, judged by it, and learns on."""
    text = run("own_network.py")
    assert "own against its own graph" in text
    assert "Parity holds." in text
    before, after = map(float, re.findall(r"([\d.]+)% as slim left it, ([\d.]+)% now", text)[0])
    assert before > 80.0
    assert after > before


@pytest.mark.slow
def test_deploy(tmp_path: Path) -> None:
    """Every output gives the class and the logit of the tf_keras model; of a quantized one the logit is near."""
    table = run("deploy.py", tmp_path).partition("off by")[2]
    rows = re.findall(r"^ *(.+?) +[\d,]+ +(\d) +(-?[\d.]+) +([\d.e+-]+) *$", table, re.MULTILINE)
    assert len(rows) == 7
    assert len({number for _, number, *_ in rows}) == 1
    for name, _, _, difference in rows:
        assert float(difference) <= (0.05 if "float16" in name else 1e-4)
