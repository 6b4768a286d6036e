"""``docs/your-own-network.md``, done as it says, on files such as a trainer leaves."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from slim2keras.errors import ExitStatus
from slim2keras.slim.functions import find_function, open_function
from slim2keras.slim.runtime import import_tf_slim, slim_graph
from tests.cli.running import fails, ok

DOCUMENT = (Path(__file__).parents[2] / "docs/your-own-network.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python)?\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
NETWORK, *EXAMPLES = [code for language, code in BLOCKS if language]
COMMANDS = [line for language, code in BLOCKS if not language for line in code.splitlines() if line.startswith("slim2")]
ERRORS = [code for language, code in BLOCKS if not language and not code.startswith("slim2keras ")]
ARGUMENTS = [shlex.split(command)[1:] for command in COMMANDS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the files that the document names, and the models that its commands make of them."""
    with pytest.MonkeyPatch.context() as patch:
        directory = tmp_path_factory.mktemp("own")
        patch.chdir(directory)
        Path("my_network.py").write_text(NETWORK)
        write_training()
        write_inference()
        write_branches()
        for arguments in ARGUMENTS:
            if arguments[0] == "convert":
                ok(*arguments)
    return directory


@pytest.fixture(autouse=True)
def _in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def placeholder(name: str, *shape: int | None, dtype: str = "float32") -> Any:
    import tensorflow as tf

    return tf.compat.v1.placeholder(dtype, shape, name=name)


def write_training() -> None:
    """The network as it trains, with its loss, and what slim's trainer adds."""
    slim = import_tf_slim()
    import tensorflow as tf

    v1, network = tf.compat.v1, find_function("my_network.py:network")
    with open_function(network), slim_graph() as graph, v1.Session(graph=graph) as session:
        logits, _ = network(placeholder("images", None, 32, 32, 3), True)
        v1.losses.sparse_softmax_cross_entropy(placeholder("labels", None, dtype="int64"), logits)
        slim.learning.create_train_op(v1.losses.get_total_loss(), v1.train.MomentumOptimizer(0.01, 0.9))
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, "train_dir/model.ckpt", global_step=500)


def write_inference() -> None:
    """A frozen graph and a SavedModel of the same values."""
    import tensorflow as tf

    v1, network = tf.compat.v1, find_function("my_network.py:network")
    with open_function(network), slim_graph() as graph, v1.Session(graph=graph) as session:
        images = placeholder("images", None, 32, 32, 3)
        logits, _ = network(images, False)
        v1.train.Saver().restore(session, "train_dir/model.ckpt-500")
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [logits.op.name])
        Path("frozen.pb").write_bytes(frozen.SerializeToString())
        v1.saved_model.simple_save(session, "saved_model", {"images": images}, {"logits": logits})


def write_branches() -> None:
    """Two heads, three placeholders of numbers; and the same with Python in it."""
    slim = import_tf_slim()
    import tensorflow as tf

    v1 = tf.compat.v1
    with slim_graph() as graph, v1.Session(graph=graph) as session:
        x, norm = placeholder("images", None, 32, 32, 3), {"is_training": placeholder("is_training", dtype="bool")}
        x = slim.conv2d(x, 8, 3, normalizer_fn=slim.batch_norm, normalizer_params=norm, scope="Mine/conv")
        x = tf.reduce_mean(x * placeholder("strength"), [1, 2])
        x = v1.nn.dropout(x, placeholder("keep_prob"))
        heads = [slim.fully_connected(x, size, None, scope=f"Mine/{name}") for name, size in (("a", 3), ("b", 4))]
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, "branches/model.ckpt", global_step=5)
        v1.py_func(abs, heads[:1], tf.float32, name="mine")
        v1.train.Saver().save(session, "branches/python.ckpt", global_step=5)


@pytest.mark.parametrize("arguments", [one for one in ARGUMENTS if one[0] == "verify"], ids=" ".join)
def test_what_was_converted_is_verified(arguments: list[str]) -> None:
    """Each way in ends in a model that has the numbers of the graph."""
    assert "Parity holds" in ok(*arguments)


def test_every_way_in_has_a_command(folder: Path) -> None:
    """The document's commands were run, and each left its file."""
    names = {"mine.keras", "frozen.keras", "saved.keras", "traced.keras", "branches.keras"}
    assert names == {path.name for path in folder.glob("*.keras")}


@pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning")
@pytest.mark.parametrize("example", EXAMPLES, ids=["function", "load_checkpoint", "finetune"])
def test_the_examples_run(example: str) -> None:
    """As they stand."""
    exec(example, {})


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ERRORS[0], ["branches/model.ckpt-5"]),
        (ERRORS[1], ["branches/python.ckpt-5", "--output-tensor", "mine", "--placeholder", "strength=1"]),
    ],
    ids=["ambiguous", "python"],
)
def test_the_errors_are_those_shown(error: str, arguments: list[str]) -> None:
    """Word by word, with the exit code that is told."""
    fails(ExitStatus.MISMATCH, re.escape(error.strip()), "convert", "--dry-run", *arguments)
