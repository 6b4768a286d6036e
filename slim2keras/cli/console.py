"""What the commands share: consoles, values of options, progress."""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, RenderableType

from slim2keras.errors import CheckpointReadError, UnsupportedArgumentError
from slim2keras.files.native_output import open_what_is_closed, stderr_captured
from slim2keras.files.reports import print_page
from slim2keras.nets import find_net
from slim2keras.progress import ImageProgress, StepProgress

if TYPE_CHECKING:
    from slim2keras.checkpoints.load_plan import LoadOptions
    from slim2keras.conversion.request import CheckpointRequest
    from slim2keras.graphs.graph import Shape
    from slim2keras.importing.request import GraphRequest
    from slim2keras.models.strategies import Team

open_what_is_closed()
# A file or a pipe takes whole lines.
stdout = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)
stderr = Console(stderr=True)


def import_tensorflow() -> None:
    """Import TensorFlow without its greetings; if that fails, show them, since they may say why."""
    with stderr_captured() as caught:
        try:
            import tensorflow as tf
            import tf_keras  # noqa: F401  (imported for its greetings)
        except Exception:
            caught.seek(0)
            sys.stdout.flush()
            stderr.print(caught.read().decode(errors="replace"), markup=False, highlight=False)
            raise
    tf.get_logger().setLevel("ERROR")
    _leave_what_is_there_out_of_garbage_collection()


@functools.cache  # what a command leaves must not be kept by the next one in this process
def _leave_what_is_there_out_of_garbage_collection() -> None:
    """The million objects of TensorFlow stay; to look through them for garbage takes half a second each time."""
    gc.freeze()


def check_checkpoint(path: Path) -> None:
    """Refuse what is no checkpoint before TensorFlow is imported, which takes seconds.

    Raises:
        CheckpointReadError: If nothing is there, or it can be no checkpoint.
    """
    from slim2keras.checkpoints.locating import locate_checkpoint, path_errors
    from slim2keras.files.archives import is_archive
    from slim2keras.importing.graph_files import is_graph_file

    with path_errors(path):
        is_other = is_archive(path) or (path.exists() and is_graph_file(path))
    if not is_other:
        locate_checkpoint(path)


def check_variables(path: Path) -> None:
    """The same of what may be a model file too.

    Raises:
        CheckpointReadError: If nothing is there, or it can be no checkpoint.
        ModelReadError: If it has the name of a model file, and nothing is there.
    """
    from slim2keras.outputs.formats import check_model_path, is_model_file

    if is_model_file(path):
        check_model_path(path)
    else:
        check_checkpoint(path)


def check_classifier(path: Path) -> None:
    """The same of what may be a RUN too.

    Raises:
        CheckpointReadError: If nothing is there, or it can be none of them.
        ModelReadError: If it has the name of a model file, and nothing is there.
    """
    from slim2keras.files.run_layout import is_run

    if not is_run(path):
        check_variables(path)


def print_parts(parts: Iterable[RenderableType]) -> None:
    """Print the page of a report on stdout."""
    print_page(parts, stdout)


