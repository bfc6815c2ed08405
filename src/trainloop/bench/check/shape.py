"""A convolution in numbers that can be drawn and made smaller; one shape makes a job of either operator.

Channels are counted per group here, so that each number can change by itself and groups always divide them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from trainloop.manual.conv import Geometry, Job, TransposedGeometry, TransposedJob
from trainloop.manual.conv.sizes import check_job
from trainloop.manual.conv.transpose.sizes import check_transposed_job
from trainloop.manual.errors import ConvShapeError

CONV2D, CONV_TRANSPOSE2D = OPERATORS = ("conv2d", "conv_transpose2d")
AnyJob = Job | TransposedJob
Pair = tuple[int, int]


@dataclass(frozen=True)
class Shape:
    """The numbers of a convolution, or of a transposed one.

    Args:
        num: N, images; 0 for an empty batch.
        channels: C, input channels of one group.
        out_channels: O, output channels of one group.
        size: (H, W) of the input.
        kernel_size: (K, L).
        stride: along each axis.
        padding: along each axis.
        dilation: along each axis.
        groups: G.
        output_padding: along each axis; only for a transposed convolution.
    """

    num: int = 1
    channels: int = 1
    out_channels: int = 1
    size: Pair = (1, 1)
    kernel_size: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    output_padding: Pair = (0, 0)

    def job(self, operator: str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> AnyJob:
        """Return the job of conv2d or conv_transpose2d; it may be one that cannot be."""
        channels, out_channels = self.channels * self.groups, self.out_channels * self.groups
        shape = (self.num, channels, *self.size)
        if operator == CONV_TRANSPOSE2D:
            geometry = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
            weight_shape = (channels, self.out_channels, *self.kernel_size)
            return TransposedJob(shape, weight_shape, TransposedGeometry(*geometry), dtype, device)
        weight_shape = (out_channels, self.channels, *self.kernel_size)
        geometry_of_windows = Geometry(self.stride, self.padding, self.dilation, self.groups)
        return Job(shape, weight_shape, geometry_of_windows, dtype, device)

    def can_be(self, operator: str) -> bool:
        """Return whether the numbers fit together, and say something about this operator."""
        if operator == CONV2D and self.output_padding != (0, 0):
            return False
        try:
            check(self.job(operator))
        except ConvShapeError:
            return False
        return True


def check(job: AnyJob) -> None:
    """Refuse a job whose numbers do not fit together.

    Raises:
        ConvShapeError: with the arithmetic.
    """
    if isinstance(job, TransposedJob):
        check_transposed_job(job)
    else:
        check_job(job)


LEAST = {
    "num": 1,
    "groups": 1,
    "channels": 1,
    "out_channels": 1,
    "output_padding": 0,
    "dilation": 1,
    "stride": 1,
    "padding": 0,
    "kernel_size": 1,
    "size": 1,
}
"""the smallest that each number is made, in the order in which they are tried: a larger image without padding is simpler than a
smaller one with it"""


def smaller(shape: Shape) -> Iterator[Shape]:
    """Yield simpler shapes, the best first.

    One number is made smaller: the least, half way there, one less; of pairs also both at once. Then the kernel, the padding or
    the stride of an axis is made the least and the image such that the convolution's output stays as large as it is.
    """
    for name, least in LEAST.items():
        value: int | Pair = getattr(shape, name)
        below: Iterable[int | Pair] = _smaller_pairs(value, least) if isinstance(value, tuple) else _below(value, least)
        for number in below:
            changed: dict[str, Any] = {name: number}
            yield replace(shape, **changed)
    yield from (found for axis in range(2) for found in _of_the_same_output(shape, axis))


def _of_the_same_output(shape: Shape, axis: int) -> Iterator[Shape]:
    size, stride, padding = shape.size[axis], shape.stride[axis], shape.padding[axis]
    reach = shape.dilation[axis] * (shape.kernel_size[axis] - 1)
    moves: dict[str, tuple[int, int, int]] = {
        "kernel_size": (shape.kernel_size[axis], 1, size - reach),
        "padding": (padding, 0, size + 2 * padding),
        "stride": (stride, 1, reach + 1 + (size + 2 * padding - reach - 1) // stride - 2 * padding),
    }
    for name, (number, least, wanted) in moves.items():
        if number > least and wanted >= 1:
            changed: dict[str, Any] = {name: _on_axis(getattr(shape, name), axis, least)}
            yield replace(shape, size=_on_axis(shape.size, axis, wanted), **changed)


def _on_axis(pair: Pair, axis: int, number: int) -> Pair:
    return (number, pair[1]) if axis == 0 else (pair[0], number)


def _smaller_pairs(pair: Pair, least: int) -> Iterator[Pair]:
    if pair[0] == pair[1]:
        yield from ((number, number) for number in _below(pair[0], least))
    yield from ((number, pair[1]) for number in _below(pair[0], least))
    yield from ((pair[0], number) for number in _below(pair[1], least))


def _below(number: int, least: int) -> list[int]:
    """Return the least, half way there, and one less, without repetition and only if they are smaller."""
    wanted = (least, (number + least) // 2, number - 1)
    return list(dict.fromkeys(one for one in wanted if least <= one < number))
