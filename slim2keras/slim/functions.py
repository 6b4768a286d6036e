"""The user's own slim function: found by name, called as people write them, and traced into a graph."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from slim2keras.errors import Slim2KerasError, UnsupportedArgumentError, did_you_mean
from slim2keras.graphs.graph import Shape
from slim2keras.importing.sources import GraphSource, source_of_meta_graph
from slim2keras.slim.runtime import ImportModule, slim_graph, tensorflow_1_modules

SlimFunction = Callable[..., Any]
"""``function(images, is_training)`` gives the output, several, or (output, end points)."""

IMAGES = "images"
"""Name of the placeholder that a function is called with."""

_TRAINING_ARGUMENTS = ("is_training", "training", "train", "is_train", "train_phase", "phase_train")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def find_function(reference: str) -> SlimFunction:
    """Import the user's own function; its file is not touched.

    Args:
        reference: ``"package.module:function"``, looked for in the working directory too, or ``"file.py:function"``.
            The file may be of TensorFlow 1: ``tensorflow.contrib`` can be imported.

    Raises:
        UnsupportedArgumentError: If it is no such reference, or there is no such file, module or function; or with
            what fails in the file, and where.

    Examples:
        >>> from slim2keras.slim.functions import find_function
        >>> find_function("tf_slim.nets.alexnet:alexnet_v2").__name__
        'alexnet_v2'
    """
    place, _, name = reference.rpartition(":")
    if not place or not name:
        raise UnsupportedArgumentError(
            f"network must be package.module:function or file.py:function. Received: {reference!r}"
        )
    module = _import_file(Path(place)) if place.endswith(".py") else _import_package(place)
    return _function_in(module, name, reference)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UnsupportedArgumentError(f"There is no file {path}, in which the function is to be.")
    path = Path(os.path.abspath(path))
    # A module that happens to have the name of the file must not be taken for it.
    with _siblings_forgotten(path.parent), tensorflow_1_modules(path.parent, hidden=path.stem) as import_module:
        return _import_own(path.stem, str(path), import_module)


def _import_package(name: str) -> ModuleType:
    with tensorflow_1_modules(Path.cwd()) as import_module:
        return _import_own(name, f"{name.replace('.', os.sep)}.py", import_module)


def _import_own(name: str, file: str, import_module: ImportModule) -> ModuleType:
    try:
        return import_module(name)
    except Exception as error:
        raise UnsupportedArgumentError(
            f"{file} cannot be imported{_where(error, file)}: {type(error).__name__}: {error}"
        ) from error


def _function_in(module: ModuleType, name: str, reference: str) -> SlimFunction:
    function = getattr(module, name, None)
    if callable(function):
        return function  # type: ignore[no-any-return]
    known = [key for key, value in vars(module).items() if inspect.isfunction(value)]
    raise UnsupportedArgumentError(
        f"{reference}: there is no function {name}.{did_you_mean(name, known)} It has {', '.join(known) or 'none'}."
    )


@contextlib.contextmanager
def _siblings_forgotten(directory: Path) -> Iterator[None]:
    """Modules that are imported from a folder within it are gone at the end: another folder may have the same names."""
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).parent == directory:
                del sys.modules[name]


def call_function(function: SlimFunction, images: Any, arguments: Mapping[str, Any], *, is_training: bool) -> Any:
    """Call the user's function as its signature takes it.

    Args:
        function: Takes whether it trains by one of the usual names, else as its second argument, if at all.
        images: (batch, height, width, channels).
        arguments: Its further arguments.
        is_training: As in slim.

    Raises:
        UnsupportedArgumentError: If it does not take the arguments; or with what fails in it, and where.
    """
    args, kwargs = _call_arguments(function, images, arguments, is_training=is_training)
    try:
        return function(*args, **kwargs)
    except Slim2KerasError:
        raise
    except Exception as error:
        raise UnsupportedArgumentError(
            f"{describe_function(function)} fails with is_training={is_training} and images of {tuple(images.shape)}"
            f"{_where(error, _file_of(function))}: {type(error).__name__}: {error}"
        ) from error


def _call_arguments(
    function: SlimFunction, images: Any, arguments: Mapping[str, Any], *, is_training: bool
) -> tuple[list[Any], dict[str, Any]]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return [images, is_training], dict(arguments)
    parameters = signature.parameters
    _check_arguments(function, arguments, parameters)
    by_name = next((name for name in _TRAINING_ARGUMENTS if name in parameters), None)
    if by_name is not None and parameters[by_name].kind is not inspect.Parameter.POSITIONAL_ONLY:
        return [images], {by_name: is_training, **arguments}
    return [images, *([is_training] if _takes_second(parameters, arguments) else [])], dict(arguments)


def _takes_second(parameters: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any]) -> bool:
    """Whether a function must be given a second argument, which by slim's custom is whether it trains."""
    second = next(iter([*parameters.values()][1:2]), None)
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters.values()):
        return True
    return (
        second is not None
        and second.kind in _POSITIONAL
        and second.default is inspect.Parameter.empty
        and second.name not in arguments
    )


