"""The arithmetic of receptive fields along one axis.

A cell of a feature map sees an interval of the image. As long as all cells see equally many pixels, equally far apart, the
cell i sees [low + i·jump, low + i·jump + extent − 1], and padding counts as the cells that would be there:

    window (k taps, stride s, padding p, dilation d)    low − p·jump;  extent + d·(k − 1)·jump;  jump·s
    join (cells of two maps added or stacked)           the interval that has both

``low`` below 0 is padding. Behind a transposed convolution or a resize the cells differ; then the interval of each is kept, and
a cell sees what the cells that it reads see together. Padding from there on counts as nothing, and a cell may see nothing.

Source: Araujo, Norris & Sim 2019, Computing receptive fields of convolutional neural networks, doi:10.23915/distill.00021.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

Cell = tuple[int, int] | None
"""first and last pixel that a cell sees; None where it sees nothing"""


@dataclass(frozen=True)
class Field:
    """What the cells of a feature map see of the image, along one axis.

    Args:
        size: number of cells.
        jump: distance of what two neighbours see, in pixels of the image; the average where cells differ, its borders apart.
        low: first pixel that the first cell sees that sees any; below 0 on padding.
        extent: number of pixels from the first to the last that a cell sees; the largest where cells differ.
        cells: of each cell the first and the last pixel that it sees; None where the three numbers say it.
    """

    size: int
    jump: Fraction = Fraction(1)
    low: Fraction = Fraction(0)
    extent: Fraction = Fraction(1)
    cells: tuple[Cell, ...] | None = None

    @classmethod
    def of(cls, cells: Sequence[Cell], jump: Fraction, *, listed: bool) -> Field:
        """Return the field of these cells, in three numbers where they say everything.

        Args:
            cells: what each sees.
            jump: distance of what two neighbours see, on average.
            listed: keep the list all the same: there is nothing around this map, its padding included.
        """
        seeing = [cell for cell in cells if cell is not None]
        low = Fraction(seeing[0][0] if seeing else 0)
        extent = Fraction(max((last - first + 1 for first, last in seeing), default=0))
        plain = cls(len(cells), jump, low, extent)
        if not listed and seeing and jump.denominator == 1 and plain.each == tuple(cells):
            return plain
        return cls(len(cells), jump, low, extent, tuple(cells))

    @property
    def each(self) -> tuple[Cell, ...]:
        """What each cell sees."""
        if self.cells is not None:
            return self.cells
        firsts = [int(self.low + i * self.jump) for i in range(self.size)]
        return tuple((first, first + int(self.extent) - 1) for first in firsts)

    @property
    def fewest(self) -> int:
        """The smallest number of pixels that a cell sees; 0 where one sees nothing."""
        if self.cells is None:
            return int(self.extent)
        return min((0 if cell is None else cell[1] - cell[0] + 1 for cell in self.cells), default=0)

    @property
    def centre(self) -> Fraction | None:
        """The middle of what the first cell sees: 0 for the middle of the first pixel; None where it sees nothing."""
        if self.cells is None:
            return self.low + (self.extent - 1) / 2
        first = self.cells[0] if self.cells else None
        return None if first is None else Fraction(sum(first), 2)

    @property
    def distance(self) -> Fraction | None:
        """The distance of the middles of what any two neighbours see; None where it varies."""
        if self.cells is None:
            return self.jump
        seeing = [cell for cell in self.cells if cell is not None]
        apart = {sum(other) - sum(one) for one, other in itertools.pairwise(seeing)}
        return Fraction(apart.pop(), 2) if len(seeing) == self.size and len(apart) == 1 else None

    @property
    def all_together(self) -> Field:
        """One cell that sees what all of them see."""
        return Field.of([hull(self.each)], self.jump * self.size, listed=self.cells is not None)


def hull(cells: Iterable[Cell]) -> Cell:
    """Return the interval from the first to the last pixel that any of these cells sees; None where none sees any.

    Args:
        cells: what each sees.
    """
    seeing = [cell for cell in cells if cell is not None]
    return (min(first for first, _ in seeing), max(last for _, last in seeing)) if seeing else None


def gathered(
    field: Field, size: int, jump: Fraction, read: Callable[[int], Iterable[int]], *, listed: bool = True
) -> Field:
    """Return the field of cells that see what the cells that they read see; cells that there are not show nothing.

    Args:
        field: before it.
        size: number of cells after it.
        jump: after it, on average.
        read: says which cells a cell reads.
        listed: keep the list where three numbers would do.
    """
    cells = field.each
    seen = [hull(cells[i] for i in read(cell) if 0 <= i < field.size) for cell in range(size)]
    return Field.of(seen, jump, listed=listed)


def window(field: Field, size: int, *, kernel: int, stride: int, padding: int, dilation: int) -> Field:
    """Return the field after a convolution or a pooling.

    Args:
        field: before it.
        size: number of cells after it.
        kernel: number of taps.
        stride: of the windows.
        padding: before the first cell.
        dilation: distance of the taps.
    """
    reach, jump = dilation * (kernel - 1), field.jump * stride
    if field.cells is None:
        return Field(size, jump, field.low - padding * field.jump, field.extent + reach * field.jump)
    starts = range(-padding, size * stride - padding, stride)
    return gathered(field, size, jump, lambda cell: range(starts[cell], starts[cell] + reach + 1, dilation))


def transposed(field: Field, size: int, *, kernel: int, stride: int, padding: int, dilation: int) -> Field:
    """Return the field after a transposed convolution, whose cell j is written by i where j + padding = i·stride + a tap.

    Args:
        field: before it.
        size: number of cells after it.
        kernel: number of taps.
        stride: of the stamps.
        padding: that is cut off.
        dilation: distance of the taps.
    """
    taps = [dilation * tap for tap in range(kernel)]

    def read(cell: int) -> list[int]:
        return [(cell + padding - tap) // stride for tap in taps if (cell + padding - tap) % stride == 0]

    return gathered(field, size, field.jump / stride, read)


def adaptive(field: Field, size: int) -> Field:
    """Return the field after an adaptive pooling, whose cell i sees the cells from ⌊i·n/m⌋ to ⌈(i + 1)·n/m⌉ − 1.

    Args:
        field: before it, of n cells.
        size: m.
    """
    n = field.size
    listed = field.cells is not None
    jump = field.jump * n / size
    return gathered(field, size, jump, lambda i: range(i * n // size, -(-(i + 1) * n // size)), listed=listed)


def cropped(field: Field, size: int, *, start: int, step: int = 1, mode: str = "constant") -> Field:
    """Return the field of every ``step``-th cell from ``start`` on; a ``start`` below 0 has padding in front.

    Args:
        field: before it.
        size: number of cells after it.
        start: first cell.
        step: distance of the cells that are kept.
        mode: of the padding, as ``F.pad`` calls it.
    """
    jump, end = field.jump * step, field.size - 1
    if field.cells is None:
        return Field(size, jump, field.low + start * field.jump, field.extent)

    def read(cell: int) -> tuple[int]:
        at = start + cell * step
        mirrored, nearest = end - abs(end - abs(at)), min(max(at, 0), end)
        return ({"reflect": mirrored, "replicate": nearest, "circular": at % field.size}.get(mode, at),)

    return gathered(field, size, jump, read)


def joined(one: Field, other: Field) -> Field | None:
    """Return the field of cells that see what two cells see; None where the two maps do not lie on each other.

    A map of one cell is spread over all cells of the other.

    Args:
        one: of any size.
        other: of the same, or one of the two of 1.
    """
    if one == other:
        return one
    if one.size != other.size:
        few, many = sorted((one, other), key=lambda field: field.size)
        if few.size != 1:
            return None
        return Field.of([hull((few.each[0], cell)) for cell in many.each], many.jump, listed=True)
    listed = one.cells is not None or other.cells is not None
    if not listed and one.jump != other.jump:
        return None
    return Field.of([hull(pair) for pair in zip(one.each, other.each, strict=True)], one.jump, listed=listed)
