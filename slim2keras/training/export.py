"""Models written back as slim checkpoints."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.checkpoints.locating import CheckpointFiles, CheckpointVersion
from slim2keras.checkpoints.reading import open_checkpoint
from slim2keras.checkpoints.writing import write_checkpoint
from slim2keras.conversion.reading import load_model
from slim2keras.models.folding import refuse_folded
from slim2keras.models.networks import find_network
from slim2keras.models.variables import stored_shapes
from slim2keras.training.state import state_variables
from slim2keras.version import __version__

if TYPE_CHECKING:
    import tf_keras

_WRITTEN = "written as a slim checkpoint"


def export_checkpoint(
    model: tf_keras.Model,
    prefix: str | Path,
    *,
    version: CheckpointVersion | str = CheckpointVersion.V2,
    overwrite: bool = False,
) -> CheckpointFiles:
    """Write a slim checkpoint, which slim restores with a plain ``Saver`` to go on training.

    Written are the variables of the network; of a compiled model also slots, power accumulators and ``global_step``;
    with ``ema_decay`` the shadows. Names, shapes and bits are slim's: slim to Keras to slim changes nothing.

    Args:
        model: Model of ``build``, ``convert`` or ``finetune``.
        prefix: Path that slim's ``Saver`` is given, e.g. ``"out/model.ckpt-6000"``.
        version: ``"V2"``, an index and a data file; or ``"V1"``, one file as slim of 2016 has it.
        overwrite: Replace existing files.

    Beside it, as ``<prefix>.json``, lies what fine-tuning did to the moving statistics, for the doctor.

    Returns:
        Where it lies. The ``checkpoint`` file of the directory names it as the latest.

    Raises:
        OutputError: If it exists already or cannot be written; nothing is left behind.
        UnsupportedArgumentError: If the model was compiled with an optimizer that slim does not have.

    Examples:
        >>> tuned = slim2keras.finetune(slim2keras.load_model("run/model.keras"), batch_norm="update")
        >>> tuned.compile(slim2keras.optimizers.Momentum(0.01, 0.9), slim2keras.losses.SoftmaxCrossEntropy())
        >>> files = slim2keras.export_checkpoint(tuned, "out/model.ckpt-6000")
    """
    refuse_folded(find_network(model), _WRITTEN)
    shapes = stored_shapes(model)
    values = {name: shapes.stored(name, variable) for name, variable in state_variables(model).items()}
    return write_checkpoint(
        Path(prefix), values, CheckpointVersion(version), overwrite=overwrite, report=_report_of(model)
    )


def _report_of(model: tf_keras.Model) -> dict[str, Any] | None:
    """What lies beside the checkpoint of a fine-tuned model, ``None`` of any other and before its first step."""
    record = getattr(model, "statistics_record", None)
    if record is None or not (found := record.read()).steps:
        return None
    facts = {"written_by": f"slim2keras {__version__}", "input_shape": list(model.inputs[0].shape[1:])}
    return {**facts, **found.to_json()}


def export_file(
    path: str | Path,
    prefix: str | Path,
    *,
    version: CheckpointVersion = CheckpointVersion.V2,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a model file back as a slim checkpoint; of a compiled ``.keras`` with slots, step and shadows.

    Args:
        path: As in ``load_model``.
        prefix: As in ``export_checkpoint``.

    Returns:
        Path, format and files, and the number of variables of each kind, as plain values.

    Raises:
        ModelReadError: If the model file cannot be read.
        OutputError: If the checkpoint exists already or cannot be written; nothing is left behind.
    """
    model = load_model(path, with_optimizer=True)
    refuse_folded(find_network(model), _WRITTEN, path)
    written = export_checkpoint(model, prefix, version=version, overwrite=overwrite)
    with open_checkpoint(written.prefix) as checkpoint:
        kinds = Counter(kind.value for kind in checkpoint.kinds.values())
        return {
            "path": str(prefix),
            "format": written.version,
            "files": [str(file) for file in written.files],
            "global_step": checkpoint.global_step,
            "variables": dict(kinds),
        }
