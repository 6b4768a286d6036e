"""Model files with what their reports say of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from slim2keras.checkpoints.load_plan import LoadOptions
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.conversion.plan import plan_conversion
from slim2keras.conversion.request import CheckpointRequest
from slim2keras.errors import ModelReadError, Slim2KerasError, UnsupportedArgumentError
from slim2keras.files.json_values import no_report, read_json
from slim2keras.files.output_files import report_path
from slim2keras.graphs.network import Network
from slim2keras.models.building import build_model
from slim2keras.models.networks import keep_network, knows_network
from slim2keras.nets.spec import network_from_config
from slim2keras.outputs.formats import OutputFormat, check_is_read_again
from slim2keras.outputs.loading import load_file, load_weights
from slim2keras.outputs.model_safety import check_report, unreadable
from slim2keras.outputs.size_claims import variables_fit

if TYPE_CHECKING:
    import tf_keras


def load_model(
    path: str | Path, checkpoint: str | Path | None = None, *, with_optimizer: bool = False
) -> tf_keras.Model:
    """Load a model file that ``convert``, ``model.save`` or ``save_weights`` wrote, with what its report says of it.

    A ``.keras`` is read straight from HDF5, which takes a fraction of the time of ``tf_keras.models.load_model``. The
    model is not compiled; nothing in a file can run code (SECURITY.md).

    Args:
        path: ``.keras``, ``.h5``, SavedModel, or ``.weights.h5`` with its report beside it.
        checkpoint: Where the network of a ``.weights.h5`` without report is told from.
        with_optimizer: Compile a ``.keras`` with the optimizer that it was saved with, and its state.

    Returns:
        The model, of its own class if ``finetune`` made it.

    Raises:
        ModelReadError: If the file is missing or corrupt.
        UnsafeModelError: If the file could run code; nothing of it was run.

    Examples:
        >>> model = slim2keras.load_model("resnet.h5")
    """
    path = Path(path)
    check_is_read_again(path)
    network, options = _read_report(report_path(path))
    try:
        if not path.name.endswith(OutputFormat.WEIGHTS.value):
            model = load_file(path, with_optimizer=with_optimizer)
            if network is not None and not knows_network(model):
                keep_network(model, network)
        else:
            network = network or _network_of_checkpoint(checkpoint, path, options)
            with variables_fit(path), _told_of_report(report_path(path)):
                model = build_model(network)
            load_weights(model, path)
    except Slim2KerasError:
        raise
    except Exception as error:
        # tf_keras has no errors of its own for a model that it cannot make.
        raise unreadable(path, error) from error
    model.slim_load_options = options
    return model


def _network_of_checkpoint(checkpoint: str | Path | None, path: Path, options: LoadOptions) -> Network:
    if checkpoint is None:
        raise ModelReadError(
            f"{path} holds weights alone, and the report {report_path(path).name} that says of which network is not "
            "beside it. Give a .keras file, or convert the checkpoint again."
        )
    with open_checkpoint(checkpoint) as opened:
        return plan_conversion(opened, CheckpointRequest(load=options)).network


def _read_report(path: Path) -> tuple[Network | None, LoadOptions]:
    """Network and load options from a report; nothing and the defaults where there is none."""
    if not path.is_file():
        return None, LoadOptions()
    try:
        report = read_json(path)
        options = LoadOptions(report["excluded"]["scopes"], report["use_ema"])
        check_report(path, report)
        return network_from_config(report), options
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise no_report(path, f"{type(error).__name__}: {error}.") from error


@contextlib.contextmanager
def _told_of_report(path: Path) -> Iterator[None]:
    """Have an error of what a network is made with name the report that says it."""
    try:
        yield
    except UnsupportedArgumentError as error:
        raise no_report(path, str(error)) from error
