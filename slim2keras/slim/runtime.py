"""Makes slim work on today's TensorFlow: ``tf_slim``, and the user's own ``research/slim``.

The only place that imports private modules.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from slim2keras.errors import Slim2KerasError, UnsupportedArgumentError
from slim2keras.extras import require
from slim2keras.files.archives import unpacked_archive
from slim2keras.models.overrides import Overrides

if TYPE_CHECKING:
    import tensorflow as tf

DOWNLOAD_SLIM = "pip download --no-deps tf-models-research-object-detection==2.8.0.post1"
"""Fetches an archive whose folder ``slim`` has the networks of ``research/slim``."""

_LEGACY_LAYERS = "tf_keras.legacy_tf_layers"
_LEGACY_SUBMODULES = ("base", "convolutional", "core", "normalization", "pooling")

_MOVED = {
    # slim.learning looks for the classes here when it multiplies and clips gradients.
    "framework.ops": {"Tensor": "Tensor", "IndexedSlices": "IndexedSlices"},
    # slim.batch_norm and slim.dropout, where a placeholder switches them.
    "ops.control_flow_ops": {"cond": "cond", "case": "case", "with_dependencies": "with_dependencies"},
    "ops.array_ops": {"stack": "stack", "unstack": "unstack"},
    "ops.variable_scope": {"variable": "Variable"},
}
"""Modules of TensorFlow to what slim looks for in them, and its name in ``tf.compat.v1`` today."""


def import_tf_slim() -> ModuleType:
    """Import ``tf_slim``, which looks for layers and classes where they no longer are.

    Raises:
        MissingExtraError: If ``tf_slim`` is not installed.
        Slim2KerasError: If it cannot be repaired with this TensorFlow.

    Examples:
        >>> from slim2keras.slim.runtime import import_tf_slim
        >>> slim = import_tf_slim()
        >>> slim.l2_regularizer(4e-5)
        <function l2_regularizer...
    """
    require("verify", "What runs slim's own code", "tf_slim")
    try:
        _put_back_what_moved()
        return importlib.import_module("tf_slim")
    except ImportError as error:
        raise Slim2KerasError(f"slim itself cannot be imported with this TensorFlow: {error}.") from error


def _put_back_what_moved() -> None:
    if _LEGACY_LAYERS not in sys.modules:
        sys.modules[_LEGACY_LAYERS] = importlib.import_module("tf_keras.src.legacy_tf_layers")
        for name in _LEGACY_SUBMODULES:
            module = importlib.import_module(f"tf_keras.src.legacy_tf_layers.{name}")
            sys.modules[f"{_LEGACY_LAYERS}.{name}"] = module
    v1 = importlib.import_module("tensorflow").compat.v1
    for module_name, names in _MOVED.items():
        module = importlib.import_module(f"tensorflow.python.{module_name}")
        for name, public_name in names.items():
            if not hasattr(module, name):
                setattr(module, name, getattr(v1, public_name))


def functional_module() -> ModuleType:
    """Where tf_keras makes functional models of their configurations, for which it has no public name."""
    return importlib.import_module("tf_keras.src.engine.functional")


@contextlib.contextmanager
def slim_graph() -> Iterator[tf.Graph]:
    """A new default graph in which slim builds networks.

    Building a slim layer makes tf_keras swap the base class of its own layers for that of TensorFlow 1, in place and
    for the whole process: Keras models made before would fail when called. Here the classes get their bases back.
    slim's use of deprecated TensorFlow calls does not warn, since its user can do nothing about it. Tensors and
    variables are equal by identity, as in TensorFlow 1: TensorFlow 2 asks at each hash, which for a ResNet-152 took
    40 % of the time.
    """
    import_tf_slim()
    import tensorflow as tf
    import tf_keras

    graph, logger = tf.Graph(), tf.get_logger()
    with Overrides() as overrides:
        for layer_class in _subclasses(tf_keras.layers.Layer):
            overrides.callback(_give_bases, layer_class, layer_class.__bases__)
        overrides.callback(logger.setLevel, logger.level)
        logger.setLevel("ERROR")
        overrides.set(tf.Tensor, "_USE_EQUALITY", value=False)
        with graph.as_default(), warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=".*deprecated and will be removed in a future version.*", category=UserWarning
            )
            yield graph


def _give_bases(layer_class: type, bases: tuple[type, ...]) -> None:
    if layer_class.__bases__ != bases:
        layer_class.__bases__ = bases


def _subclasses(base: type) -> Iterator[type]:
    subclass: type
    for subclass in base.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def op_by_op_session(graph: tf.Graph) -> Any:
    """A session that runs the graph as it stands: no op is rewritten, fused or folded."""
    import tensorflow as tf
    from tensorflow.core.protobuf import rewriter_config_pb2

    options = tf.compat.v1.GraphOptions(
        rewrite_options=rewriter_config_pb2.RewriterConfig(disable_meta_optimizer=True),
        optimizer_options=tf.compat.v1.OptimizerOptions(opt_level=tf.compat.v1.OptimizerOptions.L0),
    )
    return tf.compat.v1.Session(graph=graph, config=tf.compat.v1.ConfigProto(graph_options=options))


class HParams(SimpleNamespace):
    """What slim's networks use of ``tf.contrib.training.HParams``."""

    def set_hparam(self, name: str, value: Any) -> None:
        """Change a hyperparameter that is there."""
        if not hasattr(self, name):
            raise KeyError(name)
        setattr(self, name, value)

    def add_hparam(self, name: str, value: Any) -> None:
        """Add a hyperparameter."""
        setattr(self, name, value)

    def values(self) -> dict[str, Any]:
        """Hyperparameters by name."""
        return dict(vars(self))


