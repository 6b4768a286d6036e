"""Whether the BatchNorm statistics of a network can be trusted, and what to do if not."""

from __future__ import annotations

from slim2keras.doctor.diagnosing import diagnose
from slim2keras.doctor.findings import Diagnosis, Finding, LayerDiagnosis

__all__ = ["Diagnosis", "Finding", "LayerDiagnosis", "diagnose"]
