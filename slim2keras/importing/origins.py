"""The file that a graph came from, so that it is known again."""

from __future__ import annotations

from pathlib import Path

from slim2keras.files.output_files import sha256
from slim2keras.importing.graph_files import saved_model_file
from slim2keras.importing.sources import GraphSource


def whereabouts(source: GraphSource) -> dict[str, str]:
    """Absolute path and SHA-256 of a graph's file; of a function its qualified name."""
    if source.sha256 is None:
        return {"path": source.path}
    return {"path": str(Path(source.path).absolute()), "sha256": source.sha256}


def graph_hash(path: Path) -> str:
    """SHA-256 of a graph's file; of a SavedModel's directory that of its ``saved_model.pb``."""
    return sha256(saved_model_file(path) or path)
