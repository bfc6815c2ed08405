"""Every form of the transposed convolution against the library's: by registration, over geometries, types and layouts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from trainloop.manual.conv import CONV_TRANSPOSE2D, DIRECTIONS, TransposedGeometry, conv_transpose2d
from trainloop.manual.conv.transpose import matrix, scatter, zero_insert
from trainloop.tolerance import tolerance

PLAIN = TransposedGeometry((1, 1), (0, 0), (0, 0), 1, (1, 1))
CASES = {
    "plain": ((2, 4, 5, 4), (4, 3, 3, 2), PLAIN),
    "one by one": ((2, 4, 5, 4), (4, 3, 1, 1), PLAIN),
    "strided": ((2, 4, 5, 4), (4, 3, 3, 2), PLAIN._replace(stride=(2, 3))),
    "stride above kernel": ((2, 4, 3, 4), (4, 3, 2, 1), PLAIN._replace(stride=(3, 4))),
    "padded": ((2, 4, 5, 4), (4, 3, 3, 3), PLAIN._replace(padding=(2, 1))),
    "padding above the reach": ((2, 4, 6, 5), (4, 3, 2, 1), PLAIN._replace(padding=(2, 1))),
    "padding cuts elements off": ((2, 4, 4, 3), (4, 3, 1, 2), PLAIN._replace(stride=(2, 3), padding=(2, 3))),
    "output_padding": ((2, 4, 5, 4), (4, 3, 3, 3), TransposedGeometry((2, 3), (1, 0), (1, 2), 1, (1, 1))),
    "output_padding by dilation": ((2, 4, 5, 4), (4, 3, 2, 3), TransposedGeometry((1, 2), (0, 1), (2, 2), 1, (3, 4))),
    "only output_padding left": ((2, 4, 1, 1), (4, 3, 1, 1), TransposedGeometry((5, 5), (2, 0), (4, 2), 1, (1, 1))),
    "dilated": ((2, 4, 5, 4), (4, 3, 3, 2), PLAIN._replace(dilation=(2, 3))),
    "grouped": ((2, 4, 5, 4), (4, 3, 3, 3), TransposedGeometry((2, 1), (1, 1), (1, 0), 2, (1, 2))),
    "depthwise": ((2, 4, 5, 4), (4, 1, 3, 3), PLAIN._replace(groups=4, padding=(1, 1))),
    "one channel": ((2, 1, 5, 4), (1, 1, 3, 3), PLAIN._replace(stride=(2, 2))),
    "one element": ((1, 3, 1, 1), (3, 2, 4, 5), PLAIN),
    "empty batch": ((0, 4, 5, 4), (4, 3, 3, 2), PLAIN._replace(stride=(2, 2))),
}
LAYOUTS = {"usual": torch.contiguous_format, "channels_last": torch.channels_last}
ATEN = CONV_TRANSPOSE2D["aten"]


def drawn(shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def tensors(case, dtype=torch.float64, layout=torch.contiguous_format):
    """Return input, weight, bias and grad_output."""
    shape, weight_shape, geometry = CASES[case]
    x, weight = drawn(shape, dtype), drawn(weight_shape, dtype, seed=1)
    bias = drawn(weight_shape[1] * geometry.groups, dtype, seed=2)
    like = F.conv_transpose2d(x, weight, bias, *geometry)
    grad_output = drawn(like.shape, dtype, seed=3)
    return x.contiguous(memory_format=layout), weight, bias, grad_output.contiguous(memory_format=layout)


def run(algorithm, direction, case, x, weight, bias, grad_output):
    geometry = CASES[case][2]
    if direction == "forward":
        return algorithm.forward(x, weight, bias, *geometry)
    if direction == "grad_input":
        return algorithm.grad_input(grad_output, weight, tuple(x.shape), *geometry)
    return algorithm.grad_weight(grad_output, x, tuple(weight.shape), *geometry)


def error(candidate, reference):
    """Return the largest difference, in units of what the table allows."""
    assert candidate.shape == reference.shape
    assert candidate.dtype == reference.dtype
    if reference.numel() == 0:
        return 0.0
    dtype = str(reference.dtype).removeprefix("torch.")
    bound = tolerance(dtype, "gradient").bound(float(reference.abs().max()))
    return float((candidate - reference).abs().max()) / bound


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", CONV_TRANSPOSE2D)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_it_is_the_librarys(name, direction, case, dtype, layout):
    given = tensors(case, dtype, layout)
    before = [tensor.clone() for tensor in given]
    expected = run(ATEN, direction, case, *tensors(case, dtype))
    assert error(run(CONV_TRANSPOSE2D[name], direction, case, *given), expected) <= 1
    assert all(torch.equal(now, then) for now, then in zip(given, before, strict=True))


@pytest.mark.parametrize("name", CONV_TRANSPOSE2D)
@pytest.mark.parametrize("direction", ["forward", "grad_input"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_an_image_comes_back_in_the_layout_that_it_came_in(name, direction, layout):
    result = run(CONV_TRANSPOSE2D[name], direction, "strided", *tensors("strided", layout=layout))
    assert result.is_contiguous(memory_format=layout)


class NoConvolutions(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert "conv" not in str(func), f"the library's {func}"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [name for name in CONV_TRANSPOSE2D if name != "aten"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_forms_call_no_convolution_of_the_librarys(name, direction):
    given = tensors("grouped")
    with NoConvolutions():
        run(CONV_TRANSPOSE2D[name], direction, "grouped", *given)
    with NoConvolutions(), pytest.raises(AssertionError, match="convolution"):
        run(ATEN, direction, "grouped", *given)


@pytest.mark.parametrize("case", ["output_padding", "grouped", "empty batch"])
def test_the_librarys_gradients_are_autograds(case):
    x, weight, bias, grad_output = tensors(case)
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    F.conv_transpose2d(*leaves, bias, *CASES[case][2]).backward(grad_output)
    with torch.no_grad():
        for direction, leaf in zip(DIRECTIONS[1:], leaves, strict=True):
            assert error(run(ATEN, direction, case, x, weight, bias, grad_output), leaf.grad) <= 1


@pytest.mark.parametrize("name", CONV_TRANSPOSE2D)
def test_two_by_two_by_hand(name):
    """Four patches of 2 × 2, 1 apart: the middle element is the sum of one corner of each."""
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    weight = torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]])
    y = conv_transpose2d(x, weight, torch.tensor([0.5]), algorithm=name)
    assert y.tolist() == [[[[1.5, 12.5, 20.5], [103.5, 1234.5, 2040.5], [300.5, 3400.5, 4000.5]]]]


@pytest.mark.parametrize("name", CONV_TRANSPOSE2D)
def test_two_by_two_backwards_by_hand(name):
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    weight = torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]])
    g = torch.arange(1.0, 10.0).view(1, 1, 3, 3)
    algorithm = CONV_TRANSPOSE2D[name]
    grad_input = algorithm.grad_input(g, weight, (1, 1, 2, 2), *PLAIN)
    assert grad_input.tolist() == [[[[5421.0, 6532.0], [8754.0, 9865.0]]]]
    grad_weight = algorithm.grad_weight(g, x, (1, 1, 2, 2), *PLAIN)
    assert grad_weight.tolist() == [[[[37.0, 47.0], [67.0, 77.0]]]]


def no_flip(weight, groups):
    channels, out_channels, *sizes = weight.shape
    exchanged = weight.reshape(groups, channels // groups, out_channels, *sizes).transpose(1, 2)
    return exchanged.reshape(groups * out_channels, channels // groups, *sizes)


def groups_forgotten(weight, groups):
    channels, out_channels, *sizes = weight.shape
    return weight.flip(2, 3).reshape(groups * out_channels, channels // groups, *sizes)


def output_padding_in_front(kernel_size, padding, output_padding, dilation):
    edges = zero_insert_edges(kernel_size, padding, output_padding, dilation)
    return tuple((after, before) for before, after in edges)


def dilation_ignored(sizes, kernel_size, stride, dilation):
    return scatter_taps(sizes, kernel_size, stride, (1,) * len(dilation))


def last_tap_left_out(*args):
    return list(scatter_taps(*args))[:-1]


def wrong_sign_of_padding(sizes, kernel_size, geometry, *, like):
    away = geometry._replace(padding=tuple(-pad for pad in geometry.padding))
    output_sizes = matrix.transposed_sizes(sizes, kernel_size, geometry)
    wider = matrix_selections(sizes, kernel_size, away, like=like)
    return [one[:, :, :size] for one, size in zip(wider, output_sizes, strict=True)]


def upside_down(sizes, kernel_size, geometry, *, like):
    return [one.flip(0) for one in matrix_selections(sizes, kernel_size, geometry, like=like)]


scatter_taps, zero_insert_edges, matrix_selections = scatter._taps, zero_insert._edges, matrix.selections
FAULTS = {
    "a kernel that is not flipped": (zero_insert, "turned", no_flip, "zero_insert", "plain"),
    "channels that are exchanged across groups": (zero_insert, "turned", groups_forgotten, "zero_insert", "grouped"),
    "output_padding in front": (zero_insert, "_edges", output_padding_in_front, "zero_insert", "output_padding"),
    "a tap left out": (scatter, "_taps", last_tap_left_out, "scatter", "plain"),
    "a dilation ignored": (scatter, "_taps", dilation_ignored, "scatter", "dilated"),
    "a padding of the wrong sign": (matrix, "selections", wrong_sign_of_padding, "matrix", "padded"),
    "a kernel upside down": (matrix, "selections", upside_down, "matrix", "plain"),
}


@pytest.mark.parametrize(("module", "attribute", "fault", "name", "case"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_seeded_fault_is_noticed(monkeypatch, module, attribute, fault, name, case, direction):
    monkeypatch.setattr(module, attribute, fault)
    given = tensors(case)
    assert error(run(CONV_TRANSPOSE2D[name], direction, case, *given), run(ATEN, direction, case, *given)) > 1e6
