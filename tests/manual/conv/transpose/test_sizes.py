"""The arithmetic of transposed sizes: what is refused, with which numbers, and that the library refuses the same."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual.conv import Geometry, Job, TransposedGeometry, TransposedJob
from trainloop.manual.conv.transpose.sizes import check_transposed_job
from trainloop.manual.errors import ConvShapeError

PLAIN = TransposedGeometry((1, 1), (0, 0), (0, 0), 1, (1, 1))
INPUT, WEIGHT = (2, 4, 5, 6), (4, 3, 3, 3)
REFUSED = {
    "output of size zero": (
        ((1, 4, 2, 9), WEIGHT, PLAIN._replace(stride=(2, 1), padding=(3, 0), output_padding=(1, 0))),
        "the output would have size 0 along H: (H − 1)·s − 2·p + d·(k − 1) + output_padding + 1 = "
        "(2 − 1)·2 − 2·3 + 1·(3 − 1) + 1 + 1 = 0, expected at least 1; padding cuts 6 off 6: use a padding of at most 2",
    ),
    "output of size below zero": (
        ((1, 4, 9, 1), (4, 3, 3, 1), PLAIN._replace(padding=(0, 2), dilation=(1, 3))),
        "would have size -3 along W: (W − 1)·s − 2·p + d·(k − 1) + output_padding + 1 = "
        "(1 − 1)·1 − 2·2 + 3·(1 − 1) + 0 + 1 = -3",
    ),
    "output_padding as large as stride and dilation": (
        (INPUT, WEIGHT, PLAIN._replace(stride=(3, 2), output_padding=(2, 2), dilation=(1, 2))),
        "output_padding (=2) must be smaller than stride (=2) or dilation (=2) along W: it chooses among the 2 sizes that a "
        "convolution with this stride maps to one, which is 0 to 1 more than the smallest; to get more, pad the output",
    ),
    "output_padding below 0": (
        (INPUT, WEIGHT, PLAIN._replace(output_padding=(0, -1))),
        "output_padding (=(0, -1)) must be at least 0 along every spatial axis",
    ),
    "three output_paddings": (
        (INPUT, WEIGHT, PLAIN._replace(output_padding=(0, 0, 0))),
        "output_padding (=(0, 0, 0)) must be one number, or one for each of the 2 spatial axes",
    ),
    "stride of 0": ((INPUT, WEIGHT, PLAIN._replace(stride=(0, 1))), "stride (=(0, 1)) must be at least 1"),
    "padding below 0": ((INPUT, WEIGHT, PLAIN._replace(padding=(0, -2))), "padding (=(0, -2)) must be at least 0"),
    "groups that do not divide": (
        ((2, 5, 5, 6), (5, 3, 3, 3), PLAIN._replace(groups=2)),
        "in_channels (=5) must be divisible by groups (=2): 5 = 2·2 + 1",
    ),
    "channels": (
        (INPUT, (6, 3, 3, 3), PLAIN),
        "input of 4 channels does not fit weight of shape (6, 3, 3, 3), whose first axis is in_channels in a transposed "
        "convolution: expected 6 channels",
    ),
    "axes of the weight": (
        (INPUT, WEIGHT[:3], PLAIN),
        "weight of shape (4, 3, 3) has 3 axes; a convolution of 2 spatial axes expects 4, "
        "(in_channels, out_channels / groups, kernel_size…)",
    ),
    "axes of the input": ((INPUT[2:], WEIGHT, PLAIN), "input of shape (5, 6) has 2 axes"),
    "empty width": (((2, 4, 5, 0), WEIGHT, PLAIN), "input of shape (2, 4, 5, 0) has an axis of size 0"),
}


@pytest.mark.parametrize(("job", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_with_its_numbers(job, message):
    with pytest.raises(ConvShapeError) as caught:
        check_transposed_job(TransposedJob(*job))
    assert message in str(caught.value)


@pytest.mark.parametrize(("job", "_message"), REFUSED.values(), ids=REFUSED)
def test_the_library_refuses_the_same(job, _message):
    with pytest.raises(RuntimeError):
        F.conv_transpose2d(torch.zeros(job[0]), torch.zeros(job[1]), None, *job[2])


def test_the_named_padding_is_the_most_that_leaves_something():
    for size, kernel, stride in itertools.product((1, 2), (1, 2, 3), (1, 2)):
        job = TransposedJob((1, 1, size, 1), (1, 1, kernel, 1), PLAIN._replace(stride=(stride, 1), padding=(5, 0)))
        with pytest.raises(ConvShapeError, match="padding of at most") as caught:
            check_transposed_job(job)
        most = int(str(caught.value).split("padding of at most ")[1])
        check_transposed_job(padded(job, most))
        with pytest.raises(ConvShapeError):
            check_transposed_job(padded(job, most + 1))


def padded(job, padding):
    return TransposedJob(job.input_shape, job.weight_shape, job.geometry._replace(padding=(padding, 0)))


def test_the_sizes_are_those_of_the_convolution_turned_around():
    """Each output_padding below the stride gives a size that the convolution maps back to the input's; no other does."""
    for size, kernel, stride, padding, dilation in itertools.product((1, 4), (1, 3), (1, 2, 3), (0, 1), (1, 2)):
        geometry = PLAIN._replace(stride=(stride, 1), padding=(padding, 0), dilation=(dilation, 1))
        jobs = [
            TransposedJob((1, 1, size, 1), (1, 1, kernel, 1), geometry._replace(output_padding=(more, 0)))
            for more in range(stride)
        ]
        found = {job.output_sizes[0] for job in jobs}
        assert found == {height for height in range(-3, 40) if convolved(height, jobs[0]) == size}


def convolved(height, job):
    stride, padding, _, groups, dilation = job.geometry
    shape = (1, 1, height, 1)
    return Job(shape, job.weight_shape, Geometry(stride, padding, dilation, groups)).output_sizes[0]


def test_the_job_of_the_convolution_leads_back():
    job = TransposedJob((2, 4, 5, 6), (4, 3, 3, 2), TransposedGeometry((2, 3), (1, 0), (1, 2), 2, (1, 1)))
    assert job.output_shape == (2, 6, 10, 19)
    assert job.convolution.input_shape == job.output_shape
    assert job.convolution.output_shape == job.input_shape
    assert job.direct_multiplications == 2 * 4 * 5 * 6 * 3 * 3 * 2


@pytest.mark.parametrize("num_axes", [1, 3])
def test_other_numbers_of_axes_are_judged_too(num_axes):
    def alike(number):
        return (number,) * num_axes

    shapes = (1, 2, *alike(4)), (2, 3, *alike(3))
    check_transposed_job(TransposedJob(*shapes, TransposedGeometry(alike(1), alike(0), alike(0), 1, alike(1))))
    with pytest.raises(ConvShapeError, match=f"along {'W' if num_axes == 1 else 'D'}: "):
        check_transposed_job(TransposedJob(*shapes, TransposedGeometry(alike(1), alike(3), alike(0), 1, alike(1))))
