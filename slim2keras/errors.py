"""The errors of slim2keras: what, where, evidence, next step, and the exit code of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit codes of the ``slim2keras`` command."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    UNREADABLE = 3
    MISMATCH = 4
    SICK = 4
    PARITY = 5
    WORKER_LOST = 6
    INTERRUPTED = 130


class Slim2KerasError(Exception):
    """Base of everything that slim2keras raises on purpose."""

    exit_status = ExitStatus.UNEXPECTED


class UnsupportedArgumentError(Slim2KerasError, ValueError):
    """An argument that the network does not take, or a value that it cannot have."""

    exit_status = ExitStatus.USAGE


class UnknownNetError(Slim2KerasError, ValueError):
    """A name that is not one of slim's networks."""

    exit_status = ExitStatus.USAGE


class OutputError(Slim2KerasError):
    """An output file that exists already, has an unknown format or cannot be written."""

    exit_status = ExitStatus.USAGE


class NoSpaceError(OutputError):
    """The disk filled up while an output file was written; nothing of it is left."""

    exit_status = ExitStatus.UNEXPECTED


class OutOfMemoryError(Slim2KerasError):
    """There is less memory than the work takes; what was to be written is not there."""

    exit_status = ExitStatus.UNEXPECTED


class MissingExtraError(Slim2KerasError, ImportError):
    """A package that is not installed, and which an output needs."""

    exit_status = ExitStatus.USAGE


class CheckpointReadError(Slim2KerasError):
    """A file that is missing, truncated, corrupt, or not a checkpoint at all."""

    exit_status = ExitStatus.UNREADABLE


class ModelReadError(Slim2KerasError):
    """A model file that is missing or corrupt, or that tf_keras cannot load."""

    exit_status = ExitStatus.UNREADABLE


class UnsafeModelError(ModelReadError):
    """A model file that could run code or read other files; it was not loaded."""


class DataReadError(Slim2KerasError):
    """Images or labels that are missing or corrupt, or that the network does not take."""

    exit_status = ExitStatus.UNREADABLE


class CheckpointMismatchError(Slim2KerasError):
    """A readable checkpoint whose variables do not fit the network."""

    exit_status = ExitStatus.MISMATCH


class NonFiniteError(CheckpointMismatchError):
    """Weights, statistics or answers that are NaN or infinite, or a variance without a root."""


class UnrecognisedNetError(CheckpointMismatchError):
    """A checkpoint from which no network, or more than one, can be told."""


class UnsupportedGraphError(Slim2KerasError):
    """A graph that is no network of layers: an op that is unknown or refused, or ends that nothing tells."""

    exit_status = ExitStatus.MISMATCH


class ParityError(Slim2KerasError):
    """Numbers that differ from slim's by more than the bar."""

    exit_status = ExitStatus.PARITY


class NonFiniteLossError(Slim2KerasError):
    """A step with NaN or infinity: in images, loss or gradients, so that it is not taken, or in what it made."""

    exit_status = ExitStatus.MISMATCH


class TrainingDataError(Slim2KerasError, ValueError):
    """A batch that cannot be trained on: labels without a class, or one value where a variance is wanted."""

    exit_status = ExitStatus.UNREADABLE


class WorkerLostError(Slim2KerasError):
    """Another process that shares the work died, or never came."""

    exit_status = ExitStatus.WORKER_LOST


class MovingStatisticsWarning(UserWarning):
    """The moving statistics of BatchNorm will not keep up with training (pit two)."""


class DistributionWarning(UserWarning):
    """Work that is to be shared, and nobody to share it."""


class GraphWarning(UserWarning):
    """Something that a graph does not tell, or that a network imported from it does otherwise."""


class PreprocessingWarning(UserWarning):
    """Images that can hardly be preprocessed as the network wants them."""


_NO_MEMORY = (
    "std::bad_alloc",
    "annot allocate memory",
    "nable to allocate",
    "failed to map segment",
    "can't start new thread",
    # Python, of native code that does not say it.
    "without setting an exception",
    "error return without exception set",
    # HDF5, wherever its own allocation fails.
    "memory allocation failed",
    "can't allocate",
    "can't create doubling table",
    "null after H5MM_realloc",
    # Protobuf, of a message that is nested too deeply too, which none here is.
    "Failed to serialize proto",
    # TensorFlow has one class for memory, disks and open files; and it reads into memory that it was not given.
    "OOM when allocating",
    "ailed to allocate memory",
    "Bad address",
)
"""How libraries say that memory ran out, that have no class for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, or came of one that does: of Python, of a library or of the system."""
    # What closes a file of HDF5 that could not be written fails of something else.
    while not _says_out_of_memory(error) and error.__context__ is not None:
        error = error.__context__
    return _says_out_of_memory(error)


def _says_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean a or b?`` for names close to ``word``, else an empty string."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""
