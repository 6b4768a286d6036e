"""The ``slim2keras`` command, one file a subcommand, thin over the library."""

from __future__ import annotations

from slim2keras.cli.interruption import interruptible


def main() -> None:
    """Run the command and exit with a status of ``ExitStatus``."""
    with interruptible():  # while the rest is imported, too
        from slim2keras.cli.app import main as run

        run()
