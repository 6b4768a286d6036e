"""Files as a process leaves them that is killed between two of its moves."""

from __future__ import annotations

from pathlib import Path

from slim2keras.files.moves import list_moves, moving_directory


def half_move(target: Path, *beside: Path) -> Path:
    """Take a file back that was moved last, after those that belong to it; gives where it waits for its move."""
    moving = moving_directory(target)
    moving.mkdir()
    for path in (target, *beside):
        path.rename(moving / path.name)
    list_moves(moving, [path.name for path in (target, *beside)])
    for path in beside:
        (moving / path.name).rename(path)
    return moving / target.name
