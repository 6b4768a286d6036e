"""What happens to unusual numbers in each mode, against slim, as a table of the documentation.

``python -m tests.numbers.table`` measures it anew and writes it into the page.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from slim2keras.errors import NonFiniteLossError, TrainingDataError
from tests.docs.pages import DOCS
from tests.numbers.conditions import CONDITIONS, SIZES
from tests.numbers.steps import CLASSES, Found, Slim, Values, network, ours
from tests.reference import images, labels, values_of

PAGE = DOCS / "reliability.md"
BEGIN, END = "<!-- unusual numbers: begin -->\n", "<!-- unusual numbers: end -->\n"
MODES = ("inference", "update", "batch", "frozen")
BAR = 1e-6
"""Largest difference of finite numbers from slim's, relative to the largest of the tensor."""
AS_SLIM, NAN_AS_SLIM = "as slim", "NaN, as slim"
_REFUSED = {NonFiniteLossError: "refused", TrainingDataError: "refused as data"}

Case = tuple[Values, np.ndarray, np.ndarray]


def cases() -> Mapping[str, Case]:
    """Values, images and labels of each row."""
    found = {}
    for name in (*CONDITIONS, *SIZES):
        batch, size = SIZES.get(name, (4, 16))
        values: Values = values_of(network(size).graph.variables())
        pixels = images(0, (batch, size, size, 3))
        if name in CONDITIONS:
            values, pixels = CONDITIONS[name](values, pixels)
        found[name] = (values, pixels, labels(1, CLASSES, batch))
    return found


@functools.cache
def slims(mode: str) -> Mapping[str, Found]:
    """What slim makes of each row, in a session for each shape of images."""
    found: dict[str, Found] = {}
    every = cases()
    for shape in dict.fromkeys(pixels.shape for _, pixels, _ in every.values()):
        with Slim(mode, shape).opened() as slim:
            found |= {name: slim.run(*case) for name, case in every.items() if case[1].shape == shape}
    return found


def cell(name: str, mode: str) -> str:
    """What happens, in the words of the table; an assertion where it is neither slim's numbers nor an error.

    An error must leave every value of the network as it was.
    """
    values, pixels, targets = cases()[name]
    theirs, found = slims(mode)[name], ours(values, pixels, targets, mode)
    if found.error is not None:
        assert all(np.array_equal(found.values[key], item, equal_nan=True) for key, item in values.items()), (
            name,
            mode,
        )
        return f"{_REFUSED[type(found.error)]}; slim {_of_slim(values, theirs)}"
    assert theirs.error is None, (name, mode, "slim gives up, and we do not")
    for key, item in theirs.values.items():
        assert is_same(found.values[key], item), (name, mode, key)
    if "logits" in theirs.nonfinite or "loss" in theirs.nonfinite:
        return NAN_AS_SLIM
    is_told = mode == "update" and any("moving_" in key for key in theirs.nonfinite)
    return f"{AS_SLIM}, with a warning" if is_told else AS_SLIM


def _of_slim(before: Values, theirs: Found) -> str:
    """What slim does where we refuse."""
    told = "goes on" if theirs.error is None else "stops"
    broken = [key for key in theirs.nonfinite if np.isfinite(before[key]).all()]
    parts = {"weights": [key for key in broken if "moving_" not in key]}
    parts["statistics"] = [key for key in broken if "moving_" in key]
    left = " and ".join(title for title, names in parts.items() if names)
    return f"{told} with {left} NaN" if left else told


def is_same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether numbers agree within the bar, and NaN and infinities stand in the same places."""
    finite = np.isfinite(theirs)
    if not np.array_equal(np.isfinite(ours), finite) or not np.array_equal(ours[~finite], theirs[~finite], True):
        return False
    largest = np.abs(theirs[finite], dtype="float64").max(initial=0.0)
    return bool(np.abs(ours[finite] - theirs[finite].astype("float64")).max(initial=0.0) <= BAR * largest)


def row(name: str) -> str:
    return f"| {name} | {' | '.join(cell(name, mode) for mode in MODES)} |"


def on_the_page() -> list[str]:
    """The rows that the page has."""
    text = PAGE.read_text(encoding="utf-8")
    return text.partition(BEGIN)[2].partition(END)[0].splitlines()[2:]


def main() -> None:
    title = [f"| | {' | '.join(['inference', *(f'`{mode!r}`'.replace(chr(39), chr(34)) for mode in MODES[1:])])} |"]
    lines = [*title, "|---|---|---|---|---|", *(row(name) for name in cases())]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
