"""Shapes: both operators' jobs, which of them can be, and what is smaller."""

from __future__ import annotations

import pytest
import torch

from trainloop.bench.check.corners import CORNERS
from trainloop.bench.check.drawn import MOST_PRODUCTS, drawn
from trainloop.bench.check.run import corners
from trainloop.bench.check.shape import OPERATORS, Shape, smaller
from trainloop.manual.conv import Geometry, Job, TransposedGeometry, TransposedJob

FULL = Shape(2, 3, 4, (5, 6), (3, 2), (2, 1), (1, 0), (1, 2), 2, (1, 0))


def test_it_is_a_job_of_either_operator():
    assert FULL.job("conv2d") == Job((2, 6, 5, 6), (8, 3, 3, 2), Geometry((2, 1), (1, 0), (1, 2), 2))
    assert FULL.job("conv_transpose2d", torch.float64) == TransposedJob(
        (2, 6, 5, 6), (6, 4, 3, 2), TransposedGeometry((2, 1), (1, 0), (1, 0), 2, (1, 2)), torch.float64
    )


@pytest.mark.parametrize(
    ("shape", "possible"),
    [
        (Shape(), OPERATORS),
        (Shape(kernel_size=(2, 2)), ("conv_transpose2d",)),  # larger than the image
        (Shape(size=(2, 2), padding=(1, 1)), ("conv2d",)),  # cuts all of the output off
        (Shape(size=(2, 2), stride=(2, 2), output_padding=(1, 1)), ("conv_transpose2d",)),
        (Shape(output_padding=(1, 1)), ()),
    ],
)
def test_only_what_can_be_and_says_something_is_tried(shape, possible):
    assert tuple(operator for operator in OPERATORS if shape.can_be(operator)) == possible


def test_smaller_shapes_differ_in_one_number_or_one_pair():
    found = list(smaller(Shape(num=5, size=(1, 3), padding=(2, 2))))
    assert found == [
        *(Shape(num=num, size=(1, 3), padding=(2, 2)) for num in (1, 3, 4)),
        *(Shape(num=5, size=(1, 3), padding=pair) for pair in ((0, 0), (1, 1), (0, 2), (1, 2), (2, 0), (2, 1))),
        *(Shape(num=5, size=pair, padding=(2, 2)) for pair in ((1, 1), (1, 2))),
        *(Shape(num=5, size=pair, padding=rest) for pair, rest in (((5, 3), (0, 2)), ((1, 7), (2, 0)))),
    ]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["kernel_size", "padding", "stride"])
def test_one_number_is_the_least_where_the_output_stays_the_same(name, axis):
    shape = Shape(2, 3, 4, (11, 12), (3, 2), (2, 3), (1, 2), (2, 1))
    least = 0 if name == "padding" else 1
    found = [
        one
        for one in smaller(shape)
        if one.job("conv2d").output_sizes == shape.job("conv2d").output_sizes and getattr(one, name)[axis] == least
    ]
    assert found


def test_nothing_is_smaller_than_the_smallest():
    assert list(smaller(Shape())) == []


def test_an_empty_batch_stays_empty():
    assert all(shape.num == 0 for shape in smaller(Shape(num=0, channels=4, size=(3, 3))))


def test_every_corner_can_be():
    shapes = [shape for family in CORNERS.values() for shape in family]
    assert len(shapes) == len(set(shapes))
    assert all(any(shape.can_be(operator) for operator in OPERATORS) for shape in shapes)


NAMED = {
    "1 × 1": lambda job: job.kernel_size == (1, 1),
    "not square": lambda job: job.input_shape[2] != job.input_shape[3] and job.kernel_size[0] != job.kernel_size[1],
    "stride above kernel": lambda job: job.geometry.stride[0] > job.kernel_size[0] > 1,
    "dilation": lambda job: min(job.geometry.dilation) > 1 and min(job.kernel_size) > 1,
    "groups": lambda job: job.geometry.groups > 1 < job.weight_shape[1],
    "depthwise": lambda job: job.input_shape[1] == job.geometry.groups > 1,
    "empty batch": lambda job: job.input_shape[0] == 0,
    "one channel": lambda job: job.input_shape[1] == 1 and job.output_shape[1] > 1,
    "padding at least the kernel": lambda job: job.geometry.padding[0] >= job.kernel_size[0],
    **{f"side {side}": lambda job, side=side: job.input_shape[2:] == (side, side) for side in range(1, 10)},
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("operator", OPERATORS)
def test_the_corners_that_were_promised_are_there(operator, name):
    assert any(NAMED[name](shape.job(operator)) for _, shape in corners(operator))


def test_a_kernel_as_large_as_the_padded_input_is_a_corner():
    jobs = [shape.job("conv2d") for _, shape in corners("conv2d")]
    assert any(job.output_sizes == (1, 1) and min(job.kernel_size) > 1 for job in jobs)
    jobs = [shape.job("conv_transpose2d") for _, shape in corners("conv_transpose2d")]
    assert any(max(job.geometry.output_padding) > 0 for job in jobs)


@pytest.mark.parametrize("operator", OPERATORS)
def test_drawn_shapes_are_possible_small_and_the_same_each_time(operator):
    shapes = [shape for _, shape in zip(range(200), drawn(operator, 3), strict=False)]
    assert shapes == [shape for _, shape in zip(range(200), drawn(operator, 3), strict=False)]
    assert shapes != [shape for _, shape in zip(range(200), drawn(operator, 4), strict=False)]
    assert all(shape.can_be(operator) for shape in shapes)
    assert max(shape.job(operator).direct_multiplications for shape in shapes) <= 40 * MOST_PRODUCTS
    assert len(set(shapes)) > 190


@pytest.mark.parametrize("name", [name for name in NAMED if name not in ("empty batch",)])
@pytest.mark.parametrize("operator", OPERATORS)
def test_drawn_shapes_come_to_the_corners_too(operator, name):
    assert any(NAMED[name](shape.job(operator)) for _, shape in zip(range(4000), drawn(operator, 0), strict=False))
