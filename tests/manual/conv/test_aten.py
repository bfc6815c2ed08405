"""The library's convolution: the one case that it is known to get wrong is refused, its neighbours are not."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual.conv import CONV2D, Geometry, Job

ATEN = CONV2D["aten"]


def job(stride=3, width=6, channels=1, out_channels=2, dtype=torch.bfloat16):
    geometry = Geometry((1, stride), (0, 0), (1, 1), 3)
    return Job((2, 3 * channels, 5, width), (3 * out_channels, channels, 2, 4), geometry, dtype)


def test_what_may_be_wrong_is_refused():
    assert ATEN.refuses(job()) == (
        "the library's result may be wrong in bfloat16 where groups of one channel have several outputs, the output has one "
        "column and the stride is above 1, found 3"
    )


@pytest.mark.parametrize(
    "changed",
    [{"stride": 1}, {"width": 9}, {"channels": 2}, {"out_channels": 1}, {"dtype": torch.float16}],
    ids=lambda changed: next(iter(changed)),
)
def test_what_is_right_is_not(changed):
    assert ATEN.refuses(job(**changed)) is None
