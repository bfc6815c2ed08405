"""Padding as torch takes it, in numbers or a word and in four modes, brought to what algorithms take: numbers of zeros.

An algorithm adds the same number of zeros on both sides of an axis. What is more than that is added to the input before:

    "same"      d · (k − 1) elements in all, half of them on each side; of an odd number the end gets one more
    "valid"     none
    reflect     the border is filled by the neighbours of the edge in reverse order, without the edge itself: c b | a b c | b a
    replicate   by the edge: a a | a b c | c c
    circular    by the other end: b c | a b c | a b

Legend: N batch, C channels, X… sizes, K… kernel sizes, d dilation.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.conv.job import Geometry
from trainloop.manual.conv.layout import laid_out
from trainloop.manual.conv.sizes import AXES
from trainloop.manual.errors import ConvShapeError
from trainloop.manual.windows import IntOrSizes, Sizes, per_axis, window_extent

Sides = tuple[tuple[int, int], ...]
"""for each spatial axis, how many elements to add before and after"""
ZEROS = "zeros"
REACHES: dict[str, tuple[int, str]] = {
    "reflect": (1, "it has the neighbours of the edge to fill the border with"),
    "circular": (0, "it has the elements of the other end to fill the border with"),
}
"""mode → how many elements of an axis it cannot use, and what it uses; replicate needs the edge alone"""
MODES = (ZEROS, "reflect", "replicate", "circular")
"""as ``torch.nn.Conv2d`` calls them"""


def geometry_of(
    weight: Tensor, stride: IntOrSizes, padding: IntOrSizes | str, dilation: IntOrSizes, groups: int
) -> Geometry:
    """Return the geometry, one number for each spatial axis; "same" as the smaller side's padding.

    Args:
        weight: shape (G·O, C, K…).
        stride: of the windows.
        padding: of both sides, or a word.
        dilation: distance of the taps.
        groups: G.
    """
    num_axes = weight.dim() - 2
    dilation = per_axis(dilation, num_axes)
    if padding == "same":
        padding = tuple((reach - 1) // 2 for reach in window_extent(tuple(weight.shape[2:]), dilation))
    elif isinstance(padding, str):
        padding = 0
    return Geometry(per_axis(stride, num_axes), per_axis(padding, num_axes), dilation, groups)


def pad_to_even(input: Tensor, weight: Tensor, padding: IntOrSizes | str, dilation: IntOrSizes) -> Tensor:
    """Add the last zero of "same" padding: where a window reaches over an odd number of neighbours, the end gets one more.

    Args:
        input: shape (N, C, X…), or without N.
        weight: shape (G·O, C, K…).
        padding: as the caller gave it; nothing is added where it is not "same".
        dilation: distance of the taps.
    """
    if padding != "same":
        return input
    uneven = _uneven(weight, per_axis(dilation, weight.dim() - 2))
    return F.pad(input, [amount for odd in reversed(uneven) for amount in (0, odd)]) if any(uneven) else input


def pad_by_mode(
    input: Tensor, weight: Tensor, geometry: Geometry, padding: IntOrSizes | str, mode: str
) -> tuple[Tensor, Geometry]:
    """Add what an algorithm does not: the border of a mode other than zeros, and the last zero of "same".

    Args:
        input: shape (N, C, X…).
        weight: shape (G·O, C, K…).
        geometry: of the windows, as :func:`geometry_of` returns it.
        padding: as the caller gave it.
        mode: one of ``MODES``.

    Returns:
        The input, padded and in its memory format, and the geometry with the zeros that are still to be added.

    Raises:
        ConvShapeError: the mode is unknown, or has fewer elements than the border needs.
    """
    if mode not in MODES:
        raise ConvShapeError(f"padding_mode (={mode!r}) is not known: expected one of {', '.join(MODES)}")
    if mode == ZEROS:
        return pad_to_even(input, weight, padding, geometry.dilation), geometry
    uneven = _uneven(weight, geometry.dilation) if padding == "same" else (0,) * len(geometry.padding)
    sides = tuple((before, before + odd) for before, odd in zip(geometry.padding, uneven, strict=True))
    _check_border(tuple(input.shape[2:]), sides, mode)
    padded = F.pad(input, [amount for pair in reversed(sides) for amount in pair], mode=mode)
    return laid_out(padded, input), geometry._replace(padding=(0,) * len(sides))


def refuse_padding(stride: IntOrSizes, padding: IntOrSizes | str) -> None:
    """Refuse what torch refuses of padding given as a word.

    Args:
        stride: of the windows.
        padding: as the caller gave it.

    Raises:
        ConvShapeError: an unknown word, or "same" with a stride.
    """
    if not isinstance(padding, str):
        return
    if padding not in ("same", "valid"):
        raise ConvShapeError(f"padding (={padding!r}) must be a number, one number for each axis, 'same' or 'valid'")
    if padding == "same" and any(step != 1 for step in per_axis(stride, 1)):
        raise ConvShapeError(
            f"padding='same' is not supported with stride (={stride}); it needs stride 1, or a padding in numbers"
        )


def _uneven(weight: Tensor, dilation: Sizes) -> Sizes:
    """Return 1 for each axis along which a window reaches over an odd number of neighbours, else 0."""
    return tuple((reach - 1) % 2 for reach in window_extent(tuple(weight.shape[2:]), dilation))


def _check_border(sizes: Sizes, sides: Sides, mode: str) -> None:
    if mode not in REACHES:
        return
    left_out, what = REACHES[mode]
    for axis, size, pair in zip(AXES[-len(sizes) :], sizes, sides, strict=True):
        if max(pair) > size - left_out:
            there = f"{size} − {left_out} = {size - left_out}" if left_out else f"{size}"
            raise ConvShapeError(
                f"padding_mode {mode!r} cannot add {max(pair)} elements along {axis}: {what}, and there are {there}; use a "
                "smaller padding, or padding_mode 'replicate' or 'zeros'"
            )
