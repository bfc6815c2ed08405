"""The matrices of Winograd's convolution, derived in exact fractions from the points at which polynomials are evaluated.

A convolution with r taps is a product of polynomials. Toom and Cook evaluate both factors at some points, multiply there, and
interpolate; Winograd's F(m, r), m outputs of r taps from m + r − 1 products, is the transpose of that:

    y = Aᵀ [(G w) ⊙ (Bᵀ d)]         d: m + r − 1 inputs, w: r taps, y: m outputs
    Aᵀ[i, j] = a_jⁱ                  1 at i = m − 1 for the point ∞, else 0
    G[j, k]  = a_jᵏ / N_j            N_j = Π_(l ≠ j) (a_j − a_l) over the finite points; [0, …, 0, 1] for ∞
    Bᵀ[j]    = coefficients of Π_(l ≠ j) (x − a_l);      those of Π_l (x − a_l) for ∞

**Nested points.** A map of 15 wants tiles of 4 + 4 + 4 + 3, of 7 wants 4 + 3: less is wasted. Here F(3, 3) and F(2, 3) use a
subset of the points of F(4, 3), and all three the same G, whose N_j are those of F(4, 3): what a smaller set of points
lacks in N_j its Bᵀ is multiplied by. So one transformed weight serves the tiles of every size, products at one point are one
matrix product for all of them, and so is the sum of a weight's gradient.

**Which points.** 0, ±5/8, ±3/2, ∞: about half the error of the textbook's 0, ±1, ±2, ∞, because the powers of 5/8 and 3/2 stay
near 1 (Barabasz et al. 2020 search such points). All constants of A and B are sums of powers of two, exact in float32; only
the 1 / N_j of G are rounded. Of the subsets, these have the least error.

Source: Winograd 1980, "Arithmetic complexity of computations"; Lavin & Gray 2016, arXiv:1509.09308; Barabasz, Anderson,
Soodhalter & Gregg 2020, "Error analysis and improving the accuracy of Winograd convolution for deep neural networks", ACM
TOMS 46(4).
"""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import NamedTuple

Row = tuple[Fraction, ...]
Matrix = tuple[Row, ...]

POINTS: tuple[Fraction | None, ...] = (
    *(Fraction(0), Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2)),
    None,
)
"""of F(4, 3); None is ∞"""
TAPS = 3
SUBSETS: dict[int, tuple[int, ...]] = {2: (0, 3, 4, 5), 3: (1, 2, 3, 4, 5), 4: (0, 1, 2, 3, 4, 5)}
"""m → which of ``POINTS`` F(m, 3) uses"""


class Transforms(NamedTuple):
    """The matrices of F(m, 3), all exact.

    Args:
        input: Bᵀ, one row for each point of ``SUBSETS[m]``, m + 2 columns.
        output: Aᵀ, m rows, one column for each point.
    """

    input: Matrix
    output: Matrix


@functools.cache
def weight_transform() -> Matrix:
    """Return G, one row for each point, 3 columns; the same for every m."""
    rows = []
    for point in POINTS:
        if point is None:
            rows.append((Fraction(0),) * (TAPS - 1) + (Fraction(1),))
        else:
            divisor = _product(point, POINTS)
            rows.append(tuple(point**tap / divisor for tap in range(TAPS)))
    return tuple(rows)


@functools.cache
def transforms(m: int) -> Transforms:
    """Return Bᵀ and Aᵀ of F(m, 3) for the points of ``SUBSETS[m]``, m one of its keys."""
    chosen = tuple(POINTS[index] for index in SUBSETS[m])
    inputs = []
    for point in chosen:
        others = [other for other in chosen if other is not None and other != point]
        coefficients = _polynomial(others)
        if point is not None:
            missing = _product(point, POINTS) / _product(point, chosen)
            coefficients = [missing * coefficient for coefficient in coefficients]
        inputs.append(tuple(coefficients + [Fraction(0)] * (m + TAPS - 1 - len(coefficients))))
    outputs = tuple(
        tuple(Fraction(power == m - 1) if point is None else point**power for point in chosen) for power in range(m)
    )
    return Transforms(tuple(inputs), outputs)


def transposed(matrix: Matrix) -> Matrix:
    """Return the transpose."""
    return tuple(zip(*matrix, strict=True))


def _product(point: Fraction, points: tuple[Fraction | None, ...]) -> Fraction:
    """Return N: the product of the distances from a finite point to the other finite ones."""
    product = Fraction(1)
    for other in points:
        if other is not None and other != point:
            product *= point - other
    return product


def _polynomial(roots: list[Fraction]) -> list[Fraction]:
    """Return the coefficients of Π (x − root), of the lowest power first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients
