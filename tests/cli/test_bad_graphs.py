"""Bad graphs on the command line: the exit status, one message, nothing written, and advice that can be followed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.errors import ExitStatus
from tests.cli.running import Result, fails, ok
from tests.conftest import made_once
from tests.conversion.own_graphs import OwnFiles, own_files, write_own
from tests.importing.test_bad_graphs import constant, op, placeholder, small_graph


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> OwnFiles:
    """Files of a network of nobody's zoo."""
    return own_files(made_once(tmp_path_factory, "own_graphs", write_own))


def a_trap(graph: Any) -> None:
    op(graph, "trap", "PyFunc", "conv")
    op(graph, "end", "Relu", "trap")


def a_placeholder(graph: Any) -> None:
    placeholder(graph, "strength", ())
    op(graph, "end", "Mul", "conv", "strength")


def two_ends(graph: Any) -> None:
    constant(graph, "others", np.ones((1, 1, 4, 2), "float32"))
    for name in ("boxes", "classes"):
        op(graph, name, "Conv2D", "conv", "others", strides=[1, 1, 1, 1], padding=b"SAME")


def write(directory: Path, damage: Callable[[Any], None]) -> Path:
    graph = small_graph()
    damage(graph)
    path = directory / "bad.pb"
    path.write_bytes(graph.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("damage", "message", "advised"),
    [
        (a_trap, r"PyFunc: trap\n(.|\n)*imported:\n  conv\n", ("--output-tensor", "conv")),
        (a_placeholder, r"strength(.|\n)*--placeholder strength=", ("--placeholder", "strength=0.5")),
        (two_ends, r"not clear(.|\n)*boxes(.|\n)*classes(.|\n)*--output-tensor", ("--output-tensor", "boxes")),
    ],
)
def test_advice_can_be_followed(
    tmp_path: Path, damage: Callable[[Any], None], message: str, advised: tuple[str, str]
) -> None:
    """Exit status 4 with it, a model that ``verify`` passes without the mistake."""
    path, output = write(tmp_path, damage), tmp_path / "model.keras"
    ends = () if damage is two_ends else ("--output-tensor", "end")
    fails(ExitStatus.MISMATCH, message, "convert", path, "-o", output, *ends)
    assert [item.name for item in tmp_path.iterdir()] == ["bad.pb"]
    ends = () if "--output-tensor" in advised else ends
    ok("convert", path, "-o", output, *ends, *advised)
    ok("verify", path, output)


@pytest.mark.parametrize("command", ["convert", "verify"])
def test_a_damaged_graph_is_unreadable(own: OwnFiles, tmp_path: Path, command: str) -> None:
    """Exit status 3, of the graph that is all there is, and of one beside a checkpoint."""
    cut = tmp_path / "cut.pb"
    cut.write_bytes(own.frozen.read_bytes()[:-200])
    output = ("-o", tmp_path / "model.keras") if command == "convert" else ()
    fails(ExitStatus.UNREADABLE, r"cut.pb is (no graph|truncated)", command, cut, *output)
    arguments = (own.checkpoint, "--graph", cut, *output)
    fails(ExitStatus.UNREADABLE, r"cut.pb is (no graph|truncated)", command, *arguments)
    fails(
        ExitStatus.UNREADABLE, "no graph .*nowhere.meta", command, own.checkpoint, "--graph", tmp_path / "nowhere.meta"
    )
    assert [item.name for item in tmp_path.iterdir()] == ["cut.pb"]


def test_the_graph_of_another_checkpoint_is_a_mismatch(own: OwnFiles, tmp_path: Path) -> None:
    """Exit status 4, with every variable that lacks a value and every one that is left."""
    checkpoint = tmp_path / "other.ckpt"
    for path in own.checkpoint.parent.glob(f"{own.checkpoint.name}.*"):
        shutil.copy(path, tmp_path / path.name.replace(own.checkpoint.name, checkpoint.name))
    from slim2keras.importing.sources import read_graph

    graph = read_graph(f"{own.checkpoint}.meta").graph
    (tmp_path / "renamed.pbtxt").write_text(re.sub("Own/second", "Own/third", str(graph)))
    result = Result("convert", checkpoint, "--graph", tmp_path / "renamed.pbtxt", "-o", tmp_path / "model.keras")
    assert result.status == ExitStatus.MISMATCH
    for leaf in ("weights", "BatchNorm/beta", "BatchNorm/moving_mean", "BatchNorm/moving_variance"):
        assert f"- Own/third/{leaf}" in result.err
        assert f"+ Own/second/{leaf}" in result.err
    assert not (tmp_path / "model.keras").exists()


@pytest.mark.parametrize(
    ("status", "message", "arguments"),
    [
        (ExitStatus.USAGE, "must be NAME=VALUE", ("--placeholder", "keep")),
        (ExitStatus.MISMATCH, "no tensor 'keep'", ("--placeholder", "keep=1.0")),
        (ExitStatus.MISMATCH, "takes values of type float32", ("--placeholder", "pictures=twelve")),
        (ExitStatus.MISMATCH, "Did you mean pictures", ("--input-tensor", "picture")),
        (ExitStatus.MISMATCH, "nothing is computed", ("--output-tensor", "pictures")),
        (ExitStatus.MISMATCH, "input_shape=", ("--input-shape", "64,64,5")),
    ],
)
def test_what_is_said_of_a_graph_and_does_not_fit(
    own: OwnFiles, tmp_path: Path, status: ExitStatus, message: str, arguments: tuple[str, ...]
) -> None:
    """Usage where it can be no such thing, a mismatch where the graph has none."""
    fails(status, message, "convert", own.frozen, "-o", tmp_path / "model.keras", *arguments)
    assert not list(tmp_path.iterdir())
