"""The generated lines compute the matrix product; they are read as Python, which they nearly are."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest

from trainloop.manual.conv.winograd.points import SUBSETS, transforms, transposed, weight_transform
from trainloop.manual.conv.winograd.straight_line import cpp_function

MATRICES = {
    **{f"input {size}": transforms(size).input for size in SUBSETS},
    **{f"output {size}": transforms(size).output for size in SUBSETS},
    **{f"grad {size}": transposed(transforms(size).output) for size in SUBSETS},
    "weight": weight_transform(),
    "taps": transposed(weight_transform()),
}


def run(text, x, num_results):
    body = text[text.index("{") + 1 : text.rindex("}")].replace("const V ", "").replace("\n", " ")
    names = {"x": x, "y": [None] * num_results}
    for statement in re.sub(r"(\d)f\b", r"\1", body).split(";"):
        for assignment in statement.split(", "):
            if assignment.strip():
                exec(assignment.strip(), names)  # noqa: S102
    return names["y"]


@pytest.mark.parametrize("name", MATRICES)
def test_the_lines_compute_the_product(name):
    matrix = MATRICES[name]
    x = [1.0 / (3 + i) - 0.2 * i for i in range(len(matrix[0]))]
    found = run(cpp_function("f", matrix), x, len(matrix))
    wanted = [sum(float(a) * b for a, b in zip(row, x, strict=True)) for row in matrix]
    assert found == pytest.approx(wanted, rel=1e-14, abs=1e-14)


def test_mirrored_rows_share_their_sums():
    text = cpp_function("f", MATRICES["input 4"])
    assert text.count("even") == 6
    assert text.count(" * ") == 10


def test_ones_and_zeros_cost_nothing():
    assert cpp_function("f", ((Fraction(1), Fraction(0)), (Fraction(-1), Fraction(2)))) == (
        "template <class V> inline void f(const V* x, V* y) {\n  y[0] = x[0];\n  y[1] = -x[0] + 2.0f * x[1];\n}\n"
    )
