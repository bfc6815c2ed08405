"""Costs against counts by hand."""

from __future__ import annotations

import pytest
from torch import nn

from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D, Job, TransposedJob


def test_products_are_those_that_the_algorithms_count(conv):
    for problem in conv.random_problems(40, seed=8):
        cost = conv.explained(problem.text, problem.size_text).cost
        shape = (1, problem.in_channels, *problem.input_sizes)
        if problem.transposed:
            job = TransposedJob(shape, problem.weight_shape, problem.patches)
            assert cost.products == CONV_TRANSPOSE2D["scatter"].multiplications(job, "forward")
            assert cost.zero_insert_products == CONV_TRANSPOSE2D["zero_insert"].multiplications(job, "forward")
        elif problem.padding == problem.padding_after:
            job = Job(shape, problem.weight_shape, problem.windows)
            assert cost.products == CONV2D["im2col"].multiplications(job, "forward")
        module = getattr(nn, problem.module)
        made = module(
            problem.in_channels, problem.out_channels, problem.own(problem.kernel_size), groups=problem.groups
        )
        assert cost.weights == made.weight.numel()
        assert cost.biases == (problem.out_channels if problem.bias else 0)


def test_those_on_padding_are_not_useful(conv):
    cost = conv.explained("Conv2d(2, 3, 3, padding=1)", "4x4").cost
    along = 3 * 4 - 2
    assert (cost.products, cost.useful) == (2 * 3 * 9 * 16, 2 * 3 * along**2)


@pytest.mark.parametrize(
    ("text", "kind", "dense"),
    [
        ("Conv2d(4, 4, 3)", "dense", 1),
        ("Conv2d(4, 4, 3, groups=2)", "grouped", 2),
        ("Conv2d(4, 4, 3, groups=4)", "depthwise", 4),
    ],
)
def test_groups(conv, text, kind, dense):
    cost = conv.explained(text, "5x5").cost
    assert (cost.kind, cost.dense_products) == (kind, dense * cost.products)


def test_the_columns_of_im2col(conv):
    cost = conv.explained("Conv2d(4, 6, 3, groups=2)", "5x6").cost
    assert (cost.columns, cost.columns_bytes) == ((2 * 9, 3 * 4), 4 * 2 * 18 * 12)
    cost = conv.explained("ConvTranspose2d(4, 6, 3, groups=2)", "5x6").cost
    assert cost.columns == (3 * 9, 30)
