"""The arithmetic of receptive fields along one axis.

A cell of a feature map sees an interval of the image. The cell i sees [low + i·jump, low + i·jump + extent − 1]:

    window (k taps, stride s, padding p, dilation d)    low − p·jump;  extent + d·(k − 1)·jump;  jump·s
    transposed (reach r = d·(k − 1) + 1)                a cell sees at most ⌈r / s⌉ cells;  jump / s
    join (cells of two maps added or stacked)           the interval that has both

``low`` below 0 is padding. With a fractional jump (after a transposed convolution or a resize) neighbours may see the same
interval; ``low`` is then the first cell's, and ``extent`` the largest.

Source: Araujo, Norris & Sim 2019, Computing receptive fields of convolutional neural networks, doi:10.23915/distill.00021.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Field:
    """What the cells of a feature map see of the image, along one axis.

    Args:
        size: number of cells.
        jump: distance of what two neighbours see, in pixels of the image.
        low: first pixel that the first cell sees; below 0 on padding.
        extent: number of pixels that a cell sees.
    """

    size: int
    jump: Fraction = Fraction(1)
    low: Fraction = Fraction(0)
    extent: Fraction = Fraction(1)

    @property
    def centre(self) -> Fraction:
        """The middle of what the first cell sees: 0 for the middle of the first pixel."""
        return self.low + (self.extent - 1) / 2

    @property
    def all_together(self) -> Field:
        """One cell that sees what all of them see."""
        return Field(1, self.jump * self.size, self.low, self.extent + (self.size - 1) * self.jump)


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
    reach = dilation * (kernel - 1)
    return Field(size, field.jump * stride, field.low - padding * field.jump, field.extent + reach * field.jump)


def transposed(field: Field, size: int, *, kernel: int, stride: int, padding: int, dilation: int) -> Field:
    """Return the field after a transposed convolution.

    Args:
        field: before it.
        size: number of cells after it.
        kernel: number of taps.
        stride: of the stamps.
        padding: that is cut off.
        dilation: distance of the taps.
    """
    reach = dilation * (kernel - 1) + 1
    seen = -(-reach // stride)
    first = -((reach - 1 - padding) // stride)
    return Field(size, field.jump / stride, field.low + first * field.jump, field.extent + (seen - 1) * field.jump)


def adaptive(field: Field, size: int) -> Field:
    """Return the field after an adaptive pooling, whose cell i sees the cells from ⌊i·n/m⌋ to ⌈(i + 1)·n/m⌉ − 1.

    Args:
        field: before it, of n cells.
        size: m.
    """
    n = field.size
    longest = max(-(-(i + 1) * n // size) - i * n // size for i in range(size))
    return Field(size, field.jump * n / size, field.low, field.extent + (longest - 1) * field.jump)


def resized(field: Field, size: int, *, smooth: bool) -> Field:
    """Return the field after a resize.

    Args:
        field: before it.
        size: number of cells after it.
        smooth: a cell sees two neighbours instead of one.
    """
    return Field(size, field.jump * field.size / size, field.low, field.extent + smooth * field.jump)


def cropped(field: Field, size: int, *, start: int, step: int = 1) -> Field:
    """Return the field of every ``step``-th cell from ``start`` on; a ``start`` below 0 has padding in front.

    Args:
        field: before it.
        size: number of cells after it.
        start: first cell.
        step: distance of the cells that are kept.
    """
    return Field(size, field.jump * step, field.low + start * field.jump, field.extent)


def joined(one: Field, other: Field) -> Field | None:
    """Return the field of cells that see what two cells see; None where the two maps do not lie on each other.

    A map of one cell is spread over all cells of the other.

    Args:
        one: of any size.
        other: of the same, or one of the two of 1.
    """
    if one == other:
        return one
    if 1 in (one.size, other.size) and one.size != other.size:
        few, many = sorted((one, other), key=lambda field: field.size)
        high = max(few.low + few.extent, many.all_together.low + many.all_together.extent)
        low = min(few.low, many.low)
        return Field(many.size, many.jump, low, high - low)
    if one.size != other.size or one.jump != other.jump:
        return None
    low = min(one.low, other.low)
    return Field(one.size, one.jump, low, max(one.low + one.extent, other.low + other.extent) - low)
