"""The corner cases that a kernel is put to first: where convolutions have gone wrong before.

Each line is a family: a name and its shapes. They are tried in this order, before any that are drawn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trainloop.bench.check.shape import Shape

THREE = Shape(2, 3, 4, (6, 5), (3, 3))
"""an ordinary case, which the others change in one or two numbers"""


def _three(**changed: Any) -> Shape:
    return replace(THREE, **changed)


CORNERS: dict[str, tuple[Shape, ...]] = {
    "an ordinary case": (THREE, _three(padding=(1, 1))),
    "a 1 × 1 kernel": (_three(kernel_size=(1, 1)), _three(kernel_size=(1, 1), stride=(2, 2))),
    "an image of 1 × 1": (
        Shape(2, 3, 4),
        _three(size=(1, 1), padding=(1, 1)),
        _three(num=1, size=(1, 6), padding=(1, 0)),
    ),
    "an image that is not square": (_three(size=(3, 9)), _three(size=(9, 4), padding=(1, 1))),
    "a kernel that is not square": tuple(_three(kernel_size=pair) for pair in ((1, 3), (3, 1), (2, 5), (5, 2))),
    "an even kernel": (_three(kernel_size=(2, 2)), _three(kernel_size=(4, 4), padding=(1, 2))),
    "a padding along one axis": (_three(padding=(1, 0)), _three(padding=(0, 2))),
    "a kernel as large as the padded input": (
        _three(kernel_size=(6, 5)),
        _three(size=(3, 3), kernel_size=(5, 5), padding=(1, 1)),
        _three(size=(1, 1), kernel_size=(3, 5), padding=(1, 2)),
    ),
    "a padding as large as the kernel or larger": (
        _three(padding=(3, 3)),
        _three(padding=(4, 0)),
        _three(kernel_size=(1, 1), padding=(1, 2)),
        _three(size=(1, 2), padding=(4, 4)),
    ),
    "a stride": (_three(stride=(2, 2), padding=(1, 1)), _three(stride=(1, 3)), _three(size=(8, 7), stride=(2, 3))),
    "a stride that leaves elements over": (_three(size=(8, 8), stride=(2, 2)), _three(size=(9, 8), stride=(4, 3))),
    "a stride larger than the kernel": (
        _three(size=(9, 9), kernel_size=(2, 2), stride=(3, 4)),
        _three(size=(7, 9), kernel_size=(1, 1), stride=(4, 3), padding=(1, 1)),
        _three(size=(4, 4), stride=(9, 9), padding=(1, 1)),
    ),
    "a dilation": (
        _three(dilation=(2, 2)),
        _three(size=(7, 9), dilation=(1, 3), padding=(0, 1)),
        _three(size=(8, 9), dilation=(3, 2), stride=(2, 1), padding=(2, 3)),
    ),
    "groups": (
        _three(groups=2, padding=(1, 1)),
        _three(groups=3, channels=2, out_channels=1),
        _three(groups=2, stride=(2, 1), dilation=(1, 2)),
    ),
    "depthwise": (
        _three(groups=5, channels=1, out_channels=1, padding=(1, 1)),
        _three(groups=3, channels=1, out_channels=2),
        _three(groups=4, channels=1, out_channels=1, stride=(2, 2), kernel_size=(5, 5), padding=(2, 2)),
    ),
    "an empty batch": (_three(num=0), _three(num=0, padding=(1, 1), groups=2), _three(num=0, stride=(2, 2))),
    "one channel": (
        _three(channels=1, padding=(1, 1)),
        _three(out_channels=1, padding=(1, 1)),
        _three(num=1, channels=1, out_channels=1),
    ),
    "sizes around the edges of tiles": (
        *(_three(num=1, channels=2, out_channels=2, size=(side, side), padding=(1, 1)) for side in range(1, 10)),
        *(_three(num=1, channels=2, out_channels=2, size=(side, 10 - side), padding=(1, 1)) for side in (1, 2, 4, 7)),
        *(_three(num=1, channels=2, out_channels=2, size=(side, side)) for side in range(3, 10)),
    ),
    "channels around the width of vectors": tuple(
        _three(num=1, channels=count, out_channels=other, size=(5, 6), padding=(1, 1))
        for count, other in ((4, 8), (7, 9), (8, 16), (15, 17), (16, 7), (17, 15), (33, 2), (3, 33))
    ),
    "many images": (
        _three(num=17, channels=2, out_channels=2, size=(3, 3), padding=(1, 1)),
        _three(num=9, size=(4, 3)),
    ),
    "many tiles and channels": (Shape(2, 24, 40, (20, 18), (3, 3), padding=(1, 1)),),
    "an output_padding": (
        _three(stride=(2, 2), padding=(1, 1), output_padding=(1, 1)),
        _three(stride=(3, 2), output_padding=(2, 0)),
        _three(size=(4, 3), kernel_size=(2, 2), stride=(2, 3), output_padding=(1, 2), groups=2),
        _three(kernel_size=(4, 4), stride=(2, 2), padding=(1, 1), output_padding=(0, 1)),
    ),
    "an output_padding below the dilation": (
        _three(dilation=(2, 3), output_padding=(1, 2)),
        _three(stride=(2, 1), dilation=(3, 3), padding=(1, 2), output_padding=(2, 1)),
    ),
    "an output that only output_padding leaves": (
        Shape(2, 3, 4, (1, 1), (1, 1), stride=(5, 3), padding=(2, 1), output_padding=(4, 2)),
    ),
}
