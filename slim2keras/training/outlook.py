"""What a decay means for the steps planned, as a callback of tf_keras."""

from __future__ import annotations

from typing import Any

import tf_keras

from slim2keras.batch_norm.outlook import OutlookReport


class MovingStatisticsReport(OutlookReport, tf_keras.callbacks.Callback):  # type: ignore[misc]
    """Says at the start of ``fit`` what the decay means for the steps planned; ``finetune`` adds it."""

    def on_train_end(self, logs: Any = None) -> None:
        """Let the model know that the statistics are now those of training."""
        self.model.statistics_record.note()
