"""A network that was imported from its graph goes the way that a net of slim's zoo goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import slim2keras
from slim2keras.conversion.converting import convert_to_file
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.doctor.diagnosing import diagnose_as_asked
from slim2keras.doctor.recalibration import recalibrate_file
from slim2keras.errors import CheckpointReadError
from slim2keras.importing.request import GraphRequest
from slim2keras.models.networks import network_of
from tests.importing.foreign_networks import NETWORKS
from tests.importing.writing_graphs import WrittenGraph, images_of, write_graph
from tests.reference import write_checkpoint

NAME = "without_gamma"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> WrittenGraph:
    return write_graph(NETWORKS[NAME], "training", tmp_path_factory.mktemp("graph"))


def test_it_is_diagnosed_with_data_and_recalibrated(written: WrittenGraph, tmp_path: Path) -> None:
    """The doctor takes the graph beside the checkpoint, its decay, and the repaired checkpoint is well."""
    (batch,) = images_of(NETWORKS[NAME])
    shape = batch.shape[1:]
    np.savez(tmp_path / "images.npz", images=np.random.RandomState(0).uniform(-1, 1, (128, *shape)).astype("float32"))
    reader = tf.train.load_checkpoint(str(written.path))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    values |= {name: item * 50.0 for name, item in values.items() if name.endswith("moving_variance")}
    checkpoint = write_checkpoint(tmp_path / "sick.ckpt-7", values)
    request = CheckpointRequest(graph=GraphRequest(written.meta))
    diagnosis = diagnose_as_asked(checkpoint, request, data=tmp_path / "images.npz")
    assert not diagnosis.is_healthy
    output = tmp_path / "well.ckpt-7"
    recalibrate_file(checkpoint, tmp_path / "images.npz", output, request)
    assert diagnose_as_asked(output, request, data=tmp_path / "images.npz").is_healthy


@pytest.mark.parametrize("name", ["own.keras", "own.h5", "own.weights.h5"])
def test_a_file_of_it_is_loaded_fine_tuned_and_judged_by_its_graph(
    written: WrittenGraph, tmp_path: Path, name: str
) -> None:
    """The report says where the graph is, so that what was loaded again is compared with it."""
    report = convert_to_file(written.path, tmp_path / name)
    assert report.largest_difference == 0.0
    model = slim2keras.load_model(tmp_path / name)
    assert network_of(model).decays == dict.fromkeys(network_of(model).decays, 0.9)
    assert slim2keras.verify(written.path, model).passed


def test_a_fine_tuned_one_goes_on_after_it_was_saved(written: WrittenGraph, tmp_path: Path) -> None:
    """With its optimizer, and back to slim under the names of the checkpoint."""
    tuned = slim2keras.finetune(slim2keras.convert(written.path, graph=written.meta), batch_norm="update")
    tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), "mse")
    (batch,) = images_of(NETWORKS[NAME])
    targets = np.zeros((len(batch), 3), "float32")
    tuned.train_on_batch(batch, targets)
    tuned.save(tmp_path / "tuned.keras")
    again = slim2keras.load_model(tmp_path / "tuned.keras", with_optimizer=True)
    again.compile(again.optimizer, "mse")
    losses = [float(np.ravel(item.train_on_batch(batch, targets))[0]) for item in (tuned, again)]
    assert losses[0] == losses[1]
    slim2keras.export_checkpoint(again, tmp_path / "back.ckpt-2")
    names = set(tf.train.load_checkpoint(str(tmp_path / "back.ckpt-2")).get_variable_to_shape_map())
    assert names <= set(tf.train.load_checkpoint(str(written.path)).get_variable_to_shape_map())
    assert {name for name in names if name.endswith("/Momentum")}


def test_a_graph_that_is_gone_is_asked_for(written: WrittenGraph, tmp_path: Path) -> None:
    """What judges must be there."""
    reader = tf.train.load_checkpoint(str(written.path))
    alone = write_checkpoint(
        tmp_path / "alone.ckpt-1", {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    )
    graph = tmp_path / "graph.meta"
    graph.write_bytes(written.meta.read_bytes() if written.meta else b"")
    model = slim2keras.convert(alone, graph=graph)
    graph.unlink()
    with pytest.raises(CheckpointReadError, match="not there any more"):
        slim2keras.verify(alone, model)
