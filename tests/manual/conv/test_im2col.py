"""Convolution by im2col: a case worked out by hand, the adjoint identity, and the library's convolution as reference."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual.conv import im2col
from trainloop.tolerance import tolerance

GEOMETRIES = {
    "plain": ((1, 1), (0, 0), (1, 1), 1),
    "strided": ((2, 3), (0, 0), (1, 1), 1),
    "padded": ((1, 1), (2, 1), (1, 1), 1),
    "dilated": ((1, 1), (0, 0), (2, 1), 1),
    "grouped": ((1, 1), (1, 1), (1, 1), 2),
    "depthwise": ((2, 1), (1, 2), (1, 2), 4),
}


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(candidate, reference, quantity):
    bound = tolerance("float64", quantity).bound(float(reference.abs().max()))
    return float((candidate - reference).abs().max()) <= bound


def tensors(groups):
    return drawn(2, 4, 8, 9), drawn(8, 4 // groups, 3, 2, seed=1)


def test_three_by_three_by_hand():
    x = torch.arange(9.0).view(1, 1, 3, 3)
    weight = torch.tensor([[[[1.0, 0.0], [0.0, -1.0]]]])
    y = im2col.forward(x, weight, torch.tensor([0.5]), (1, 1), (0, 0), (1, 1), 1)
    assert y.tolist() == [[[[-3.5, -3.5], [-3.5, -3.5]]]]


def test_three_by_three_backwards_by_hand():
    x = torch.arange(9.0).view(1, 1, 3, 3)
    weight = torch.tensor([[[[1.0, 0.0], [0.0, -1.0]]]])
    grad_output = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    geometry = ((1, 1), (0, 0), (1, 1), 1)
    assert im2col.grad_weight(grad_output, x, (1, 1, 2, 2), *geometry).tolist() == [[[[27.0, 37.0], [57.0, 67.0]]]]
    grad_input = im2col.grad_input(grad_output, weight, (1, 1, 3, 3), *geometry)
    assert grad_input.tolist() == [[[[1.0, 2.0, 0.0], [3.0, 3.0, -2.0], [0.0, -3.0, -4.0]]]]
    assert im2col.grad_bias(grad_output).tolist() == [10.0]


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_forward_is_the_librarys(geometry):
    x, weight = tensors(geometry[3])
    bias = drawn(8, seed=2)
    assert close(im2col.forward(x, weight, bias, *geometry), F.conv2d(x, weight, bias, *geometry), "output")


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_grad_input_is_the_adjoint_of_forward(geometry):
    """⟨conv(x), g⟩ = ⟨x, grad_input(g)⟩."""
    x, weight = tensors(geometry[3])
    y = im2col.forward(x, weight, None, *geometry)
    grad_output = drawn(*y.shape, seed=3)
    other = (x * im2col.grad_input(grad_output, weight, x.shape, *geometry)).sum()
    assert close(other, (y * grad_output).sum(), "gradient")


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_grad_weight_is_the_adjoint_too(geometry):
    """The convolution is linear in its weight: ⟨conv(w), g⟩ = ⟨w, grad_weight(g)⟩."""
    x, weight = tensors(geometry[3])
    y = im2col.forward(x, weight, None, *geometry)
    grad_output = drawn(*y.shape, seed=3)
    other = (weight * im2col.grad_weight(grad_output, x, weight.shape, *geometry)).sum()
    assert close(other, (y * grad_output).sum(), "gradient")


def test_gradients_have_the_shapes_of_what_they_belong_to():
    x, weight = tensors(1)
    geometry = ((3, 2), (1, 1), (1, 1), 1)  # the last windows do not reach the end
    grad_output = torch.ones_like(im2col.forward(x, weight, None, *geometry))
    assert im2col.grad_input(grad_output, weight, x.shape, *geometry).shape == x.shape
    assert im2col.grad_weight(grad_output, x, weight.shape, *geometry).shape == weight.shape
