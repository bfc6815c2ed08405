"""The matrices, in exact fractions: they compute a convolution, and share one G."""

from __future__ import annotations

from fractions import Fraction

import pytest

from trainloop.manual.conv.winograd.points import POINTS, SUBSETS, TAPS, transforms, transposed, weight_transform


def times(matrix, vector):
    return [sum((a * b for a, b in zip(row, vector, strict=True)), Fraction(0)) for row in matrix]


def inputs(size):
    return [Fraction(3 * i * i - 7 * i + 2, i + 1) for i in range(size)]


W = [Fraction(2), Fraction(-5, 3), Fraction(7, 2)]


@pytest.mark.parametrize("size", SUBSETS)
def test_each_tile_is_a_convolution_exactly(size):
    d, matrices = inputs(size + TAPS - 1), transforms(size)
    u = [times(weight_transform(), W)[point] for point in SUBSETS[size]]
    y = times(matrices.output, [a * b for a, b in zip(u, times(matrices.input, d), strict=True)])
    assert y == [sum(W[k] * d[i + k] for k in range(TAPS)) for i in range(size)]


@pytest.mark.parametrize("size", SUBSETS)
def test_the_gradient_of_the_taps_is_exact(size):
    d, dy, matrices = inputs(size + TAPS - 1), inputs(size), transforms(size)
    v, z = times(matrices.input, d), times(transposed(matrices.output), dy)
    products = dict(zip(SUBSETS[size], [a * b for a, b in zip(v, z, strict=True)], strict=True))
    sums = [products.get(point, Fraction(0)) for point in range(len(POINTS))]
    assert times(transposed(weight_transform()), sums) == [
        sum(dy[i] * d[i + k] for i in range(size)) for k in range(TAPS)
    ]


@pytest.mark.parametrize("size", SUBSETS)
def test_every_constant_of_input_and_output_is_exact_in_float32(size):
    for matrix in transforms(size):
        for row in matrix:
            for entry in row:
                assert entry.denominator & (entry.denominator - 1) == 0
                assert abs(entry.numerator) < 2**24


def test_a_wrong_point_is_noticed(monkeypatch):
    wrong = (*POINTS[:3], Fraction(4, 3), *POINTS[4:])
    transform = weight_transform()
    monkeypatch.setattr("trainloop.manual.conv.winograd.points.POINTS", wrong)
    d, matrices = inputs(6), transforms.__wrapped__(4)
    y = times(matrices.output, [a * b for a, b in zip(times(transform, W), times(matrices.input, d), strict=True)])
    assert y != [sum(W[k] * d[i + k] for k in range(TAPS)) for i in range(4)]
