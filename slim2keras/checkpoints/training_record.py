"""What training and recalibration did to the moving statistics, in a JSON file beside the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slim2keras.batch_norm.modes import BatchNormMode
from slim2keras.checkpoints.reading import Checkpoint
from slim2keras.checkpoints.writing import SHA256
from slim2keras.files.json_values import read_json
from slim2keras.files.output_files import report_path, sha256
from slim2keras.graphs.graph import Shape


@dataclass(frozen=True)
class LayerRecord:
    """What fine-tuning did to the moving statistics of one layer.

    Attributes:
        mode: In which it was trained.
        decay: Fraction that a step kept.
        old_statistics_left: Part of them that is still what training started from, ``None`` if unknown.
    """

    mode: BatchNormMode
    decay: float
    old_statistics_left: float | None


@dataclass(frozen=True)
class TrainingRecord:
    """What fine-tuning did to the moving statistics of a network.

    Attributes:
        steps: Steps trained, those of runs that were resumed too as far as they are recorded.
        layers: By name.
    """

    steps: int = 0
    layers: Mapping[str, LayerRecord] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain values, for the report beside a checkpoint or the config of a model."""
        layers = {
            name: {
                "mode": layer.mode.value,
                "decay": layer.decay,
                "old_statistics_left": layer.old_statistics_left,
            }
            for name, layer in self.layers.items()
        }
        return {"batch_norm": {"steps": self.steps, "layers": layers}}

    @classmethod
    def from_json(cls, report: Mapping[str, Any]) -> TrainingRecord:
        """The reverse.

        Raises:
            ValueError, KeyError, TypeError: If it is no such record.
        """
        record = report["batch_norm"]
        layers = {
            str(name): LayerRecord(BatchNormMode(row["mode"]), float(row["decay"]), _share(row["old_statistics_left"]))
            for name, row in record["layers"].items()
        }
        return cls(int(record["steps"]), layers)


def _share(value: Any) -> float | None:
    return None if value is None else float(value)


def read_record(checkpoint: Checkpoint) -> TrainingRecord:
    """What fine-tuning recorded of a checkpoint; an empty record if nothing is known."""
    try:
        return TrainingRecord.from_json(_read_report(checkpoint))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return TrainingRecord()


def recalibrated_from(checkpoint: Checkpoint) -> int | None:
    """Images that the statistics of a checkpoint were taken from, ``None`` if they were not recalibrated."""
    try:
        return int(_read_report(checkpoint)["after"]["images"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def recorded_input_shape(checkpoint: Checkpoint) -> Shape | None:
    """Input shape of the network that a checkpoint was written from, ``None`` if it is not recorded."""
    shape = _read_report(checkpoint).get("input_shape")
    if not isinstance(shape, list) or not all(size is None or type(size) is int for size in shape):
        return None
    return tuple(shape)


def _read_report(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The report beside a checkpoint, if it is about these very files; else nothing."""
    location = checkpoint.location
    try:
        report = read_json(report_path(location.prefix))
        is_about_it = report[SHA256] == sha256(location.index)
    except (OSError, ValueError, KeyError):
        return {}
    return report if is_about_it else {}
