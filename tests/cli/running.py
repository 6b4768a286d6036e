"""The command line in this process, or in one of its own."""

from __future__ import annotations

import re
import subprocess
import sys

from typer.testing import CliRunner

from slim2keras.cli.app import app
from slim2keras.errors import ExitStatus
from tests.reference import SMALL_NET, SMALL_SHAPE

SHAPE = ",".join(str(size) for size in SMALL_SHAPE)
LOGITS = f"{SMALL_NET}/logits"


class Result:
    def __init__(self, *arguments: object) -> None:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        self.status = result.exit_code
        self.out, self.err = result.stdout, result.stderr


def ok(*arguments: object) -> str:
    result = Result(*arguments)
    assert result.status == 0, result.err
    return result.out


def fails(status: ExitStatus, message: str, *arguments: object) -> None:
    result = Result(*arguments)
    assert result.status == status, (result.status, result.err)
    assert re.search(message, result.err), result.err
    assert "Traceback" not in result.err


def spawn(*arguments: object, before: str = "") -> subprocess.Popen[str]:
    """Start a command in a process of its own, which runs some lines of Python before."""
    # Tests that run in the background of a shell have Ctrl-C ignored, and so would have the command.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += f"{before}\nfrom slim2keras.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
