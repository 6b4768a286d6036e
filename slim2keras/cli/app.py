"""The command line as a whole: its commands, and what an error looks like."""

from __future__ import annotations

import contextlib
import errno
import functools
import mmap
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

import slim2keras
from slim2keras.cli import convert, doctor, evaluate, export, finetune, inspect, nets, predict, recalibrate, verify
from slim2keras.cli.console import (
    stderr,
)
from slim2keras.cli.interruption import NOTHING_WRITTEN, Interruption, interruptible
from slim2keras.cli.options import (
    flag,
)
from slim2keras.cli.slim_flags import SlimSpelling
from slim2keras.errors import (
    DistributionWarning,
    ExitStatus,
    GraphWarning,
    MovingStatisticsWarning,
    PreprocessingWarning,
    Slim2KerasError,
    is_out_of_memory,
)
from slim2keras.files.output_files import targets_told
from slim2keras.files.reports import print_page
from slim2keras.models.overrides import Overrides

_EPILOG = (
    "Exit codes: 0 ok, 1 unexpected error, or disk or memory full, 2 usage, 3 file unreadable, 4 checkpoint or graph "
    "does not fit, or is sick, 5 parity failed, 6 another worker lost, 130 interrupted."
)


class _PlainHelp:
    """Help in which what takes no value names no type, as ``options.flag`` has it, and no name is cut off."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from typer import rich_utils

        def folding(text: Any) -> Text:
            highlighted = highlighter(text)
            highlighted.overflow = "fold"
            return highlighted

        highlighter = rich_utils.highlighter
        with Overrides() as overrides:
            overrides.set(rich_utils, "highlighter", folding)
            super().format_help(ctx, formatter)  # type: ignore[misc]

    def get_params(self, ctx: Any) -> list[Any]:
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for option in found:
            if getattr(option, "is_flag", False):
                option.metavar = ""
        return found


class _Command(SlimSpelling, _PlainHelp, TyperCommand):
    pass


class _Group(_PlainHelp, TyperGroup):
    pass


app = typer.Typer(
    name="slim2keras",
    cls=_Group,
    help="Slim checkpoints as tf.keras models, with the same numbers.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


_RESERVE = mmap.mmap(-1, 2**20)
"""Memory with which to say that there is none left, and to end."""


class _State:
    """What the options before the command say."""

    show_traceback = False


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"slim2keras {slim2keras.__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    traceback: Annotated[bool, flag("--traceback", "Show the Python traceback of an error.")] = False,
) -> None:
    """Slim checkpoints as tf.keras models, with the same numbers."""
    _State.show_traceback = traceback


def _report_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors into one message and an exit status."""

    @functools.wraps(command)
    def reporting(**arguments: Any) -> None:
        written: list[Path] = []
        try:
            with _warnings_as_remarks(), targets_told() as written:
                command(**arguments)
        except KeyboardInterrupt as interruption:
            _report_interruption(str(interruption) or _what_was_written(written))
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if Interruption.has_come:  # native code made another error of it
                _report_interruption(_what_was_written(written))
            if _State.show_traceback:
                raise
            _print_error(_describe_error(error))
            raise typer.Exit(getattr(error, "exit_status", ExitStatus.UNEXPECTED)) from None
        finally:
            Interruption.end()

    return reporting


@contextlib.contextmanager
def _warnings_as_remarks() -> Iterator[None]:
    """Within it our own warnings are sentences on stderr, without the line of code that they come from."""
    show = warnings.showwarning

    def remark(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if issubclass(category, (DistributionWarning, GraphWarning, MovingStatisticsWarning, PreprocessingWarning)):
            print_page([Text(f"remark: {message}", "yellow")], stderr)
        else:
            show(message, category, *where)

    with Overrides() as overrides:
        overrides.set(warnings, "showwarning", remark)
        yield


def _what_was_written(written: Sequence[Path]) -> str:
    """One that comes at the very end may find everything written."""
    if not written:
        return NOTHING_WRITTEN
    return f"Interrupted; what had been written by then is whole, and stays: {', '.join(map(str, written))}"


def _report_interruption(text: str) -> NoReturn:
    Interruption.end()
    Interruption.is_told = True
    _print_error(text)
    raise typer.Exit(ExitStatus.INTERRUPTED) from None


def _describe_error(error: Exception) -> str:
    if isinstance(error, Slim2KerasError):
        return f"Error: {error}"
    where = "`slim2keras --traceback ...` shows where."
    if is_out_of_memory(error):
        # Native code that does not say what it fails of may fail of something else.
        unsure = (
            f" If there was enough, native code failed of something else; {where}" if type(error) is SystemError else ""
        )
        return (
            f"Error: Memory ran out ({type(error).__name__}: {str(error)[:200]}). Nothing is half written. Give the "
            f"process more; where images are read, ask for fewer at a time: --batch-size, --workers.{unsure}"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"Error: The disk is full, or a quota, where output goes that is no file of ours: {error}."
    return f"Unexpected error: {type(error).__name__}: {error}\nThis is a defect of slim2keras; {where}"


def _print_error(text: str) -> None:
    _RESERVE.close()
    try:
        stderr.print(text, markup=False, highlight=False, soft_wrap=True, style="red")
    except (MemoryError, SystemError):  # which may be what it is to say
        sys.stderr.write(f"{text}\n")


_COMMANDS = (
    nets.nets,
    inspect.inspect,
    convert.convert,
    verify.verify,
    export.export,
    doctor.doctor,
    recalibrate.recalibrate,
    finetune.finetune,
    evaluate.evaluate,
    predict.predict,
)


def _help_of(command: Callable[..., None]) -> str:
    """Its docstring, each paragraph in one line: typer would keep the ends of lines that the source has."""
    paragraphs = (command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for _command in _COMMANDS:
    app.command(help=_help_of(_command), epilog=_EPILOG, cls=_Command)(_report_errors(_command))


def main() -> None:
    """Run the command and exit with a status of ``ExitStatus``."""
    # TensorFlow greets and warns on stderr, where the user looks for ours.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Else TensorFlow imports Keras 3, a quarter of its own time, which nobody here uses.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    with interruptible():
        try:
            app()
        except Exception as error:
            # Before a command has begun, and after it: what parses the command line imports late.
            if _State.show_traceback or not is_out_of_memory(error):
                raise
            _print_error(_describe_error(error))
            sys.exit(ExitStatus.UNEXPECTED)
