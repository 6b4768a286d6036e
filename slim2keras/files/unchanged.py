"""Whether files are those that were there when reading began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slim2keras.errors import CheckpointReadError

_Stamp = tuple[int, int, int, int]


@dataclass(frozen=True)
class FileStamps:
    """What tells a file from another one under its name, and from itself after it was written to.

    Attributes:
        by_path: Device, inode, size and time of the last change; ``None`` of a file that is not there.
    """

    by_path: Mapping[Path, _Stamp | None]

    @classmethod
    def of(cls, paths: Iterable[Path]) -> FileStamps:
        """Those of now."""
        return cls({path: _stamp(path) for path in paths})

    def and_of(self, paths: Iterable[Path]) -> FileStamps:
        """These, and those of now of other files."""
        return FileStamps({**self.by_path, **FileStamps.of(paths).by_path})

    def check(self) -> None:
        """Refuse files that are others by now.

        Raises:
            CheckpointReadError: With the first of them.
        """
        for path, before in self.by_path.items():
            now = _stamp(path)
            if now != before:
                happened = "was removed" if now is None else "changed"
                raise CheckpointReadError(
                    f"{path} {happened} while it was read, so that what was read may be a mixture. Try again when "
                    "nobody writes it; of a training that goes on, take a copy of the checkpoint."
                )


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
