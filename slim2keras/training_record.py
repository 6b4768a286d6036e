"""What training and recalibration did to the moving statistics, in a JSON file beside the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slim2keras.batch_norm import BatchNormMode
from slim2keras.checkpoint import SHA256, Checkpoint
from slim2keras.output_files import report_path, sha256

_BATCH_NORM = "batch_norm"


@dataclass(frozen=True)
class LayerRecord:
    """What fine-tuning did to the moving statistics of one layer.

    Attributes:
        mode: In which it was trained.
        decay: Fraction that a step kept.
        old_statistics_left: Part of them that is still what fine-tuning started from.
    """

    mode: BatchNormMode
    decay: float
    old_statistics_left: float


def record_to_json(layers: Mapping[str, LayerRecord]) -> dict[str, Any]:
    """As plain values, for the report beside a checkpoint or the config of a model."""
    return {
        _BATCH_NORM: {
            name: {
                "mode": layer.mode.value,
                "decay": layer.decay,
                "old_statistics_left": layer.old_statistics_left,
            }
            for name, layer in layers.items()
        }
    }


def record_from_json(report: Mapping[str, Any]) -> dict[str, LayerRecord]:
    """The reverse.

    Raises:
        ValueError, KeyError, TypeError: If it is no such record.
    """
    return {
        str(name): LayerRecord(BatchNormMode(row["mode"]), float(row["decay"]), float(row["old_statistics_left"]))
        for name, row in report[_BATCH_NORM].items()
    }


def read_record(checkpoint: Checkpoint) -> dict[str, LayerRecord]:
    """What fine-tuning recorded of a checkpoint, by layer; empty if nothing is known."""
    try:
        return record_from_json(_read_report(checkpoint))
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def recalibrated_from(checkpoint: Checkpoint) -> int | None:
    """Images that the statistics of a checkpoint were taken from, ``None`` if they were not recalibrated."""
    try:
        return int(_read_report(checkpoint)["after"]["images"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _read_report(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The report beside a checkpoint, if it is about these very files; else nothing."""
    location = checkpoint.location
    try:
        report = json.loads(report_path(location.prefix).read_text(encoding="utf-8"))
        is_about_it = report[SHA256] == sha256(location.index)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return report if is_about_it else {}
