"""What is right, held against the loops that the project specifies convolutions by."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainloop.doctor.kernels import convolution
from trainloop.doctor.whole_numbers import LARGEST, some_numbers
from trainloop.manual.conv import CONV2D

CASES = [*convolution.CONV2D, *convolution.RARE_CONV2D]
TRANSPOSED = [*convolution.CONV_TRANSPOSE2D, *convolution.RARE_CONV_TRANSPOSE2D]


def tensors(*arrays):
    return [torch.from_numpy(array).double() for array in arrays]


def same(tensor, array):
    return torch.equal(tensor, torch.from_numpy(array).double())


def geometry(case):
    windows = case.windows
    return windows.stride, windows.padding, windows.dilation, windows.groups


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_convolutions_are_those_of_the_loops(case):
    right = convolution.right_conv2d(case)
    x, w, bias, grad = tensors(right.x, right.w, right.bias, right.grad_output)
    loops = CONV2D["loops"]
    assert same(loops.forward(x, w, bias, *geometry(case)), right.output)
    assert same(loops.grad_input(grad, w, x.shape, *geometry(case)), right.grad_input)
    assert same(loops.grad_weight(grad, x, w.shape, *geometry(case)), right.grad_weight)
    assert same(grad.sum((0, 2, 3)), right.grad_bias)


@pytest.mark.parametrize("case", TRANSPOSED, ids=lambda case: case.name)
def test_transposed_convolutions_are_the_adjoints_of_the_loops(case):
    right = convolution.right_conv_transpose2d(case)
    x, w, bias, grad = tensors(right.x, right.w, right.bias, right.grad_output)
    loops = CONV2D["loops"]
    output = loops.grad_input(x, w, grad.shape, *geometry(case)) + bias.view(-1, 1, 1)
    assert same(output, right.output)
    assert same(loops.forward(grad, w, None, *geometry(case)), right.grad_input)
    assert same(loops.grad_weight(x, grad, w.shape, *geometry(case)), right.grad_weight)


@pytest.mark.parametrize("case", TRANSPOSED, ids=lambda case: case.name)
def test_a_transposed_convolution_has_the_size_that_the_library_gives_it(case):
    right = convolution.right_conv_transpose2d(case)
    x, w = tensors(right.x, right.w)
    stride, padding, dilation, groups = geometry(case)
    output = torch.conv_transpose2d(x, w, None, stride, padding, case.output_padding, groups, dilation)
    assert tuple(output.shape) == right.output.shape


@pytest.mark.parametrize("case", [*CASES, *TRANSPOSED], ids=lambda case: case.name)
def test_no_sum_leaves_the_whole_numbers_of_float32(case):
    right = convolution.right_conv2d(case) if case in CASES else convolution.right_conv_transpose2d(case)
    bare = [np.abs(array).max() for array in (right.x, right.w, right.grad_output)]
    products = max(right.output.size, right.x.size)  # more than any sum has
    assert max(bare[0] * bare[1], bare[0] * bare[2], bare[1] * bare[2]) * products < 2**24


@pytest.mark.parametrize("name", ["output", "grad_weight"])
def test_sums_need_more_bits_than_short_formats_have(name):
    right = getattr(convolution.right_conv2d(convolution.CONV2D[0]), name)
    found = torch.from_numpy(right).float()
    for dtype in (torch.bfloat16, torch.float16):
        assert not torch.equal(found.to(dtype).float(), found), dtype


def test_the_operands_fit_into_short_formats():
    right = convolution.right_conv2d(convolution.CONV2D[0])
    for array in (right.x, right.w, right.bias, right.grad_output):
        found = torch.from_numpy(array).float()
        assert torch.equal(found.bfloat16().float(), found)


def test_numbers_are_spread_and_depend_on_the_salt():
    numbers = some_numbers((7, 1000), 1)
    values, counts = np.unique(numbers, return_counts=True)
    assert values.tolist() == list(range(-LARGEST, LARGEST + 1))
    assert counts.min() > 900
    assert counts.max() < 1100
    assert (numbers != some_numbers((7, 1000), 2)).mean() > 0.7
    assert (numbers[:, 1:] != numbers[:, :-1]).mean() > 0.7
