"""The command line as a whole: its commands, and what an error looks like."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

import slim2keras
from slim2keras.cli import convert, doctor, evaluate, export, finetune, inspect, nets, predict, recalibrate, verify
from slim2keras.cli.console import (
    stderr,
)
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
)
from slim2keras.files.reports import print_page
from slim2keras.models.overrides import Overrides

_EPILOG = (
    "Exit codes: 0 ok, 1 unexpected error or disk full, 2 usage, 3 file unreadable, 4 checkpoint or graph does not "
    "fit, or is sick, 5 parity failed, 6 another worker lost, 130 interrupted."
)


class _PlainHelp:
    """The help option takes no value, and its help names no type, as ``console.flag`` has it."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.metavar = ""
        return option


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


class _State:
    """What the options before the command say."""

    show_traceback = False


class _Interruption:
    """Ctrl-C, or SIGTERM, that is not lost.

    An exception that a signal raises within TensorFlow's native code may be swallowed there. So it is raised again and
    again, until the command stops; but not while it is being handled, which is when drafts are removed.
    """

    interval = 0.1
    """Seconds."""
    has_come = False

    @classmethod
    def listen(cls) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGALRM] if hasattr(signal, "setitimer") else [])):
            signal.signal(number, cls._raise)

    @classmethod
    def end(cls) -> None:
        if cls.has_come and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    @classmethod
    def _raise(cls, _signal: int, _frame: FrameType | None) -> None:
        cls.has_come = True
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, cls.interval)
        handled = sys.exc_info()[1]
        while handled is not None and not isinstance(handled, KeyboardInterrupt):
            handled = handled.__context__
        if handled is None:
            raise KeyboardInterrupt


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
        try:
            with _warnings_as_remarks():
                command(**arguments)
        except KeyboardInterrupt as interruption:
            _report_interruption(str(interruption))
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if _Interruption.has_come:  # native code made another error of it
                _report_interruption()
            if _State.show_traceback:
                raise
            _print_error(_describe_error(error))
            raise typer.Exit(getattr(error, "exit_status", ExitStatus.UNEXPECTED)) from None
        finally:
            _Interruption.end()

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


def _report_interruption(text: str = "") -> NoReturn:
    """``text`` says what was written after all."""
    _Interruption.end()
    _print_error(text or "Interrupted; nothing was written.")
    raise typer.Exit(ExitStatus.INTERRUPTED) from None


def _describe_error(error: Exception) -> str:
    if isinstance(error, Slim2KerasError):
        return f"Error: {error}"
    return (
        f"Unexpected error: {type(error).__name__}: {error}\n"
        "This is a defect of slim2keras; `slim2keras --traceback ...` shows where."
    )


def _print_error(text: str) -> None:
    stderr.print(text, markup=False, highlight=False, soft_wrap=True, style="red")


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
for _command in _COMMANDS:
    app.command(epilog=_EPILOG, cls=_Command)(_report_errors(_command))


def main() -> None:
    """Run the command and exit with a status of ``ExitStatus``."""
    # TensorFlow greets and warns on stderr, where the user looks for ours.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Else TensorFlow imports Keras 3, a quarter of its own time, which nobody here uses.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    _Interruption.listen()
    try:
        app()
    finally:
        _Interruption.end()
