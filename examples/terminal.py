"""What the examples print, and the commands that they run as a user types them."""

from __future__ import annotations

import subprocess
import sys

from rich.console import Console

console = Console()


def run_command(*arguments: str) -> None:
    """Print a command of slim2keras, and run it."""
    console.print(f"\n[bold]$ slim2keras {' '.join(arguments)}[/]", highlight=False, soft_wrap=True)
    command = [sys.executable, "-c", "from slim2keras.cli import main; main()", *arguments]
    subprocess.run(command, check=True)
