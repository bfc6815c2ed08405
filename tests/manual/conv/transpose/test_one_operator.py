"""The three forms are one operator, and it is the adjoint of the convolution: ⟨conv(x), y⟩ = ⟨x, conv_transpose(y)⟩."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D, TransposedGeometry, TransposedJob
from trainloop.manual.conv.transpose.matrix import convolution_matrix
from trainloop.manual.conv.transpose.sizes import check_transposed_job
from trainloop.manual.conv.transpose.zero_insert import convolution_of, drop_zeros, insert_zeros, turned, zero_insertion
from trainloop.tolerance import tolerance

PLAIN = TransposedGeometry((1, 1), (0, 0), (0, 0), 1, (1, 1))
JOBS = {
    "three by three": TransposedJob((2, 4, 5, 6), (4, 3, 3, 3), PLAIN._replace(padding=(1, 0)), torch.float64),
    "grouped": TransposedJob((2, 4, 5, 6), (4, 2, 3, 3), PLAIN._replace(padding=(1, 1), groups=2), torch.float64),
    "everything": TransposedJob(
        (2, 4, 5, 3), (4, 3, 3, 2), TransposedGeometry((2, 3), (1, 2), (1, 2), 2, (2, 1)), torch.float64
    ),
}
FORMS = [name for name in CONV_TRANSPOSE2D if name != "aten"]


def drawn(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inner(one, other):
    """Return ⟨one, other⟩ and the scale of its rounding."""
    return float((one * other).sum()), float((one * other).abs().sum())


def is_adjoint(convolve, transposed, job):
    x, y, weight = drawn(job.output_shape), drawn(job.input_shape, 1), drawn(job.weight_shape, 2)
    left, scale = inner(convolve.forward(x, weight, None, *job.geometry.of_convolution), y)
    right, _ = inner(x, transposed.forward(y, weight, None, *job.geometry))
    return abs(left - right) <= tolerance("float64", "gradient").bound(scale)


@pytest.mark.parametrize("transposed", CONV_TRANSPOSE2D)
@pytest.mark.parametrize("convolve", CONV2D)
def test_every_pair_is_adjoint(convolve, transposed):
    convolve, transposed = CONV2D[convolve], CONV_TRANSPOSE2D[transposed]
    jobs = [job for job in JOBS.values() if not convolve.refuses(job.convolution) and not transposed.refuses(job)]
    assert jobs
    assert all(is_adjoint(convolve, transposed, job) for job in jobs)


def test_another_padding_is_not_adjoint():
    job = JOBS["three by three"]
    other = TransposedJob(job.input_shape, job.weight_shape, job.geometry._replace(padding=(0, 1)), job.dtype)
    assert not is_adjoint(CONV2D["im2col"], shifted(CONV_TRANSPOSE2D["scatter"], job, other), job)


def shifted(algorithm, job, other):
    """Return an algorithm that uses another job's geometry for this one, and cuts the result to this one's size."""

    class Shifted:
        @staticmethod
        def forward(y, weight, bias, *_geometry):
            wrong = algorithm.forward(y, weight, bias, *other.geometry)
            return torch.nn.functional.pad(wrong, (0, 9, 0, 9))[:, :, : job.output_sizes[0], : job.output_sizes[1]]

    return Shifted


@st.composite
def jobs(draw):
    pairs = {
        "size": st.integers(1, 4),
        "kernel": st.integers(1, 3),
        "stride": st.integers(1, 3),
        "padding": st.integers(0, 3),
        "output_padding": st.integers(0, 2),
        "dilation": st.integers(1, 3),
    }
    size, kernel, *numbers = (tuple(draw(number) for _axis in "HW") for number in pairs.values())
    groups, channels, out_channels = (draw(st.integers(1, 2)) for _number in range(3))
    stride, padding, output_padding, dilation = numbers
    output_padding = tuple(more % max(s, d) for more, s, d in zip(output_padding, stride, dilation, strict=True))
    geometry = TransposedGeometry(stride, padding, output_padding, groups, dilation)
    shape, weight_shape = (2, groups * channels, *size), (groups * channels, out_channels, *kernel)
    return TransposedJob(shape, weight_shape, geometry, torch.float64)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(jobs())
def test_the_forms_are_equal_to_each_other(job):
    """Drawn shapes, but those whose padding cuts off all of the output."""
    assume(min(job.output_sizes) > 0)
    check_transposed_job(job)
    x, weight, g = drawn(job.input_shape), drawn(job.weight_shape, 1), drawn(job.output_shape, 2)
    found = [
        (
            CONV_TRANSPOSE2D[name].forward(x, weight, None, *job.geometry),
            CONV_TRANSPOSE2D[name].grad_input(g, weight, job.input_shape, *job.geometry),
            CONV_TRANSPOSE2D[name].grad_weight(g, x, job.weight_shape, *job.geometry),
        )
        for name in FORMS
    ]
    for (one, other), place in itertools.product(itertools.pairwise(found), range(3)):
        bound = tolerance("float64", "gradient").bound(float(one[place].abs().max()))
        assert float((one[place] - other[place]).abs().max()) <= bound


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_the_matrix_is_the_convolutions(job):
    """M x, group by group, is the convolution; its columns are the images of the unit vectors."""
    x, weight = drawn(job.output_shape), drawn(job.weight_shape, 1)
    matrix = convolution_matrix(weight, job.input_shape[2:], job.geometry)
    groups, num = job.geometry.groups, job.input_shape[0]
    by_hand = torch.einsum("grc,ngc->ngr", matrix, x.reshape(num, groups, -1)).reshape(job.input_shape)
    expected = CONV2D["im2col"].forward(x, weight, None, *job.geometry.of_convolution)
    bound = tolerance("float64", "output").bound(float(expected.abs().max()))
    assert float((by_hand - expected).abs().max()) <= bound


@pytest.mark.parametrize("inside", CONV2D)
@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_zero_insertion_may_use_any_algorithm(inside, job):
    form = zero_insertion(CONV2D[inside], "by " + inside)
    reason = CONV2D[inside].refuses(convolution_of(job))
    assert (form.refuses(job) is None) == (reason is None)
    if reason is not None:
        assert reason in form.refuses(job)
        assert form.refuses(job).startswith(f"{inside}, which convolves the spread input, says: ")
        return
    assert form.kernel(job, "forward").startswith(f"{inside}: ")
    x, weight, g = drawn(job.input_shape), drawn(job.weight_shape, 1), drawn(job.output_shape, 2)
    for direction, first, second in (("forward", x, weight), ("grad_input", g, weight), ("grad_weight", g, x)):
        third = {"forward": None, "grad_input": job.input_shape, "grad_weight": job.weight_shape}[direction]
        found, expected = (
            getattr(one, direction)(first, second, third, *job.geometry) for one in (form, CONV_TRANSPOSE2D["scatter"])
        )
        bound = tolerance("float64", "gradient").bound(float(expected.abs().max()))
        assert float((found - expected).abs().max()) <= bound


@pytest.mark.parametrize("edges", [((0, 0), (2, 1)), ((-1, -2), (1, -1)), ((-3, 4), (0, 0))])
def test_dropping_zeros_is_the_adjoint_of_inserting_them(edges):
    """⟨insert(x), y⟩ = ⟨x, drop(y)⟩, exactly: nothing is added up."""
    x = torch.arange(1.0, 13.0).view(1, 1, 3, 4)
    spread = insert_zeros(x, (2, 3), edges)
    y = torch.arange(1.0, 1.0 + spread.numel()).view(spread.shape)
    assert (spread * y).sum() == (x * drop_zeros(y, (3, 4), (2, 3), edges)).sum()


def test_zeros_are_inserted_between_the_elements():
    spread = insert_zeros(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), (2, 3), ((1, 0), (0, -1)))
    assert spread.tolist() == [[[[0, 0, 0], [1, 0, 0], [0, 0, 0], [3, 0, 0]]]]


def test_turning_a_weight_twice_gives_it_back():
    weight = drawn((6, 2, 3, 2))
    assert turned(weight, 3).shape == (6, 2, 3, 2)
    assert torch.equal(turned(turned(weight, 3), 3), weight)
    assert float(turned(weight, 3)[2, 1, 0, 0]) == float(weight[3, 0, 2, 1])  # channel 1 of group 1 to output 0
