"""Slim checkpoints into and out of Keras 3 models, their files, and slim's end points."""

from __future__ import annotations

import contextlib
import json
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from slim2keras.checkpoints.load_plan import LoadPlan
from slim2keras.errors import ModelReadError, UnrecognisedNetError
from slim2keras.files.json_values import no_report, read_json
from slim2keras.files.moves import check_no_mixture
from slim2keras.files.output_files import report_path
from slim2keras.graphs.graph import Variable
from slim2keras.graphs.network import Network
from slim2keras.keras3.building import Building
from slim2keras.keras3.naming import to_slim_name
from slim2keras.models.functional import deep_recursion
from slim2keras.models.overrides import process_overrides
from slim2keras.models.variables import (
    all_layers,
    keep_stored_variables,
    keras_leaves,
    stored_variables,
    variables_as_in,
)
from slim2keras.nets.spec import network_from_config
from slim2keras.outputs.keras_archive import is_keras_archive
from slim2keras.outputs.model_safety import check_archived_weights
from slim2keras.outputs.size_claims import Room
from slim2keras.scopes import slim_variable_name

if TYPE_CHECKING:
    from slim2keras.checkpoints.locating import CheckpointFiles


def load_model(path: str | Path) -> keras.Model:
    """``keras.models.load_model`` of a file of ``convert --keras 3``, with what its report says of the network.

    Our layers are known, and networks of a thousand layers load. Unlike ``slim2keras.load_model`` it looks for no code
    in the file: Keras' safe mode is what protects you.

    Raises:
        ModelReadError: If Keras cannot load the file, it says that it has more than it does, it was replaced half way,
            or the report is none.

    Examples:
        >>> report = slim2keras.deploy("run/", "flowers3.keras", keras=3)
        >>> model = slim2keras.keras3.load_model("flowers3.keras")
    """
    check_no_mixture(Path(path), ModelReadError)
    try:
        if is_keras_archive(Path(path)):
            check_archived_weights(Path(path))
        with deep_recursion(), _variables_fit(Path(path)), _connections_end():
            model = keras.models.load_model(path)
    except ModelReadError:
        raise
    except Exception as error:
        # Keras has no errors of its own for a file that it cannot read.
        writer = _writer(Path(path))
        if writer.startswith("2."):
            raise ModelReadError(
                f"{path} is a file of Keras {writer}, of tf_keras. Load it with slim2keras.load_model; "
                "slim2keras.to_keras3 makes a model of Keras 3 of it, and `slim2keras convert --keras 3` a file."
            ) from None
        by_another = f"Keras {writer} wrote it, and loads it: pip install keras=={writer}. "
        advice = by_another if writer not in ("", keras.__version__) else ""
        raise ModelReadError(f"{path} cannot be loaded by Keras {keras.__version__}. {advice}{error}") from error
    network = _network_beside(Path(path))
    if network is not None and not hasattr(model, "slim_network"):
        _keep_network(model, network)
    return model


@contextlib.contextmanager
def _variables_fit(path: Path) -> Iterator[None]:
    """As ``size_claims.variables_fit``, of variables of Keras 3, whatever the backend."""
    # Keras has files elsewhere too, of which nothing is known here.
    if not path.exists():
        yield
        return
    room = Room(path)
    # What layers make is the backend's; the public class adds nothing to it.
    made_by_layers = keras.Variable.__bases__[0]
    loading = threading.get_ident()

    def counted(self: Any, initializer: Any, shape: Any = None, dtype: Any = None, *others: Any, **named: Any) -> None:
        if shape is not None and threading.get_ident() == loading:
            room.take(named.get("name"), shape, keras.backend.standardize_dtype(dtype))
        make(self, initializer, shape, dtype, *others, **named)

    with process_overrides() as overrides:
        make = made_by_layers.__init__
        overrides.set(made_by_layers, "__init__", counted)
        yield


@contextlib.contextmanager
def _connections_end() -> Iterator[None]:
    """Within it functional models are made or refused, see ``outputs.connections``, also by Keras before 3.15."""

    def from_config(cls: type[keras.Model], config: Any, custom_objects: Any = None) -> Any:
        if "input_layers" in config and isinstance(config.get("layers"), list):
            config = {**config, "layers": _Turns(config["layers"])}
        return made_of(cls, config, custom_objects)

    with process_overrides() as overrides:
        made_of = vars(keras.Model)["from_config"].__func__
        overrides.set(keras.Model, "from_config", classmethod(from_config))
        yield