class _TensorFlow1(ModuleType):
    """What ``import tensorflow as tf`` gave slim's older files: TensorFlow 1, with ``tf.contrib``."""

    def __init__(self, contrib: ModuleType) -> None:
        import tensorflow as tf

        super().__init__("tensorflow")
        self.contrib = contrib
        self.compat = tf.compat
        self.__path__ = tf.__path__
        self.__spec__ = tf.__spec__

    def __getattr__(self, name: str) -> Any:
        import tensorflow as tf

        return getattr(tf.compat.v1, name)


@contextlib.contextmanager
def slim_directory(source: Path) -> Iterator[Path]:
    """Find ``research/slim`` in what the user has of it; an archive is unpacked for the duration.

    Args:
        source: The directory itself, one with a folder ``slim``, or a tar archive of either, as ``DOWNLOAD_SLIM``
            fetches it.

    Raises:
        UnsupportedArgumentError: If it is not there.
        CheckpointReadError: If the archive cannot be unpacked.
    """
    with unpacked_archive(source) if source.is_file() else contextlib.nullcontext(source) as directory:
        # In the archive and in a checkout of tensorflow/models, slim lies one folder further down.
        found = [directory, directory / "slim", *sorted(directory.glob("*/slim"))]
        slim = next((path for path in found if (path / "nets" / "nets_factory.py").is_file()), None)
        if slim is None:
            raise UnsupportedArgumentError(
                f"{source} has no nets/nets_factory.py: slim_source must be the directory research/slim of a checkout "
                f"of tensorflow/models, or the archive that this fetches: {DOWNLOAD_SLIM}"
            )
        yield slim


@contextlib.contextmanager
def slim_source_modules(directory: Path) -> Iterator[ModuleType]:
    """Import ``nets.nets_factory`` of a directory ``research/slim``, whose files are not touched.

    They were written for TensorFlow 1, see ``tensorflow_1_modules``. What the directory calls ``nets`` takes the place
    of any other module of that name, which comes back afterwards.

    Raises:
        Slim2KerasError: If its files cannot be imported.
    """
    with tensorflow_1_modules(directory, hidden="nets") as import_module:
        yield _import_factory(directory, import_module)


ImportModule = Callable[[str], ModuleType]


