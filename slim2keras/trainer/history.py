"""A line an epoch: history.csv, and the event files of TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slim2keras.files.output_files import whole_or_not_at_all
from slim2keras.trainer.state import Row


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write all lines, whole or not at all; numbers have all of their digits.

    Raises:
        OutputError: If it cannot be written.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with whole_or_not_at_all(path) as (draft,), draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


_SCALAR = 1
"""``DATA_CLASS_SCALAR`` of tensorflow/core/framework/summary.proto."""


class EventFiles:
    """Writes the numbers of each epoch where TensorBoard finds them.

    Args:
        directory: Made when there is something to write.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writer: Any = None

    def write(self, row: Row) -> None:
        """Write the line of an epoch."""
        import tensorflow as tf

        # tf.summary.scalar wants TensorBoard to be installed where it is written.
        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin, data_class=_SCALAR)
        self._writer = self._writer or tf.summary.create_file_writer(str(self._directory))
        # NumPy's numbers: TensorFlow keeps a tensor of each of Python's that it has ever seen.
        with self._writer.as_default():
            for name, value in row.items():
                if name != "epoch":
                    tf.summary.write(name, tf.constant(np.float32(value)), np.int64(row["epoch"]), metadata)
        self._writer.flush()
