from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import slim2keras


@pytest.fixture
def classifier(classifier_file: Path) -> Any:
    return slim2keras.load_model(classifier_file)
