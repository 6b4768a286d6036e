"""slim itself, on today's TensorFlow."""

from __future__ import annotations

import logging
import sys
import tarfile
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from slim2keras.errors import CheckpointReadError, MissingExtraError, Slim2KerasError, UnsupportedArgumentError
from slim2keras.files.archives import unpack_archive
from slim2keras.models.building import build
from slim2keras.nets.spec import NetSpec
from slim2keras.slim.networks import open_judge
from slim2keras.slim.runtime import import_tf_slim, slim_directory, slim_graph, slim_source_modules
from tests.reference import STAND_IN_SLIM, images, small_spec


def test_a_keras_model_made_before_slim_runs_after_it() -> None:
    """slim's layers swap the base class of Keras' layers in place; without the repair this call fails."""
    model = build("resnet_v1_50", input_shape=(33, 33, 3), depth_multiplier=0.125)
    batch = images(0, (1, 33, 33, 3))
    before = model(batch).numpy()
    with open_judge() as judge:
        judge.build(small_spec(), (1, 33, 36, 3), is_training=True)
    np.testing.assert_array_equal(model(batch).numpy(), before)


def test_slims_deprecated_calls_stay_silent_and_the_logger_comes_back() -> None:
    """And so does eager mode."""
    import tensorflow as tf

    slim = import_tf_slim()
    level = tf.get_logger().level
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with slim_graph() as graph:
            assert tf.compat.v1.get_default_graph() is graph
            slim.conv2d(tf.zeros((1, 8, 8, 3)), 4, 3)
            assert tf.get_logger().level == logging.ERROR
    assert tf.get_logger().level == level
    assert tf.executing_eagerly()


def test_a_placeholder_switches_slims_layers() -> None:
    """slim looks for the condition, among others, where TensorFlow no longer has it."""
    slim = import_tf_slim()
    import tensorflow as tf

    with slim_graph() as graph:
        is_training = tf.compat.v1.placeholder(tf.bool, ())
        net = slim.batch_norm(tf.zeros((4, 8)), is_training=is_training, updates_collections=None)
        slim.maxout(slim.dropout(net, is_training=is_training), 4)
        slim.local_variable(1.0)
        assert {"If", "StatelessIf"} & {op.type for op in graph.get_operations()}


def test_without_tf_slim_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, not as an ImportError."""
    monkeypatch.setitem(__import__("sys").modules, "tf_slim", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'slim2keras\[verify\]'"):
        import_tf_slim()


def test_a_checkout_of_research_slim_imports_as_it_stands_and_leaves_no_trace() -> None:
    """Neither in the modules nor in the path nor in NumPy."""
    import tensorflow as tf

    before, path = dict(sys.modules), list(sys.path)
    with slim_source_modules(STAND_IN_SLIM) as factory:
        assert set(factory.networks_map) == {"cifarnet", "lenet"}
        assert factory.networks_map["lenet"].__module__ == "nets.lenet"
    assert sys.modules["tensorflow"] is tf
    assert not [name for name in sys.modules if name.startswith(("nets", "tensorflow.contrib"))]
    assert {name for name in before if name not in sys.modules} == set()
    assert sys.path == path
    assert not hasattr(np, "int")


def test_another_package_called_nets_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own is covered for a while only."""
    mine = ModuleType("nets")
    monkeypatch.setitem(sys.modules, "nets", mine)
    with slim_source_modules(STAND_IN_SLIM):
        assert sys.modules["nets"] is not mine
    assert sys.modules["nets"] is mine


def test_a_directory_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    """The message says what it must hold."""
    with (
        pytest.raises(UnsupportedArgumentError, match=r"has no nets/nets_factory.py: slim_source must be"),
        slim_directory(tmp_path),
    ):
        pass


def packed(directory: Path, folder: str) -> Path:
    """An archive of the stand-in, which lies in a folder of it; beside it what else the archive has."""
    archive = directory / "tf_models_research-2.8.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(STAND_IN_SLIM, folder)
        tar.add(__file__, "tf_models_research-2.8.0/setup.py")
    return archive


@pytest.mark.parametrize("folder", ["tf_models_research-2.8.0/slim", "slim", "."])
def test_the_archive_that_pip_fetches_serves_as_it_is(tmp_path: Path, folder: str) -> None:
    """slim is found where the archive has it, and what was unpacked is gone afterwards."""
    with slim_directory(packed(tmp_path, folder)) as directory:
        assert (directory / "nets" / "lenet.py").is_file()
    assert not directory.exists()


def test_an_archive_unpacked_by_hand_serves_too(tmp_path: Path) -> None:
    """Both the folder that has ``slim`` and the one above it are taken, and stay."""
    unpack_archive(packed(tmp_path, "tf_models_research-2.8.0/slim"), tmp_path)
    for given in (tmp_path, tmp_path / "tf_models_research-2.8.0"):
        with slim_directory(given) as directory:
            assert directory == tmp_path / "tf_models_research-2.8.0" / "slim"
    assert directory.is_dir()


def test_the_judge_opens_an_archive(tmp_path: Path) -> None:
    """``slim_source`` takes the archive itself."""
    with open_judge(packed(tmp_path, "tf_models_research-2.8.0/slim")) as judge:
        assert judge.functions(NetSpec.make("lenet", None, {}))[0].__name__ == "lenet"


def test_a_file_that_is_no_archive_of_slim_is_refused(tmp_path: Path) -> None:
    """A corrupt archive, one without slim and one that points outside are each an error that says so."""
    (tmp_path / "text.tar.gz").write_text("dear diary")
    with pytest.raises(CheckpointReadError, match="not a tar archive"), slim_directory(tmp_path / "text.tar.gz"):
        pass
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as tar:
        tar.add(__file__, "setup.py")
    message = r"other.tar.gz has no nets/nets_factory.py: (.|\n)*pip download"
    with pytest.raises(UnsupportedArgumentError, match=message), slim_directory(tmp_path / "other.tar.gz"):
        pass
    with tarfile.open(tmp_path / "hostile.tar", "w") as tar:
        tar.add(__file__, "../nets/nets_factory.py")
    with pytest.raises(CheckpointReadError, match="points outside"), slim_directory(tmp_path / "hostile.tar"):
        pass


@pytest.mark.parametrize(
    "text", ["import a_module_that_nobody_has", "networks_map = {", "import tensorflow as tf\ntf.no"]
)
def test_a_checkout_that_fails_to_import_says_why_and_leaves_no_trace(tmp_path: Path, text: str) -> None:
    """The error of its code is in the message."""
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "nets_factory.py").write_text(text)
    with (
        pytest.raises(Slim2KerasError, match=r"cannot be imported: (ModuleNotFound|Syntax|Attribute)Error"),
        slim_source_modules(tmp_path),
    ):
        pass
    assert str(tmp_path) not in sys.path
    assert "nets" not in sys.modules
