"""The arithmetic of sizes: what is refused, with which numbers, and that the library refuses the same."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual.conv.job import Geometry, Job
from trainloop.manual.conv.sizes import check_job
from trainloop.manual.errors import ConvShapeError

PLAIN = Geometry((1, 1), (0, 0), (1, 1), 1)
INPUT, WEIGHT = (2, 4, 5, 6), (6, 4, 3, 3)
REFUSED = {
    "kernel larger than input": (
        ((1, 3, 3, 9), (4, 3, 5, 3), PLAIN),
        "the kernel is larger than the padded input along H: (H + 2·p − d·(k − 1) − 1) / s + 1 = "
        "(3 + 2·0 − 1·(5 − 1) − 1) / 1 + 1 = -1, expected at least 1; a kernel of 5 with dilation 1 reaches over 5 elements, "
        "and 3 + 2·0 = 3 are there: use a padding of at least 1, or a smaller kernel or dilation",
    ),
    "dilated kernel larger than input": (
        ((1, 3, 9, 4), (4, 3, 3, 4), Geometry((2, 3), (1, 1), (1, 4), 1)),
        "along W: (W + 2·p − d·(k − 1) − 1) / s + 1 = (4 + 2·1 − 4·(4 − 1) − 1) / 3 + 1, rounded down, = -2",
    ),
    "stride of 0": ((INPUT, WEIGHT, PLAIN._replace(stride=(1, 0))), "stride (=(1, 0)) must be at least 1"),
    "padding below 0": ((INPUT, WEIGHT, PLAIN._replace(padding=(-1, 0))), "padding (=(-1, 0)) must be at least 0"),
    "dilation of 0": ((INPUT, WEIGHT, PLAIN._replace(dilation=(0, 1))), "dilation (=(0, 1)) must be at least 1"),
    "three paddings": (
        (INPUT, WEIGHT, PLAIN._replace(padding=(1, 1, 1))),
        "padding (=(1, 1, 1)) must be one number, or one",
    ),
    "groups of 0": ((INPUT, WEIGHT, PLAIN._replace(groups=0)), "groups (=0) must be at least 1"),
    "half a stride": (
        (INPUT, WEIGHT, PLAIN._replace(stride=(1, 1.5))),
        "stride (=(1, 1.5)) must be a whole number along every spatial axis",
    ),
    "no padding": ((INPUT, WEIGHT, PLAIN._replace(padding=(None, 0))), "padding (=(None, 0)) must be a whole number"),
    "groups as a fraction": ((INPUT, WEIGHT, PLAIN._replace(groups=2.0)), "groups (=2.0) must be a whole number"),
    "groups and in_channels": (
        (INPUT, WEIGHT, PLAIN._replace(groups=3)),
        "in_channels (=4) must be divisible by groups (=3): 4 = 1·3 + 1",
    ),
    "groups and out_channels": (
        (INPUT, (6, 1, 3, 3), PLAIN._replace(groups=4)),
        "out_channels (=6) must be divisible by groups (=4): 6 = 1·4 + 2",
    ),
    "channels": (
        (INPUT, WEIGHT, PLAIN._replace(groups=2)),
        "input of 4 channels does not fit weight of shape (6, 4, 3, 3) with groups (=2): expected 4·2 = 8 channels",
    ),
    "axes of the input": (
        (INPUT[2:], WEIGHT, PLAIN),
        "input of shape (5, 6) has 2 axes; a convolution of 2 spatial axes",
    ),
    "axes of the weight": ((INPUT, WEIGHT[:2], PLAIN), "weight of shape (6, 4) has 2 axes"),
    "empty height": (((2, 4, 0, 6), WEIGHT, PLAIN), "input of shape (2, 4, 0, 6) has an axis of size 0"),
    "empty kernel": ((INPUT, (6, 4, 0, 3), PLAIN), "weight of shape (6, 4, 0, 3) has an axis of size 0"),
}


@pytest.mark.parametrize(("job", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_with_its_numbers(job, message):
    with pytest.raises(ConvShapeError) as caught:
        check_job(Job(*job))
    assert message in str(caught.value)


@pytest.mark.parametrize(("job", "_message"), REFUSED.values(), ids=REFUSED)
def test_the_library_refuses_the_same(job, _message):
    with pytest.raises((RuntimeError, TypeError)):
        F.conv2d(torch.zeros(job[0]), torch.zeros(job[1]), None, *job[2])


def test_it_is_both_errors_that_callers_expect():
    assert issubclass(ConvShapeError, RuntimeError)
    assert issubclass(ConvShapeError, ValueError)


@pytest.mark.parametrize("num", [0, 1])
def test_an_empty_batch_is_none_of_these(num):
    check_job(Job((num, 4, 3, 3), (2, 4, 3, 3), PLAIN))


@pytest.mark.parametrize("num_axes", [1, 3])
def test_other_numbers_of_axes_are_judged_too(num_axes):
    geometry = Geometry((1,) * num_axes, (0,) * num_axes, (1,) * num_axes, 1)
    check_job(Job((1, 2, *(4,) * num_axes), (2, 2, *(3,) * num_axes), geometry))
    with pytest.raises(ConvShapeError, match=f"along {'W' if num_axes == 1 else 'D'}: "):
        check_job(Job((1, 2, *(2,) * num_axes), (2, 2, *(3,) * num_axes), geometry))


def test_the_named_padding_is_the_least_that_helps():
    for size, kernel, dilation in itertools.product(range(1, 4), range(2, 6), (1, 2, 3)):
        job = Job((1, 1, size, 9), (1, 1, kernel, 1), Geometry((1, 1), (0, 0), (dilation, 1), 1))
        try:
            check_job(job)
        except ConvShapeError as error:
            least = int(str(error).split("padding of at least ")[1].split(",")[0])
            check_job(Job(job.input_shape, job.weight_shape, job.geometry._replace(padding=(least, 0))))
            with pytest.raises(ConvShapeError):
                check_job(Job(job.input_shape, job.weight_shape, job.geometry._replace(padding=(least - 1, 0))))
