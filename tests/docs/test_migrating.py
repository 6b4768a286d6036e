"""``docs/migrating/code.md``: slim's code runs, ours runs, and both come to the same; ``what-breaks.md`` is true."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slim2keras
from slim2keras.slim.runtime import import_tf_slim, slim_graph
from tests.docs.pages import DOCS, blocks_of

SIZE, CLASSES = 64, 5
BLOCKS = blocks_of("migrating/code.md")
OLD, NEW = ([block for block in BLOCKS if block.title == title] for title in ("slim", "slim2keras"))
PAIRS = [pytest.param(old.code, new.code, id=new.heading) for old, new in zip(OLD[1:], NEW[1:], strict=True)]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    random = np.random.RandomState(0)
    images = random.uniform(-1, 1, (8, SIZE, SIZE, 3)).astype("float32")
    return {"batch": images, "labels": random.randint(0, CLASSES, 8)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]) -> Path:
    """``train_dir/`` and ``averaged/``, as slim leaves them after two steps."""
    directory = tmp_path_factory.mktemp("migrating")
    slim = import_tf_slim()
    import tensorflow as tf
    from tf_slim.nets import resnet_v1

    v1 = tf.compat.v1
    with slim_graph() as graph, v1.Session(graph=graph) as session:
        images = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3])
        with slim.arg_scope(resnet_v1.resnet_arg_scope()):
            logits, _ = resnet_v1.resnet_v1_50(images, num_classes=CLASSES, is_training=True)
        v1.losses.softmax_cross_entropy(tf.one_hot(data["labels"], CLASSES), tf.squeeze(logits, [1, 2]))
        average = v1.train.ExponentialMovingAverage(0.9999)
        v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, average.apply(slim.get_model_variables()))
        train_op = slim.learning.create_train_op(v1.losses.get_total_loss(), v1.train.MomentumOptimizer(0.001, 0.9))
        session.run(v1.global_variables_initializer())
        for _ in range(2):
            session.run(train_op, {images: data["batch"]})
        shadows = {average.average_name(variable) for variable in slim.get_model_variables()}
        saver = v1.train.Saver([item for item in v1.global_variables() if item.op.name not in shadows])
        saver.save(session, str(directory / "train_dir/model.ckpt"), 500)
        v1.train.Saver().save(session, str(directory / "averaged/model.ckpt"), 500)
    return directory


def test_every_pair_has_both_sides() -> None:
    """Old code and new code stand under the same headings."""
    assert [block.heading for block in OLD] == [block.heading for block in NEW]
    assert PAIRS


@pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning")
@pytest.mark.filterwarnings("ignore::UserWarning:tf_slim.*", "ignore::UserWarning:tf_keras.*")
@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_old_and_new_code_come_to_the_same(
    old: str, new: str, folder: Path, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each side runs as it stands, and what it calls ``result`` is the same number."""
    monkeypatch.chdir(folder)
    theirs, ours = dict(data), dict(data)
    with slim_graph():
        exec(OLD[0].code + old, theirs)
    exec(NEW[0].code + new, ours)
    wanted, found = (np.asarray(side["result"], "float64") for side in (theirs, ours))
    np.testing.assert_allclose(found.ravel(), wanted.ravel(), rtol=0.0, atol=1e-4 * np.abs(wanted).max())


WHAT_BREAKS = (DOCS / "migrating/what-breaks.md").read_text(encoding="utf-8")
BUILDING = "resnet_v1.resnet_v1_50(tf.placeholder(tf.float32, [None, 64, 64, 3]), num_classes=5, is_training=False)"
OLD_CODE = "import tensorflow.compat.v1 as tf\nimport tf_slim as slim\nfrom tf_slim.nets import resnet_v1\n"
BROKEN = {
    "No module named 'tf_keras.legacy_tf_layers'": (
        f"{OLD_CODE}with tf.Graph().as_default(), slim.arg_scope(resnet_v1.resnet_arg_scope()):\n    {BUILDING}"
    ),
    "Could not locate class 'Functional'": "import tensorflow as tf\ntf.keras.models.load_model('model.keras')",
}


def run(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own, with nothing set for tf_keras or slim."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    environment["PYTHONPATH"] = str(DOCS.parent)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("message", BROKEN)
def test_what_breaks_breaks_as_the_page_says(message: str, tmp_path: Path) -> None:
    """The error is that which a reader has seen."""
    slim2keras.build("lenet", num_classes=3).save(tmp_path / "model.keras")
    assert message in WHAT_BREAKS
    assert message in run(BROKEN[message], tmp_path).stderr


@pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning")
def test_old_code_runs_once_more_and_a_checkpoint_goes_there_and_back(folder: Path) -> None:
    """The two pieces of code on the page."""
    once_more, there_and_back = (block.code for block in blocks_of("migrating/what-breaks.md"))
    for code in (once_more, there_and_back):
        done = run(code, folder)
        assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / "back_to_slim/model.ckpt-500.index").exists()
