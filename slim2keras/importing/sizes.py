"""Sizes of tensors that are not all known: numbers, or polynomials of what is open.

Graphs compute with shapes, ``shape(x)[0]``, ``2 * shape(x)[1]``; done here with such sizes instead of tensors, most of
it is gone before any layer is made.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Atom = tuple[Any, ...]
"""What a size is made of that is not known: an axis of an input, or a division that leaves a rest."""

Monomial = tuple[Atom, ...]
BATCH: Atom = ("batch",)


@dataclass(frozen=True)
class OpenSize:
    """A size that is not known: a sum of products of atoms, each with a factor.

    Sums that come to a number are an ``int``, see ``settled``.
    """

    terms: tuple[tuple[Monomial, int], ...] = field(default=())

    def __post_init__(self) -> None:
        if self.weight > _HEAVIEST:
            raise ValueError("it computes with shapes more than networks do")

    @functools.cached_property
    def weight(self) -> int:
        """How much it is made of, in numbers and atoms, those within atoms too."""
        return len(self.terms) + sum(map(_weight, (atom for atoms, _ in self.terms for atom in atoms)))

    def __add__(self, other: Size) -> Size:
        return settled([*self.terms, *_terms(other)])

    def __mul__(self, other: Size) -> Size:
        if len(self.terms) * len(_terms(other)) > _HEAVIEST:
            raise ValueError("it computes with shapes more than networks do")
        return settled(
            (tuple(sorted((*mine, *theirs), key=repr)), factor * their_factor)
            for mine, factor in self.terms
            for theirs, their_factor in _terms(other)
        )

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size) -> Size:
        return self + other * -1

    def __rsub__(self, other: Size) -> Size:
        return -self + other

    def __floordiv__(self, other: Size) -> Size:
        exact = self.divided(other)
        return settled([((("//", self, other),), 1)]) if exact is None else exact

    def __rfloordiv__(self, other: Size) -> Size:
        return settled([((("//", other, self),), 1)])

    def __mod__(self, other: Size) -> Size:
        return 0 if self.divided(other) is not None else settled([((("%", self, other),), 1)])

    def divided(self, other: Size) -> Size | None:
        """The quotient where the division leaves no rest, else ``None``."""
        divisor = _terms(other)
        if len(divisor) != 1:
            return 1 if self == other else None
        (atoms, number), quotient = divisor[0], []
        for monomial, factor in self.terms:
            rest = list(monomial)
            for atom in atoms:
                if atom not in rest:
                    return None
                rest.remove(atom)
            if number == 0 or factor % number:
                return None
            quotient.append((tuple(rest), factor // number))
        return settled(quotient)

    __radd__ = __add__
    __rmul__ = __mul__


_HEAVIEST = 1000
"""Weight of an open size; a U-Net of ten levels has less than 100."""

Size = int | OpenSize


def settled(terms: Iterable[tuple[Monomial, int]]) -> Size:
    """The sum of terms, as a number if it is one."""
    factors: dict[Monomial, int] = {}
    for monomial, factor in terms:
        factors[monomial] = factors.get(monomial, 0) + factor
    kept = {monomial: factor for monomial, factor in factors.items() if factor}
    if kept.keys() <= {()}:
        return kept.get((), 0)
    return OpenSize(tuple(sorted(kept.items(), key=repr)))


def _weight(atom: Atom) -> int:
    return 1 + sum(part.weight for part in atom if isinstance(part, OpenSize))


def open_size(*atom: Any) -> Size:
    """A size of which nothing is known but what it is."""
    return settled([((atom,), 1)])


def ceil_div(size: Size, step: int) -> Size:
    """``size / step`` rounded up."""
    return -(-size // step)


def known(size: Size) -> int | None:
    """The number, ``None`` where the size is open."""
    return size if isinstance(size, int) else None


def product(sizes: Iterable[Size]) -> Size:
    """Of sizes, the number of values of a tensor."""
    result: Size = 1
    for size in sizes:
        result = size * result
    return result


def _terms(size: Size) -> tuple[tuple[Monomial, int], ...]:
    return size.terms if isinstance(size, OpenSize) else (((), int(size)),)


def broadcast(shapes: Iterable[tuple[Size, ...]]) -> tuple[Size, ...]:
    """Shape of the sum of tensors of such shapes."""
    shapes = list(shapes)
    rank = max(map(len, shapes), default=0)
    aligned = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(_broadcast_axis(sizes) for sizes in zip(*aligned, strict=True))


def _broadcast_axis(sizes: tuple[Size, ...]) -> Size:
    numbers: list[Size] = [size for size in sizes if isinstance(size, int) and size != 1]
    if len(set(numbers)) > 1:
        raise ValueError(f"sizes {sizes} do not go together")
    opens: list[Size] = [size for size in sizes if not isinstance(size, int)]
    return next(iter([*numbers, *opens]), 1)
