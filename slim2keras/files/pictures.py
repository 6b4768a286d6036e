"""Pictures that are drawn without a screen, and written whole or not at all."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slim2keras.errors import OutputError
from slim2keras.extras import require
from slim2keras.files.output_files import check_free, whole_or_not_at_all

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUFFIXES = (".png", ".pdf", ".svg")
_DOTS_PER_INCH = 150

BLUE, RED, GREY = "#2563a8", "#c8372d", "#8a8f98"
"""What is well, what is not, and what is neither."""


def check_plot_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be a picture.

    Raises:
        OutputError: If it exists, or is none of .png, .pdf and .svg.
        MissingExtraError: If what draws is not installed.
    """
    require("plots", "A picture", "matplotlib")
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(f"{path} is not the name of a picture: {', '.join(_SUFFIXES)}.")
    check_free(path.absolute(), overwrite=overwrite)


@contextlib.contextmanager
def drawing(path: str | Path, size: tuple[float, float], *, overwrite: bool = False) -> Iterator[Figure]:
    """Give a figure to draw into, which is written when the block has ended well.

    Args:
        path: .png, .pdf or .svg.
        size: Width and height in inches.
        overwrite: Replace an existing file.

    Raises:
        OutputError: If the file exists, is no picture, or cannot be written; nothing is left behind.
        MissingExtraError: If what draws is not installed.
    """
    target = Path(path)
    check_plot_target(target, overwrite=overwrite)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # A name of a class or a file may have dollar signs.
    style: dict[Any, Any] = {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")  # without pyplot, which may want a screen
        yield figure
        with whole_or_not_at_all(target.absolute(), overwrite=overwrite) as (draft,), warnings.catch_warnings():
            # Letters that the font has not are boxes, which anybody sees; one warning for each says no more.
            warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
            figure.savefig(draft, dpi=_DOTS_PER_INCH, format=target.suffix[1:].lower())