class _Turns(list[Any]):
    """Layers of a configuration: Keras goes through them to make them, and then until all are called, one at least."""

    def __init__(self, layers: list[Any]) -> None:
        super().__init__(layers)
        self._left = 1 + sum(len(layer["inbound_nodes"]) for layer in layers)

    def __iter__(self) -> Iterator[Any]:
        if not self._left:
            raise ValueError("its layers wait for outputs that there will not be")
        self._left -= 1
        return super().__iter__()


def load_checkpoint(
    model: keras.Model, checkpoint: str | Path, *, exclude: Sequence[str] = (), **options: Any
) -> LoadPlan:
    """Give a Keras 3 model the values of a slim checkpoint; its layers are named after slim scopes, ``>`` for ``/``.

    Args:
        model: Of ``to_keras3``, or any functional model whose layer ``"net>conv1"`` gets ``net/conv1/weights``.
        checkpoint: As in ``slim2keras.load_checkpoint``.
        exclude: Scopes, by slim's names, that keep the values that they have in the model.
        options: Those of ``slim2keras.load_checkpoint``.

    Returns:
        What became of every variable.

    Raises:
        CheckpointMismatchError: If a variable of either side is unaccounted for; lists all of them.

    Examples:
        >>> model = slim2keras.to_keras3(slim2keras.build("lenet", num_classes=5))
        >>> plan = slim2keras.keras3.load_checkpoint(model, "lenet_dir/", exclude=["LeNet/fc4"])
    """
    from slim2keras.checkpoints import loading

    know_slim_names(model)
    return loading.load_checkpoint(model, checkpoint, exclude=exclude, **options)


def export_checkpoint(model: keras.Model, prefix: str | Path, **options: Any) -> CheckpointFiles:
    """Write a Keras 3 model as a slim checkpoint, see ``slim2keras.export_checkpoint``.

    Of a model that is compiled with ``slim2keras.keras3.Momentum`` or ``RMSProp`` also slots and ``global_step``.

    Raises:
        UnsupportedArgumentError: If the model was compiled with an optimizer that slim does not have.

    Examples:
        >>> model = slim2keras.to_keras3(slim2keras.build("lenet", num_classes=5))
        >>> files = slim2keras.keras3.export_checkpoint(model, "out/model.ckpt-6000")
    """
    from slim2keras.training import export

    know_slim_names(model)
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built:
        optimizer.build(model.trainable_variables)
    return export.export_checkpoint(model, prefix, **options)


def end_points(model: keras.Model) -> dict[str, Any]:
    """Slim's end points of a Keras 3 model.

    Args:
        model: Of ``to_keras3``, or of this module's ``load_model`` with its report beside the file.

    Returns:
        Slim's end point name to KerasTensor, in slim's order; ``keras.Model(model.input, tensor)`` computes one.

    Raises:
        UnrecognisedNetError: If nothing tells which network the model is.

    Examples:
        >>> model = slim2keras.to_keras3(slim2keras.build("lenet", num_classes=5))
        >>> slim2keras.keras3.end_points(model)["conv1"].shape
        (None, 28, 28, 32)
    """
    network: Network | None = getattr(model, "slim_network", None)
    if network is None:
        raise UnrecognisedNetError(
            f"Nothing tells which network {model.name} is. Load its file with slim2keras.keras3.load_model, the report "
            "beside it; or take the output of a layer: model.get_layer(name).output."
        )
    building = Building(network.graph, made={to_slim_name(layer.name): layer for layer in model.layers})
    names = [layer.name for layer in network.graph.input_layers]
    found = building.tensors(list(network.graph.end_points.values()), dict(zip(names, model.inputs, strict=True)))
    return {name: found[tensor.layer_name] for name, tensor in network.graph.end_points.items()}


def know_slim_names(model: keras.Model) -> None:
    """Have every layer know what a checkpoint calls its variables, by the name of the layer where it does not."""
    for layer in all_layers(model):
        if layer.weights and not stored_variables(layer):
            scope = to_slim_name(layer.name)
            leaves = keras_leaves(layer).items()
            stored = {leaf: Variable(slim_variable_name(scope, leaf), tuple(item.shape)) for leaf, item in leaves}
            keep_stored_variables(layer, stored)


def _writer(path: Path) -> str:
    """The version of Keras that wrote a file, empty if it does not say."""
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError, RecursionError):
        return ""


def _keep_network(model: keras.Model, network: Network) -> None:
    made = {to_slim_name(layer.name): layer for layer in model.layers}
    for layer in network.graph.layers.values():
        if layer.variables and (found := made.get(layer.name)) is not None:
            keep_stored_variables(found, variables_as_in(found, layer))
    model.slim_network = network


def _network_beside(path: Path) -> Network | None:
    report = report_path(path)
    if not report.is_file():
        return None
    try:
        return network_from_config(read_json(report))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise no_report(report, f"{type(error).__name__}: {error}.") from error
