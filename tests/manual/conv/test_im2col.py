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


def in_each_direction(geometry, layout):
    x, weight = (tensor.contiguous(memory_format=layout) for tensor in tensors(geometry[3]))
    y = im2col.forward(x, weight, drawn(8, seed=2), *geometry)
    grad_output = drawn(*y.shape, seed=3).contiguous(memory_format=layout)
    grad_input = im2col.grad_input(grad_output, weight, x.shape, *geometry)
    return y, grad_input, im2col.grad_weight(grad_output, x, weight.shape, *geometry)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["channels_last", "nchw"])
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_blocks_of_one_image_make_the_same_result(monkeypatch, geometry, layout):
    whole = in_each_direction(geometry, layout)
    monkeypatch.setattr(im2col, "COLUMN_BYTES", 1)
    for found, expected in zip(in_each_direction(geometry, layout), whole, strict=True):
        assert found.is_contiguous(memory_format=layout)
        assert close(found, expected, "gradient")


def test_no_argument_is_written_to():
    """The bias is added in place: to the output, and to nothing that was given."""
    x, weight, bias = drawn(2, 4, 5, 5), drawn(8, 4, 1, 1, seed=1), drawn(8, seed=2)
    given = [tensor.clone() for tensor in (x, weight, bias)]
    for tensor in (x, x.contiguous(memory_format=torch.channels_last)):
        im2col.forward(tensor, weight, bias, (1, 1), (0, 0), (1, 1), 1)
    assert all(torch.equal(now, before) for now, before in zip((x, weight, bias), given, strict=True))


@pytest.mark.parametrize(("num_axes", "library"), [(1, F.conv1d), (3, F.conv3d)], ids=["one axis", "three axes"])
def test_any_number_of_axes(monkeypatch, num_axes, library):
    x, weight, bias = drawn(3, 4, *(6, 5, 7)[:num_axes]), drawn(6, 2, *(3, 2, 3)[:num_axes], seed=1), drawn(6, seed=2)
    geometry = ((2, 1, 2)[:num_axes], (1, 0, 1)[:num_axes], (1, 2, 1)[:num_axes], 2)
    monkeypatch.setattr(im2col, "COLUMN_BYTES", 1)
    leaves = [tensor.clone().requires_grad_() for tensor in (x, weight)]
    expected = library(*leaves, bias, *geometry)
    grad_output = drawn(*expected.shape, seed=3)
    assert close(im2col.forward(x, weight, bias, *geometry), expected.detach(), "output")
    found = (
        im2col.grad_input(grad_output, weight, x.shape, *geometry),
        im2col.grad_weight(grad_output, x, weight.shape, *geometry),
    )
    for one, other in zip(found, torch.autograd.grad(expected, leaves, grad_output), strict=True):
        assert close(one, other, "gradient")


def test_no_images_make_no_output_and_no_gradient():
    x, weight, geometry = drawn(0, 4, 5, 5), drawn(8, 4, 3, 3), GEOMETRIES["padded"]
    y = im2col.forward(x, weight, drawn(8, seed=2), *geometry)
    assert y.shape == (0, 8, 7, 5)
    assert im2col.grad_input(y, weight, x.shape, *geometry).shape == x.shape
    assert torch.equal(im2col.grad_weight(y, x, weight.shape, *geometry), torch.zeros_like(weight))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("threads", [2, 3, 4])
def test_shares_of_the_rows_add_up_to_grad_weight(monkeypatch, threads, groups):
    """A block of one image has 21 rows, which three threads can share and two cannot."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(im2col, "COLUMN_BYTES", 1)
    x, grad_output = drawn(3, 4, 9, 4), drawn(3, 6, 7, 3, seed=1)
    geometry = ((1, 1), (0, 0), (1, 1), groups)
    found = im2col.grad_weight(grad_output, x, (6, 4 // groups, 3, 2), *geometry)
    weight = torch.zeros(6, 4 // groups, 3, 2, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(F.conv2d(x, weight, None, *geometry), weight, grad_output)
    assert close(found, expected, "gradient")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_many_blocks_of_a_half_type_are_as_exact_as_one(monkeypatch, dtype):
    x, grad_output = drawn(64, 2, 6, 6).to(dtype), drawn(64, 3, 4, 4, seed=1).to(dtype)
    arguments = ((3, 2, 3, 3), (1, 1), (0, 0), (1, 1), 1)
    expected = im2col.grad_weight(grad_output.double(), x.double(), *arguments)

    def error():
        return float((im2col.grad_weight(grad_output, x, *arguments).double() - expected).norm() / expected.norm())

    one_block = error()
    monkeypatch.setattr(im2col, "COLUMN_BYTES", 1)
    assert error() <= 2 * one_block
