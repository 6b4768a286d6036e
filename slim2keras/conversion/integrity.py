"""Whether a file still is what was written, by the report beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from slim2keras.conversion.reading import load_model
from slim2keras.errors import ModelReadError, ParityError
from slim2keras.files.json_values import read_json
from slim2keras.files.output_files import report_path, sha256, sha256_of_files
from slim2keras.files.reports import Report, plural
from slim2keras.models.variables import slim_variables
from slim2keras.outputs.checksums import checksums
from slim2keras.outputs.formats import check_model_path, is_model_file

_SHOWN = 10


@dataclass(frozen=True, repr=False)
class IntegrityReport(Report):
    """Whether a file still is what was written.

    Attributes:
        path: Of the file.
        compared: What was compared: so many tensors, the file as a whole, or so many files of a directory.
        differing: Tensors that are others, or the names of files.
    """

    path: str
    compared: str
    differing: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return not self.differing

    def raise_if_failed(self) -> None:
        """Raise if something differs.

        Raises:
            ParityError: With the names.
        """
        if not self.passed:
            raise ParityError(self.summary())

    def summary(self) -> str:
        """In one line."""
        if self.passed:
            return f"{self.path} is what was written: {self.compared}"
        shown = ", ".join(self.differing[:_SHOWN]) + (", ..." if len(self.differing) > _SHOWN else "")
        return (
            f"{self.path} is not what was written ({self.compared} compared, {len(self.differing)} differ): {shown}. "
            "It is damaged, or was saved again since, without its report. Convert the checkpoint again."
        )

    def page(self) -> Iterator[RenderableType]:
        """The line, in colour."""
        yield Text(self.summary(), "" if self.passed else "red")

    def to_json(self) -> dict[str, Any]:
        """As plain values, for machines."""
        return {**asdict(self), "passed": self.passed}


def verify_file(path: str | Path) -> IntegrityReport:
    """Compare a file with the checksums in the report beside it, without the checkpoint that it came from.

    Args:
        path: A file, compared as a whole, or a SavedModel, each of its files. Of one of tf_keras that is another the
            tensors are compared, so that those that differ are named; so they are if the report is of release 0.1.0.

    Raises:
        ModelReadError: If the file is missing or cannot be read, or the report is not beside it or has no checksums.

    Examples:
        >>> slim2keras.verify_file("resnet.h5").raise_if_failed()
    """
    path = Path(path)
    check_model_path(path)
    report = _read_report(path)
    found = _compared_by_bytes(path, _output(report))
    tensors = report.get("tensors")
    if (found is None or not found.passed) and is_model_file(path) and isinstance(tensors, Mapping):
        values = checksums((name, item.numpy()) for name, item in slim_variables(load_model(path)).items())
        by_tensors = IntegrityReport(str(path), plural(len(tensors), "tensor"), _differing(tensors, values))
        found = by_tensors if found is None or by_tensors.differing else found
    if found is None:
        raise ModelReadError(
            f"{report_path(path)} has no checksums: it is of an older version, or of another file. {_way_on(path)}"
        )
    return found


def _compared_by_bytes(path: Path, output: Mapping[str, Any]) -> IntegrityReport | None:
    """``None`` if the report has no hash of a file, or of files, of this kind."""
    whole, files = output.get("sha256"), output.get("files")
    if isinstance(whole, str) and path.is_file():
        return IntegrityReport(str(path), "its SHA-256", [] if sha256(path) == whole else [path.name])
    if isinstance(files, Mapping) and path.is_dir():
        return IntegrityReport(str(path), plural(len(files), "file"), _differing(files, sha256_of_files(path)))
    return None


def _way_on(path: Path) -> str:
    """What to do about a file without checksums; one of another runtime is compared with nothing but its report."""
    if is_model_file(path):
        return f"Convert again; or compare with the checkpoint: slim2keras verify CHECKPOINT {path}"
    return "Convert again."


def _differing(written: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*written, *found} if written.get(name) != found.get(name))


def _read_report(path: Path) -> Mapping[str, Any]:
    beside = report_path(path)
    try:
        return read_json(beside)
    except FileNotFoundError as error:
        raise ModelReadError(
            f"There is no {beside}, which says what {path.name} was when it was written. {_way_on(path)}"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelReadError(f"{beside} cannot be read as a report: {type(error).__name__}: {error}.") from error


def _output(report: Mapping[str, Any]) -> Mapping[str, Any]:
    output = report.get("output")
    return output if isinstance(output, Mapping) else {}
