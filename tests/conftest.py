from __future__ import annotations

import os
from collections.abc import Iterator
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

from tests.reference import SHALLOW_NET, shallow_resnets, small_values, write_checkpoint


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """V2 checkpoint of the small network with a step counter; not to be changed."""
    directory = tmp_path_factory.mktemp("small")
    return write_checkpoint(directory / "model.ckpt-5000", {**small_values(), "global_step": np.int64(5000)})


@pytest.fixture
def own_checkpoint(tmp_path: Path) -> Path:
    """The same in a directory of its own, to be damaged."""
    return write_checkpoint(tmp_path / "model.ckpt-5000", {**small_values(), "global_step": np.int64(5000)})


@pytest.fixture(scope="module", name="shallow_resnets")
def _shallow_resnets() -> Iterator[None]:
    """``resnet_v1_14`` and ``resnet_v2_14`` are networks for the tests of a module."""
    with shallow_resnets():
        yield


@pytest.fixture(scope="module")
def shallow_checkpoint(tmp_path_factory: pytest.TempPathFactory, shallow_resnets: None) -> Path:
    """Of a ResNet of few layers, for what builds or runs it; processes of their own do not know the network."""
    values = {**small_values(SHALLOW_NET), "global_step": np.int64(5000)}
    return write_checkpoint(tmp_path_factory.mktemp("shallow") / "model.ckpt-5000", values)


@pytest.fixture(scope="session")
def sick_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sickness to a checkpoint that slim trained, and ``healthy`` to one; not to be changed. Workers share them.

    They are of a network that is one where the fixture ``shallow_resnets`` is.
    """
    from tests.sick_checkpoints import PREFIXES, make_all

    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    directory = shared / "sick"
    with FileLock(f"{directory}.lock"):
        if not directory.exists():
            draft = shared / "sick.draft"
            draft.mkdir()
            with shallow_resnets():
                make_all(draft)
            draft.rename(directory)
    return {sickness: directory / prefix for sickness, prefix in PREFIXES.items()}
