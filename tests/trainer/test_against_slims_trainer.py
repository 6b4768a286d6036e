"""The proof of the whole: slim's own trainer and ours, from one checkpoint on the same records."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import slim2keras
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.graphs import layers
from slim2keras.graphs.network import GraphNetwork, Network
from slim2keras.models.building import build_model
from slim2keras.nets.spec import NetSpec
from slim2keras.scopes import VariableKind
from tests.data.files import example, write_records
from tests.parity.slim_trainer import SlimRun, run_slim
from tests.parity.training_runs import CLASSES, NETS
from tests.trainer.runs import Losses

STEPS, BATCH, IMAGES, SIZE = 20, 8, 160, 64
CASES = ("separable", "resnet_v1_50")
"""A shallow network of ``training_runs`` and a full one, both without dropout, which slim draws anew each time."""

pytestmark = [
    pytest.mark.slow,
    # Two add up gradients in another order each time, as two runs of slim do, and twenty steps make 1e-3 of that.
    pytest.mark.skipif(os.environ.get("TF_NUM_INTRAOP_THREADS") != "1", reason="needs TF_NUM_INTRAOP_THREADS=1"),
]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEG photographs of three textures, no two of one size, larger and smaller than the network's."""
    import tensorflow as tf

    random = np.random.RandomState(0)
    found = []
    for number in range(IMAGES):
        label = number * 7 % CLASSES
        coarse = random.uniform(0, 255, (4 + 8 * label, 5 + 8 * label, 3)).astype("float32")
        pixels = tf.cast(tf.image.resize(coarse, (40 + number // 2, 90 - number // 4)), tf.uint8)
        found.append(example(tf.io.encode_jpeg(pixels).numpy(), label, format=b"jpg"))
    folder = tmp_path_factory.mktemp("flowers")
    # One shard: slim takes several in the order in which the file system lists them.
    write_records(folder / "flowers_train_00000-of-00001.tfrecord", found)
    write_records(folder / "flowers_validation_00000-of-00001.tfrecord", found[:CLASSES])
    return folder


def network_named(name: str) -> Network:
    if name not in NETS:
        return NetSpec.make(name, (SIZE, SIZE, 3), {"num_classes": CLASSES})
    x = layers.inputs((SIZE, SIZE, 3))
    x.graph.outputs.extend(NETS[name].ours(x, NETS[name].decay))
    return GraphNetwork(name, x.graph, "lenet", num_classes=CLASSES)


@pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning")
@pytest.mark.parametrize("net", CASES)
def test_a_run_trains_as_slims_trainer_does(net: str, records: Path, tmp_path: Path) -> None:
    """Twenty steps by slim's defaults: each loss within 1e-4, moving statistics within 1e-5."""
    start, network = tmp_path / "start" / "model.ckpt-0", network_named(net)
    slim2keras.export_checkpoint(build_model(network), start)
    theirs = run_slim(
        SlimRun(
            records=str(records / "flowers_train_*.tfrecord"),
            images=IMAGES,
            classes=CLASSES,
            train_dir=str(tmp_path / "slim"),
            net=net,
            size=SIZE,
            steps=STEPS,
            batch=BATCH,
            optimizer="rmsprop",
            learning_rate=0.01,
            checkpoint=str(start),
        )
    )
    losses = Losses()
    request = slim2keras.training_request(
        start,
        records,
        tmp_path / "run",
        batch_norm="update",
        shuffle=False,
        preprocessing_name="lenet",
        image_size=SIZE,
        batch_size=BATCH,
        max_number_of_steps=STEPS,
        export_slim=True,
        of_checkpoint=CheckpointRequest(network=network),
    )
    slim2keras.train(request, progress=losses)
    np.testing.assert_allclose(losses.of_steps, theirs, rtol=1e-4)
    with open_checkpoint(tmp_path / "slim") as slims, open_checkpoint(tmp_path / "run" / "slim") as exported:
        names = [name for name in slims.names(VariableKind.MODEL) if "moving_" in name]
        assert names
        for name in names:
            np.testing.assert_allclose(
                exported[name], slims[name], rtol=0, atol=1e-5 * np.abs(slims[name]).max(), err_msg=name
            )
        assert set(slims.variables) == set(exported.variables)
