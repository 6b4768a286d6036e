"""What the examples print, and the commands that they run as a user types them."""

from __future__ import annotations

import subprocess
import sys

from rich.console import Console

console = Console()


def run_command(*arguments: str, status: int = 0) -> None:
    """Print a command of slim2keras, and run it; ``status`` is the exit code that it should have."""
    console.print(f"\n[bold]$ slim2keras {' '.join(arguments)}[/]", highlight=False, soft_wrap=True)
    command = [sys.executable, "-c", "from slim2keras.cli import main; main()", *arguments]
    done = subprocess.run(command, check=False)
    if done.returncode != status:
        raise subprocess.CalledProcessError(done.returncode, command)
