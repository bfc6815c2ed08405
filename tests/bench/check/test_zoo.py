"""Every way to be wrong that is known is noticed, and shown in the smallest job that is wrong in that way."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from trainloop.bench.check import check
from trainloop.bench.check import examine as kinds
from trainloop.manual.conv import CONV2D
from trainloop.manual.conv.im2col import forward as right_forward
from trainloop.manual.conv.im2col import grad_input as right_grad_input
from trainloop.manual.conv.im2col import grad_weight as right_grad_weight

SMALLEST = "n1 c1 o1 h1 k1"


def zeros(*arguments):
    return torch.zeros_like(right_forward(*arguments))


def not_a_number(*arguments):
    y = right_forward(*arguments)
    y[..., -1] = torch.nan
    return y


def infinite(*arguments):
    return right_forward(*arguments) / 0.0


def kept_by_shape():
    known = {}

    def forward(input, weight, bias, *geometry):
        key = (input.shape, weight.shape, geometry)
        if key not in known:
            known[key] = right_forward(input, weight, bias, *geometry)
        return known[key]

    return forward


def kept_by_place():
    known = {}

    def forward(input, weight, bias, *geometry):
        key = (input.data_ptr(), weight.data_ptr(), input.shape, weight.shape, geometry, bias is None)
        if key not in known:
            known[key] = right_forward(input, weight, bias, *geometry), input  # the input stays, and so does its place
        return known[key][0]

    return forward


def one_buffer_for_all_results():
    buffers = {}

    def forward(*arguments):
        y = right_forward(*arguments)
        return buffers.setdefault(y.shape, torch.empty_like(y)).copy_(y)

    return forward


def input_doubled(input, *others):
    y = right_forward(input, *others)
    input.mul_(2)
    return y


def weight_turned(input, weight, *others):
    y = right_forward(input, weight, *others)
    weight.copy_(weight.flip(2, 3))
    return y


def a_row_too_few(*arguments):
    return right_forward(*arguments)[:, :, 1:]


def in_double(*arguments):
    return right_forward(*arguments).double()


def elsewhere(*arguments):
    return right_forward(*arguments).to("meta")


def last_column_not_written(*arguments):
    y = right_forward(*arguments)
    result = torch.empty_like(y)
    result[..., :-1] = y[..., :-1]
    return result


def nothing(*_arguments):
    return None


def part_of_the_input(input, *others):
    return input.as_strided(right_forward(input, *others).shape, (0, 0, 0, 0))


def index_error(input, *others):
    y = right_forward(input, *others)
    if y.numel() and y.shape[2] > 4:
        raise IndexError("row 5 is out of range")
    return y


def bias_forgotten(input, weight, _bias, *geometry):
    return right_forward(input, weight, None, *geometry)


def taps_too_near(input, weight, bias, stride, padding, dilation, groups):
    y = right_forward(input, weight, bias, stride, padding, dilation, groups)
    near = right_forward(input, weight, bias, stride, padding, (1, 1), groups)
    return near[:, :, : y.shape[2], : y.shape[3]]


def groups_mixed_up(input, weight, bias, stride, padding, dilation, groups):
    return right_forward(input, weight.roll(1, 0) if groups > 1 else weight, bias, stride, padding, dilation, groups)


def odd_rows_lost(*arguments):
    y = right_forward(*arguments)
    if y.shape[2] % 2 == 1 and y.shape[2] > 4:
        y[:, :, -1] = 0
    return y


def padding_too_large(input, weight, bias, stride, padding, dilation, groups):
    y = right_forward(input, weight, bias, stride, padding, dilation, groups)
    if padding[0] >= weight.shape[2]:
        y[:, :, 0] += 1
    return y


def empty_batch(input, *others):
    if len(input) == 0:
        raise RuntimeError("division by zero images")
    return right_forward(input, *others)


def always_contiguous(input, weight, bias, *geometry):
    _, channels, height, width = input.shape
    strides = (channels * height * width, height * width, width, 1)
    return right_forward(input.as_strided(input.shape, strides), weight, bias, *geometry)


def in_half(input, weight, bias, *geometry):
    half = (None if tensor is None else tensor.half().float() for tensor in (input, weight, bias))
    return right_forward(*half, *geometry)


def one_in_ten_thousand(*arguments):
    return right_forward(*arguments) * 1.0001


def gradient_not_turned(grad_output, weight, *others):
    return right_grad_input(grad_output, weight.flip(2, 3), *others)


def last_image_forgotten(grad_output, input, *others):
    if len(input) > 1:
        grad_output, input = grad_output[:-1], input[:-1]
    return right_grad_weight(grad_output, input, *others)


ZOO = {
    "zeros": ("forward", zeros, kinds.WRONG, SMALLEST),
    "NaN": ("forward", not_a_number, kinds.NOT_FINITE, SMALLEST),
    "infinity": ("forward", infinite, kinds.NOT_FINITE, SMALLEST),
    "a result kept under the shapes": ("forward", kept_by_shape(), kinds.KEPT, SMALLEST),
    "a result kept under the place in memory": ("forward", kept_by_place(), kinds.KEPT, SMALLEST),
    "one buffer for all results": ("forward", one_buffer_for_all_results(), kinds.OVERWRITTEN, SMALLEST),
    "an input changed": ("forward", input_doubled, kinds.CHANGED, SMALLEST),
    "a weight changed": ("forward", weight_turned, kinds.CHANGED, "n1 c1 o1 h1 w2 k1 l2"),
    "another shape": ("forward", a_row_too_few, kinds.SHAPE, SMALLEST),
    "another type": ("forward", in_double, kinds.DTYPE, SMALLEST),
    "another device": ("forward", elsewhere, kinds.DEVICE, SMALLEST),
    "memory that nobody has written": ("forward", last_column_not_written, kinds.NOT_FINITE, SMALLEST),
    "None": ("forward", nothing, kinds.NO_TENSOR, SMALLEST),
    "a view of the input": ("forward", part_of_the_input, kinds.SHARED, SMALLEST),
    "an error in larger images": ("forward", index_error, "raised IndexError", "n1 c1 o1 h5 w1 k1"),
    "a bias forgotten": ("forward", bias_forgotten, kinds.WRONG, SMALLEST + " bias"),
    "a dilation ignored": ("forward", taps_too_near, kinds.WRONG, "n1 c1 o1 h1 w3 k1 l2 d1x2"),
    "groups mixed up": ("forward", groups_mixed_up, kinds.WRONG, "n1 c2 o2 h1 k1 g2"),
    "the last of five rows lost": ("forward", odd_rows_lost, kinds.WRONG, "n1 c1 o1 h5 w1 k1"),
    "a padding as large as the kernel": ("forward", padding_too_large, kinds.WRONG, "n1 c1 o1 h1 k1 p1x0"),
    "an empty batch": ("forward", empty_batch, "raised RuntimeError", "n0 c1 o1 h1 k1"),
    "a layout ignored": ("forward", always_contiguous, kinds.WRONG, "n1 c2 o1 h1 w2 k1"),
    "half precision inside": ("forward", in_half, kinds.WRONG, SMALLEST),
    "a factor of 1.0001": ("forward", one_in_ten_thousand, kinds.WRONG, SMALLEST),
    "a kernel not turned": ("grad_input", gradient_not_turned, kinds.WRONG, "n1 c1 o1 h1 w2 k1 l2"),
    "an image forgotten": ("grad_weight", last_image_forgotten, kinds.WRONG, "n2 c1 o1 h1 k1"),
}


@pytest.mark.usefixtures("few_corners")
@pytest.mark.parametrize(("direction", "function", "kind", "job"), ZOO.values(), ids=ZOO)
def test_it_is_caught_and_made_small(direction, function, kind, job):
    kernel = dataclasses.replace(CONV2D["im2col"], name="broken", **{direction: function})
    report = check([kernel], directions=[direction], dtypes=[torch.float32], cases=0)
    assert not report.ok
    found = {failure.kind: failure for failure in report.failures}
    assert kind in found
    assert found[kind].job == job
    assert found[kind].cases >= 1
    assert found[kind].direction == direction
    assert any(row.failed for row in report.rows)
