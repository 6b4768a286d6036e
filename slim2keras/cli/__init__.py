"""The ``slim2keras`` command, one file a subcommand, thin over the library."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command and exit with a status of ``ExitStatus``."""
    from slim2keras.cli.interruption import INTERRUPTED, NOTHING_WRITTEN, Interruption

    Interruption.listen()
    try:
        from slim2keras.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write(f"{NOTHING_WRITTEN}\n")
        sys.exit(INTERRUPTED)
    finally:
        Interruption.leave()