def print_line(text: str) -> None:
    """Print a line of plain text on stdout as it is: names hold brackets, and paths must stay whole."""
    stdout.print(text, highlight=False, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout, for machines: no colour, no wrapping, a list of numbers on one line."""
    text = json.dumps(value, indent=2, allow_nan=False)
    # A string has no line breaks of its own in JSON.
    typer.echo(re.sub(r"\[\n[-+.\deE,\s]+\]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text))


def checkpoint_request(
    net: str | None,
    num_classes: int | None,
    settings: list[str] | None,
    input_shape: str | None,
    load: LoadOptions,
    graph: GraphRequest | None = None,
) -> CheckpointRequest:
    """What is asked of a checkpoint, from the options of a command.

    Raises:
        UnknownNetError: If there is no network ``net``.
        UnsupportedArgumentError: If a setting is not NAME=VALUE, none of the network's, or the shape is none.
    """
    from slim2keras.conversion.request import CheckpointRequest
    from slim2keras.importing.request import GraphRequest

    arguments = _parse_arguments(settings, num_classes)
    if net is not None:
        find_net(net).check_arguments(arguments)
    return CheckpointRequest(
        net, arguments, _parse_input_shape(input_shape), load, graph=GraphRequest() if graph is None else graph
    )


def graph_request(
    graph: Path | None,
    input_tensors: list[str] | None,
    output_tensors: list[str] | None,
    placeholders: list[str] | None,
) -> GraphRequest:
    """What is said of a graph, from the options of a command.

    Raises:
        UnsupportedArgumentError: If a placeholder is not NAME=VALUE.
        CheckpointReadError: If there is no such graph.
    """
    from slim2keras.importing.request import GraphRequest

    if graph is not None and not graph.exists():
        raise CheckpointReadError(f"There is no graph {graph}. Give a .meta, .pb or .pbtxt (--graph).")
    values = _parse_settings("--placeholder", placeholders)
    return GraphRequest(graph, input_tensors or (), output_tensors or (), values)


def with_function(request: CheckpointRequest, network: str | None) -> CheckpointRequest:
    """The same request with the user's own slim function, which is imported, and TensorFlow with it.

    Args:
        network: As ``find_function`` takes it.

    Raises:
        UnsupportedArgumentError: If there is no such function, or other things asked for exclude it.
    """
    if network is None:
        return request
    from slim2keras.slim.functions import find_function

    return replace(request, network=find_function(network))


def _parse_arguments(settings: list[str] | None, num_classes: int | None) -> dict[str, Any]:
    """Slim arguments from ``--set`` and ``--num-classes``."""
    arguments = {} if num_classes is None else {"num_classes": num_classes}
    return {**arguments, **_parse_settings("--set", settings)}


def _parse_settings(option: str, settings: list[str] | None) -> dict[str, Any]:
    """Values by name from an option that is given as NAME=VALUE."""
    found = {}
    for setting in settings or []:
        name, separator, text = setting.partition("=")
        if not separator or not name:
            raise UnsupportedArgumentError(f"{option} must be NAME=VALUE. Received: {option} {setting}")
        found[name.strip()] = _parse_value(text.strip())
    return found


def _parse_value(text: str) -> Any:
    """Value as Python writes it; true, false and bare words (SAME) are what a shell user types."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def parse_image_size(text: str | None) -> tuple[int, int] | None:
    """(height, width) from ``N`` or ``H,W``.

    Raises:
        UnsupportedArgumentError: If it is neither.
    """
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() and int(part) for part in parts):
        raise UnsupportedArgumentError(
            f"--image-size must be N, or H,W, e.g. 224 or 96,128. Received: --image-size {text}"
        )
    return int(parts[0]), int(parts[-1])


def _parse_input_shape(text: str | None) -> Shape | None:
    """(height, width, channels) from ``H,W,C``."""
    if text is None:
        return None
    try:
        return tuple(None if part.strip().lower() == "none" else int(part) for part in text.split(","))
    except ValueError:
        raise UnsupportedArgumentError(
            f"--input-shape must be H,W,C, e.g. 224,224,3 or None,None,3. Received: --input-shape {text}"
        ) from None


def image_progress(progress: StepProgress | None, what: str, total: int) -> ImageProgress | None:
    """Counts images, batch by batch, for a bar of ``progress_bar``."""
    if progress is None:
        return None
    done = 0

    def count(images: int) -> None:
        nonlocal done
        done += images
        progress(what, done, total)

    return count


@contextlib.contextmanager
def shared_work(strategy: str | None, next_step: str) -> Iterator[Team]:
    """Within it models belong to a team; at its end all workers have come so far, so that none misses another.

    Args:
        strategy: See ``models.strategies.open_team``.
        next_step: What to do about a lost worker, a sentence.
    """
    from slim2keras.models.strategies import open_team

    team = open_team(strategy)
    with team.losses_told(lambda: next_step), team.scope():
        yield team
        team.wait()
    if not team.is_chief:
        stderr.print(f"Worker {team.worker} of {team.workers} is done; worker 0 has the result.", highlight=False)


@contextlib.contextmanager
def progress_bar() -> Iterator[StepProgress | None]:
    """Progress on stderr where that is a terminal, else nothing."""
    if not stderr.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("opening", total=None)

        def step(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total if done else None)

        yield step
