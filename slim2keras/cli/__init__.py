"""The ``slim2keras`` command, one file a subcommand, thin over the library."""

from __future__ import annotations

from slim2keras.cli.app import main

__all__ = ["main"]
