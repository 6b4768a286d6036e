from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow uses the kernels of oneDNN by default on some processors alone. The floors of the golden files were taken
# with them, and training amplifies what rounds differently.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers are told the width of a terminal that they do not have.
    os.environ.pop("COLUMNS", None)

import numpy as np
import pytest
from filelock import FileLock

from tests.reference import SHALLOW_NET, TRAINED_VALUES, shallow_resnets, small_values, write_checkpoint


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A directory that the first test to ask for it fills, and all workers share; not to be changed."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    directory = shared / name
    with FileLock(f"{directory}.lock"):
        if not directory.exists():
            draft = shared / f"{name}.draft"
            draft.mkdir()
            make(draft)
            draft.rename(directory)
    return directory


@pytest.fixture(scope="session", autouse=True)
def _without_waiting_for_disks() -> Iterator[None]:
    """What tests write need not outlive the machine, and a slow disk takes minutes for all of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda opened: None)
        yield


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """V2 checkpoint of the small network with a step counter; not to be changed."""
    directory = tmp_path_factory.mktemp("small")
    return write_checkpoint(directory / "model.ckpt-5000", {**small_values(), "global_step": np.int64(5000)})


@pytest.fixture
def own_checkpoint(tmp_path: Path) -> Path:
    """The same in a directory of its own, to be damaged."""
    return write_checkpoint(tmp_path / "model.ckpt-5000", {**small_values(), "global_step": np.int64(5000)})


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    """A checkpoint of a few variables in the format of today."""
    return write_checkpoint(tmp_path / "model.ckpt-42", TRAINED_VALUES)


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    """The same in the old format, one file."""
    return write_checkpoint(tmp_path / "net.ckpt", TRAINED_VALUES, "V1")


@pytest.fixture
def limited_memory() -> Iterator[None]:
    """What takes 4 GiB more fails a test, and not the machine."""
    import resource

    import tensorflow as tf  # noqa: F401  its libraries count

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**32, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module", name="shallow_resnets")
def _shallow_resnets() -> Iterator[None]:
    """``resnet_v1_14`` and ``resnet_v2_14`` are networks for the tests of a module."""
    with shallow_resnets():
        yield


@pytest.fixture(scope="session")
def shallow_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a ResNet of few layers, for what builds or runs it, where the fixture ``shallow_resnets`` is.

    Processes of their own do not know the network.
    """
    with shallow_resnets():
        values = {**small_values(SHALLOW_NET), "global_step": np.int64(5000)}
    return write_checkpoint(tmp_path_factory.mktemp("shallow") / "model.ckpt-5000", values)


@pytest.fixture(scope="session")
def sick_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sickness to a checkpoint that slim trained, and ``healthy`` to one; not to be changed. Workers share them.

    They are of a network that is one where the fixture ``shallow_resnets`` is.
    """
    from tests.sick_checkpoints import PREFIXES, make_all

    def make(directory: Path) -> None:
        with shallow_resnets():
            make_all(directory)

    directory = made_once(tmp_path_factory, "sick", make)
    return {sickness: directory / prefix for sickness, prefix in PREFIXES.items()}


@pytest.fixture(scope="session")
def classes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of each of three classes; not to be changed."""
    from tests.evaluation.classifying import write_classes

    def make(directory: Path) -> None:
        write_classes(directory / "images", 5)

    return made_once(tmp_path_factory, "three_classes", make) / "images"


@pytest.fixture(scope="session")
def classifier_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of three classes whose answers differ from image to image; not to be changed."""

    import slim2keras

    def make(directory: Path) -> None:
        model = slim2keras.build("lenet", num_classes=3)
        for variable in model.trainable_variables:
            variable.assign(np.random.RandomState(len(variable.shape)).normal(size=variable.shape) * 0.1)
        model.save(directory / "lenet.keras")

    return made_once(tmp_path_factory, "classifier", make) / "lenet.keras"