@contextlib.contextmanager
def tensorflow_1_modules(directory: Path | None = None, hidden: str = "") -> Iterator[ImportModule]:
    """Let code that was written for TensorFlow 1 be imported and run; all of it is undone at the end.

    ``tensorflow.contrib`` is there, with slim and HParams, and so are ``tf.layers``, which Keras 3 refuses, and the
    names that NumPy dropped. While a module is imported by what this yields, ``import tensorflow`` gives TensorFlow 1
    as a whole.

    Args:
        directory: Where modules are looked for first.
        hidden: A package that is put aside, so that another of its name is imported.

    Yields:
        Imports a module by name.
    """
    contrib = _contrib_modules(import_tf_slim())
    import tensorflow as tf

    dropped = [name for name in ("int", "float") if name not in vars(np)]
    with _modules_replaced(contrib, hidden), Overrides() as overrides:
        overrides.set(tf, "contrib", contrib["tensorflow.contrib"])
        overrides.set(tf.compat.v1, "layers", _legacy_layers())
        if directory is not None:
            sys.path.insert(0, str(directory))
            overrides.callback(sys.path.remove, str(directory))
        for name in dropped:
            overrides.set(np, name, getattr(builtins, name))
        yield functools.partial(_import_for_tensorflow_1, _TensorFlow1(contrib["tensorflow.contrib"]))


def _contrib_modules(slim: ModuleType) -> dict[str, ModuleType]:
    """What ``tensorflow.contrib`` was to slim's users, by module name."""
    contrib, training = ModuleType("tensorflow.contrib"), ModuleType("training")
    training.HParams = HParams  # type: ignore[attr-defined]
    # What tf_slim itself calls ``layers`` is one module of that package.
    layers, nets, ops = (importlib.import_module(f"tf_slim.{name}") for name in ("layers", "nets", "ops"))
    parts = {"slim": slim, "layers": layers, "framework": slim, "training": training}
    for name, part in parts.items():
        setattr(contrib, name, part)
    parts |= {"slim.nets": nets, "slim.python.slim": slim, "slim.python.slim.nets": nets}
    parts |= {"layers.python.layers": layers, "framework.python.ops": ops}
    return {"tensorflow.contrib": contrib, **{f"tensorflow.contrib.{name}": part for name, part in parts.items()}}


def _legacy_layers() -> ModuleType:
    """What ``tf.layers`` was: tf_keras still has it."""
    layers = ModuleType("tensorflow.layers")
    for name in _LEGACY_SUBMODULES:
        public = {key: value for key, value in vars(sys.modules[f"{_LEGACY_LAYERS}.{name}"]).items() if key[0] != "_"}
        vars(layers).update(public)
    return layers


def _import_for_tensorflow_1(tensorflow_1: ModuleType, name: str) -> ModuleType:
    import tensorflow as tf

    sys.modules["tensorflow"] = tensorflow_1
    try:
        return importlib.import_module(name)
    finally:
        # TensorFlow imports parts of itself when they are first used.
        sys.modules["tensorflow"] = tf


def _import_factory(directory: Path, import_module: ImportModule) -> ModuleType:
    try:
        return import_module("nets.nets_factory")
    except (ImportError, AttributeError, SyntaxError) as error:
        raise Slim2KerasError(
            f"The networks of {directory} cannot be imported: {type(error).__name__}: {error}. "
            "A checkout of 2018 or later is expected."
        ) from error


@contextlib.contextmanager
def _modules_replaced(substitutes: Mapping[str, ModuleType], package: str) -> Iterator[None]:
    """Put modules into the place of others, and hide a package; all of it is undone at the end."""

    def is_concerned(name: str) -> bool:
        return name in substitutes or name.split(".", maxsplit=1)[0] == package

    before = {name: module for name, module in sys.modules.items() if is_concerned(name)}
    for name in before:
        del sys.modules[name]
    sys.modules.update(substitutes)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if is_concerned(name)]:
            del sys.modules[name]
        sys.modules.update(before)


@contextlib.contextmanager
def deterministic_ops() -> Iterator[None]:
    """Within it every op gives the same bits each time, or fails; then as it was found.

    TensorFlow's own switch can only be turned on.
    """
    config = importlib.import_module("tensorflow.python.framework.config")
    was_on = config.is_op_determinism_enabled()
    config.enable_op_determinism()
    try:
        yield
    finally:
        if not was_on:
            config.disable_op_determinism()
