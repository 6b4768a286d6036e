"""The examples in the docstrings, run as they stand, in a folder with what they name."""

from __future__ import annotations

import ast
import doctest
import inspect
import pkgutil
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import slim2keras
from slim2keras.nets.spec import NetSpec
from slim2keras.trainer.request import OPTIMIZERS, OptimizerOptions
from slim2keras.trainer.resuming import CHANGEABLE, resumed_request
from tests.docs.test_site import ENTRIES
from tests.reference import SMALL_SHAPE, images, labels, small_spec, values_of, write_checkpoint, write_meta
from tests.trainer import runs

PACKAGE = Path(slim2keras.__file__).parent
WITHOUT_EXAMPLE = {
    # Their values are given by name to training_request, which has one.
    *("DataOptions", "NetworkOptions", "StepOptions", "OptimizerOptions", "ScheduleOptions", "LoopOptions"),
    # Made by imports, and named by the files that need them.
    *("Network", "GraphNetwork"),
    # Come back from functions that have one.
    *("LoadPlan", "CheckpointFiles", "ParityReport", "Comparison", "IntegrityReport", "TrainingPlan", "TrainingResult"),
    *("Evaluation", "ClassScore", "Predictions", "Diagnosis", "LayerDiagnosis", "Recalibration", "Gap"),
    *("DeploymentReport", "CheckpointRequest"),
}
QUICK = {
    *("network_of", "list_examples", "import_tf_slim", "find_function"),
    *("build", "list_nets", "end_points", "training_request", "DeploymentOptions", "TensorFlowOp", "Overrides"),
    *("preprocess", "PreprocessingOptions", "open_dataset", "SoftmaxCrossEntropy", "SigmoidCrossEntropy"),
    *("GradientDescent", "Momentum", "RMSProp", "Adam", "Adagrad", "Adadelta", "Ftrl", "WarmUp"),
    *("decay_steps", "exponential_decay", "polynomial_decay", "cosine_decay", "BatchNormalization"),
}


def _examples() -> Iterator[tuple[str, str]]:
    """Name, with its module, and docstring of everything that has an example."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node) or ""
                if ">>>" in text:
                    yield f"{module}.{getattr(node, 'name', '')}", text


EXAMPLES = dict(_examples())
CASES = [
    pytest.param(name, marks=() if name.rpartition(".")[2] in QUICK else pytest.mark.slow, id=name.partition(".")[2])
    for name in EXAMPLES
]
PUBLIC = [entry for entry in ENTRIES if entry.rpartition(".")[2] not in WITHOUT_EXAMPLE]


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and the checkpoints of two networks; not to be changed."""
    folder = tmp_path_factory.mktemp("docstrings")
    runs.write_images(folder / "flowers")
    (folder / "photos").mkdir()
    for name in runs.CLASSES:
        shutil.copy(folder / f"flowers/{name}/00.png", folder / f"photos/{name}.jpg")
    return folder


@pytest.fixture(scope="module")
def trained(practice: Path) -> Path:
    """The same with checkpoints, a file, and a RUN."""
    for name, spec in (("train_dir", small_spec()), ("lenet_dir", NetSpec.make("lenet", None, {}))):
        (practice / name).mkdir()
        values = {**values_of(spec.trace().variables()), "global_step": np.int64(5000)}
        prefix = write_checkpoint(practice / name / "model.ckpt-5000", values)
        (practice / name / "checkpoint").write_text(f'model_checkpoint_path: "{prefix.name}"\n')
    write_meta(practice / "train_dir/model.ckpt-5000", small_spec())
    slim2keras.deploy(practice / "train_dir", practice / "resnet.h5")
    runs.write_network(practice / "tiny.keras")
    slim2keras.train(
        slim2keras.training_request(
            practice / "tiny.keras", practice / "flowers", practice / "run", **{**runs.OPTIONS, "epochs": 2}
        )
    )
    return practice


@pytest.mark.parametrize("entry", PUBLIC)
def test_every_public_name_has_an_example(entry: str) -> None:
    """Functions and classes of the page of Python, and those of the modules on it."""
    item = pkgutil.resolve_name(entry)
    if inspect.ismodule(item):
        names = {name.rpartition(".")[2] for name in EXAMPLES if name.startswith(entry)}
        assert names or entry == "slim2keras.errors"
    else:
        assert f"{item.__module__}.{item.__qualname__}" in EXAMPLES


def test_names_that_a_docstring_lists_are_all_there_are() -> None:
    """A reader cannot look into the constant."""
    assert {*re.findall(r"``(\w+)``", resumed_request.__doc__.partition("changes:")[2])} == CHANGEABLE
    listed = OptimizerOptions.__doc__.partition("optimizer: ")[2].partition(".")[0]
    assert {*listed.replace(" or ", ", ").split(", ")} == {*OPTIMIZERS}


@pytest.mark.filterwarnings("ignore::slim2keras.errors.MovingStatisticsWarning")
@pytest.mark.filterwarnings("ignore::UserWarning:tf_keras.*", "ignore::UserWarning:keras.*")
@pytest.mark.parametrize("name", CASES)
def test_the_example_runs(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line runs, and prints what stands below it."""
    import keras
    import tensorflow as tf
    import tf_keras

    is_quick = name.rpartition(".")[2] in QUICK
    shutil.copytree(request.getfixturevalue("practice" if is_quick else "trained"), tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    known = {
        "slim2keras": slim2keras,
        "keras": keras,
        "np": np,
        "tf": tf,
        "tf_keras": tf_keras,
        "images": images(1, (12, *SMALL_SHAPE)),
        "labels": labels(1, 7, 12),
    }
    example = doctest.DocTestParser().get_doctest(EXAMPLES[name], known, name, None, 0)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(example, out=told.append).failed == 0, "".join(told)
