"""Private names of tf_keras that we build on: a version that lacks one is named here, not in a user's traceback."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import tf_keras

from slim2keras import optimizers
from slim2keras.models.building import build
from slim2keras.slim.runtime import functional_module

PACKAGE = Path(optimizers.__file__).parent
OF_PYTHON = {"_replace", "_asdict"}


def private_names(source: Path) -> set[str]:
    """Private attributes that a module looks up and neither assigns nor defines."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")]
    used = {node.attr for node in found if not node.attr.startswith("__")}
    own = {node.attr for node in found if isinstance(node.ctx, ast.Store)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return used - own - OF_PYTHON


def test_the_optimizers_find_what_they_build_on() -> None:
    """tf_keras' optimizer has every private name that ours call, once it is built."""
    optimizer = optimizers.Momentum(0.1, 0.9)
    model = build("lenet", num_classes=3)
    optimizer.build(model.trainable_variables)
    wanted = private_names(PACKAGE / "optimizers.py")
    assert wanted
    missing = sorted(name for name in wanted if not hasattr(optimizer, name))
    assert not missing, f"tf_keras {tf_keras.__version__} has no Optimizer.{', '.join(missing)}"


@pytest.mark.parametrize("flag", ["_supports_tf_logs"])
def test_callbacks_are_still_asked_whether_they_take_tensors(flag: str) -> None:
    """Without the flag Keras would copy the logs of every batch to the host."""
    assert hasattr(tf_keras.callbacks.Callback(), flag), f"tf_keras {tf_keras.__version__} has no Callback.{flag}"


def test_the_class_in_a_file_lies_where_we_say() -> None:
    """A ``.keras`` names the class of a model by the private module that tf_keras itself names."""
    theirs: Any = tf_keras.saving.serialize_keras_object(build("lenet", num_classes=3))
    found = getattr(importlib.import_module(theirs["module"]), theirs["class_name"])
    assert found is type(build("lenet", num_classes=3)), f"tf_keras {tf_keras.__version__}: {theirs['module']}"


def test_the_reader_of_saved_models_finds_what_keras_writes() -> None:
    """Before a SavedModel is loaded its Keras metadata is read, a protocol buffer that tf_keras keeps for itself."""
    message = importlib.import_module("tf_keras.protobuf.saved_metadata_pb2").SavedMetadata()
    assert hasattr(message, "nodes"), f"tf_keras {tf_keras.__version__} has another SavedMetadata"


def test_functional_models_are_made_where_we_watch() -> None:
    """``connections_end`` stands in for the function that makes them, and gives it the same arguments."""
    found = inspect.signature(functional_module().reconstruct_from_config)
    assert [*found.parameters] == ["config", "custom_objects", "created_layers"], f"tf_keras {tf_keras.__version__}"


def test_batch_normalization_of_both_names_is_one_class() -> None:
    """tf_keras' layer and the base that old files name are told apart by the class that both descend from."""
    base = tf_keras.layers.BatchNormalization.__bases__[0]
    assert base.__name__ == "BatchNormalizationBase", f"tf_keras {tf_keras.__version__}: {base.__name__}"


def private_modules(tree: ast.Module) -> set[str]:
    """Modules that are imported or named, and that TensorFlow and tf_keras do not promise."""
    named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    private = ("tensorflow.python", "tf_keras.src", "keras.src")
    return {name for name in named | imported if name.startswith(private) and " " not in name}


def test_private_modules_are_imported_in_one_place() -> None:
    """``slim/runtime.py`` alone imports them; ``models/config.py`` writes the name of one, as tf_keras does."""
    found = {
        path.relative_to(PACKAGE).as_posix(): modules
        for path in PACKAGE.rglob("*.py")
        if (modules := private_modules(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found.pop("models/config.py") == {"tf_keras.src.engine.functional"}
    assert list(found) == ["slim/runtime.py"]