def _check_arguments(
    function: SlimFunction, arguments: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]
) -> None:
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    unknown = [name for name in arguments if name not in parameters]
    if unknown:
        known = [name for name in [*parameters][1:] if name not in _TRAINING_ARGUMENTS]
        raise UnsupportedArgumentError(
            f"{describe_function(function)} has no argument {', '.join(unknown)}.{did_you_mean(unknown[0], known)} "
            f"Its arguments: {', '.join(known) or 'none'}."
        )


def outputs_and_end_points(result: Any) -> tuple[list[Any], dict[str, Any]]:
    """What a function gave, as tensors.

    Args:
        result: A tensor; a list, tuple or mapping of tensors; or (output, end points).

    Raises:
        UnsupportedArgumentError: If it gave no tensor.
    """
    parts = [result] if isinstance(result, Mapping) or not isinstance(result, tuple | list) else [*result]
    named = {str(name): value for part in parts if isinstance(part, Mapping) for name, value in part.items()}
    end_points = {name: value for name, value in named.items() if _is_tensor(value)}
    outputs = [*_tensors_in(part for part in parts if not isinstance(part, Mapping))] or [*end_points.values()]
    if not outputs:
        raise UnsupportedArgumentError(
            "The function must give a tensor, a list or dict of tensors, or (output, end_points). Received: "
            f"{type(result).__name__}"
        )
    return outputs, end_points


def _tensors_in(parts: Iterable[Any]) -> Iterator[Any]:
    for part in parts:
        if isinstance(part, tuple | list):
            yield from _tensors_in(part)
        elif _is_tensor(part):
            yield part


def _is_tensor(value: Any) -> bool:
    import tensorflow as tf

    return isinstance(value, tf.Tensor)


def trace_function(
    function: SlimFunction, input_shape: Shape, arguments: Mapping[str, Any], *, is_training: bool
) -> GraphSource:
    """Trace the user's own function into a graph, by slim itself.

    Args:
        function: ``function(images, is_training)``, see ``call_function``.
        input_shape: (height, width, channels), sizes ``None`` where open.
        arguments: Its further arguments, by keyword.
        is_training: As in slim.

    Returns:
        The graph, its placeholder ``images``, and the outputs and end points of the function.

    Raises:
        UnsupportedArgumentError: With what fails in the function, and where; or if it gives no tensor.
    """
    import tensorflow as tf

    with open_function(function), slim_graph() as graph, _conditions_of_tensorflow_1():
        images = tf.compat.v1.placeholder(tf.float32, (None, *input_shape), name=IMAGES)
        result = call_function(function, images, arguments, is_training=is_training)
        outputs, end_points = outputs_and_end_points(result)
        meta_graph = tf.compat.v1.train.export_meta_graph(graph=graph)
    source = source_of_meta_graph(
        meta_graph,
        describe_function(function),
        "function",
        input_tensors=(images.name,),
        output_tensors=tuple(dict.fromkeys(output.name for output in outputs)),
        end_points={name: tensor.name for name, tensor in end_points.items()},
    )
    return source if source.trainable is not None else replace(source, trainable=frozenset())


@contextlib.contextmanager
def _conditions_of_tensorflow_1() -> Iterator[None]:
    """Within it ``tf.cond`` lays switches, of which the training branch can be cut, and no functions."""
    import tensorflow as tf

    had_functions = tf.compat.v1.control_flow_v2_enabled()
    tf.compat.v1.disable_control_flow_v2()
    try:
        yield
    finally:
        if had_functions:
            tf.compat.v1.enable_control_flow_v2()


@contextlib.contextmanager
def open_function(function: SlimFunction) -> Iterator[None]:
    """Within it a function can import ``tensorflow.contrib``, and what lies beside its file."""
    directory = _folder_of(function)
    with contextlib.ExitStack() as stack:
        if directory is not None:
            stack.enter_context(_siblings_forgotten(directory))
        stack.enter_context(tensorflow_1_modules(directory))
        yield


def _folder_of(function: SlimFunction) -> Path | None:
    """Of a function that ``find_function`` read from a file; others import as they always do."""
    file = _file_of(function)
    is_importable = getattr(_plain(function), "__module__", None) in sys.modules
    return Path(file).parent if file and not is_importable else None


def describe_function(function: SlimFunction) -> str:
    """``module.function``."""
    function = _plain(function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    module = getattr(function, "__module__", None)
    return f"{module}.{name}" if module and module != "__main__" else name


def _plain(function: Any) -> Any:
    """The function behind partial arguments and decorators."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function)


def _file_of(function: SlimFunction) -> str:
    code = getattr(_plain(function), "__code__", None)
    return str(getattr(code, "co_filename", ""))


def _where(error: Exception, file: str) -> str:
    """`` at FILE:LINE``, the innermost line of the user's file that led to an error; nothing if none did."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if file and frame.filename.endswith(file)]
    return f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
