"""How far two computations of the same thing may differ: the one table of tolerances, each with its reason.

Errors are measured against the largest absolute value of the reference tensor, not element by element: where terms cancel, an
element may be all rounding error, and is still as right as its neighbours.

    largest |candidate − reference|  ≤  atol + rtol · largest |reference|
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """What may differ, and why.

    Args:
        rtol: factor on the largest absolute value of the reference.
        atol: floor, for references that are zero.
        reason: where the difference comes from.
    """

    rtol: float
    atol: float
    reason: str

    def bound(self, scale: float) -> float:
        """Return the largest allowed difference to a reference whose largest absolute value is ``scale``."""
        return self.atol + self.rtol * scale


TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("float32", "output"): Tolerance(
        2e-6, 1e-7, "sums of a few hundred products in another order: some 16 roundings of 2⁻²⁴"
    ),
    ("float64", "output"): Tolerance(4e-15, 1e-16, "the same in roundings of 2⁻⁵³"),
    ("float32", "gradient"): Tolerance(
        1e-5, 1e-7, "a gradient is made of outputs and sums them again, over the batch: some 80 roundings of 2⁻²⁴"
    ),
    ("float64", "gradient"): Tolerance(2e-14, 1e-16, "the same in roundings of 2⁻⁵³"),
    ("float32", "model gradient"): Tolerance(
        1e-3, 1e-6, "a whole network multiplies the roundings of each layer by the condition of the layers after it"
    ),
    ("float32", "state"): Tolerance(1e-5, 1e-7, "optimizer state is a running sum of gradients"),
    ("float64", "state"): Tolerance(2e-14, 1e-16, "the same in roundings of 2⁻⁵³"),
    ("float32", "orthogonal"): Tolerance(
        3e-5, 1e-7, "five rounds of Muon's quintic stretch what is near 0 by 3.4445⁵ ≈ 485, its roundings of 2⁻²⁴ too"
    ),
    ("float64", "orthogonal"): Tolerance(6e-14, 1e-16, "the same in roundings of 2⁻⁵³"),
    ("float32", "convolution"): Tolerance(
        5e-6,
        0.0,
        "relative, in the 2-norm: 8,000 products added one by one make √n / 2 roundings of 2⁻²⁴; most add better",
    ),
    ("float64", "convolution"): Tolerance(1e-14, 0.0, "the same in roundings of 2⁻⁵³"),
    ("float16", "convolution"): Tolerance(
        4e-3, 0.0, "the result's own rounding of 2⁻¹¹, and a few of parts of it that are added up in this type"
    ),
    ("bfloat16", "convolution"): Tolerance(3e-2, 0.0, "the same in roundings of 2⁻⁸"),
    ("float32", "winograd"): Tolerance(
        2e-5,
        0.0,
        "oneDNN's own bound: transforms enlarge the rounding of what they pass on; two to four times in good points",
    ),
    ("float64", "winograd"): Tolerance(4e-14, 0.0, "the same in roundings of 2⁻⁵³"),
    ("float16", "winograd"): Tolerance(3e-2, 0.0, "the transforms' factor on the line for convolution"),
    ("bfloat16", "winograd"): Tolerance(3e-1, 0.0, "the same; all but half a digit is lost"),
    ("float32", "timed convolution"): Tolerance(
        2e-5,
        0.0,
        "whatever the algorithm: the bound that oneDNN's own benchmark had for Winograd, its most inaccurate one",
    ),
    ("float64", "timed convolution"): Tolerance(4e-14, 0.0, "the same in roundings of 2⁻⁵³"),
    ("float16", "timed convolution"): Tolerance(
        8e-3, 0.0, "twice the line for convolution: operands are scaled before"
    ),
    ("bfloat16", "timed convolution"): Tolerance(6e-2, 0.0, "the same in roundings of 2⁻⁸"),
    ("float32", "whole numbers"): Tolerance(
        0.0, 0.0, "sums of products of small whole numbers stay below 2²⁴, where float32 has every whole number"
    ),
    ("float64", "difference"): Tolerance(
        1e-6, 1e-8, "a central difference with step 1e-6 is right to the square of the step plus 2⁻⁵³ / step"
    ),
}


ROUNDING_FACTOR = 4.0
"""``compare``: how many times as large as the floor a difference may be and still be rounding. Two computations of one
formula err in either direction, which makes 2; the largest of many errors is an extreme that varies by as much again."""

FORMULA_SHRINK = 2.0**-16
"""``compare``: rounding shrinks by 2⁻²⁹ from float32 to float64, another formula does not shrink at all; what shrinks by more
than this, about half way between the two on a logarithmic scale, is rounding."""

OTHER_KERNEL_FACTOR = 128.0
"""``compare``: a kernel that computes in float64 by another one (compiled for float32 alone) is acquitted by what that one does
only up to so many times the floor, or what its error in float64 lets expect. Winograd in float32 comes to 20 floors; operands
rounded to float16 to 1,000, and a wrong tap to a million."""

CONVOLUTION_LARGEST_FACTOR = 4.0
"""``benchmark-conv --check``: how many times as large as an error in the 2-norm that of the worst element may be, relative to
the largest element: among thousands, one errs by four standard deviations."""

ACCURACY_FACTOR = 2.0
"""``compare``: how many times as large as the other's an error must be to be worth a word."""


def tolerance(dtype: str, quantity: str) -> Tolerance:
    """Return the tolerance for a quantity (output, gradient, state, …) computed in ``dtype``.

    Raises:
        KeyError: the table has no such line.
    """
    return TOLERANCES[dtype, quantity]
