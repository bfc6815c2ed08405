"""Write the product with a small constant matrix as straight-line C++, with the sums that mirrored rows or columns share.

The points come in pairs ±a. In Bᵀ, A and G the two *rows* of a pair are equal in every other column and opposite in the
rest, so both are an even part plus or minus an odd part; in Aᵀ, Bᵀ's transpose and Gᵀ the same holds of *columns*, so sum
and difference of a pair of inputs are made once. Coefficients of 0 and ±1 cost nothing. F(4, 3) so takes 22 multiply-adds
for Bᵀ instead of 36.
"""

from __future__ import annotations

from fractions import Fraction

from trainloop.manual.conv.winograd.points import Matrix, Row, transposed


def cpp_function(name: str, matrix: Matrix) -> str:
    """Return ``template <class V> void name(const V* x, V* y)``, which sets y to matrix · x.

    Args:
        name: of the function.
        matrix: one row for each result, one column for each input.
    """
    paired_columns = _pairs(transposed(matrix))
    body = _by_columns(matrix, paired_columns) if paired_columns else _by_rows(matrix, _pairs(matrix))
    lines = "\n".join(f"  {line}" for line in body)
    return f"template <class V> inline void {name}(const V* x, V* y) {{\n{lines}\n}}\n"


def _pairs(rows: Matrix) -> list[tuple[int, int]]:
    """Return the pairs of rows that are equal or opposite in each column, and both somewhere."""
    found = []
    for one, row in enumerate(rows):
        for two in range(one + 1, len(rows)):
            signs = {(a > 0) == (b > 0) for a, b in zip(row, rows[two], strict=True) if a}
            if [abs(a) for a in row] == [abs(b) for b in rows[two]] and signs == {True, False}:
                found.append((one, two))
    return found


def _by_rows(matrix: Matrix, pairs: list[tuple[int, int]]) -> list[str]:
    lines = []
    for number, (one, two) in enumerate(pairs):
        row, mirrored = matrix[one], matrix[two]
        even = tuple(a if a == b else Fraction(0) for a, b in zip(row, mirrored, strict=True))
        odd = tuple(a if a != b else Fraction(0) for a, b in zip(row, mirrored, strict=True))
        lines += [
            f"const V even{number} = {_sum(even, _inputs(even))};",
            f"const V odd{number} = {_sum(odd, _inputs(odd))};",
        ]
        lines += [f"y[{one}] = even{number} + odd{number};", f"y[{two}] = even{number} - odd{number};"]
    in_pairs = {index for pair in pairs for index in pair}
    lines += [f"y[{i}] = {_sum(row, _inputs(row))};" for i, row in enumerate(matrix) if i not in in_pairs]
    return lines


def _by_columns(matrix: Matrix, pairs: list[tuple[int, int]]) -> list[str]:
    lines = []
    for number, (one, two) in enumerate(pairs):
        lines.append(f"const V sum{number} = x[{one}] + x[{two}], difference{number} = x[{one}] - x[{two}];")
    in_pairs = {index for pair in pairs for index in pair}
    for i, row in enumerate(matrix):
        coefficients, names = [], []
        for number, (one, two) in enumerate(pairs):
            coefficients.append(row[one])
            names.append(f"{'sum' if row[one] == row[two] else 'difference'}{number}")
        for index in range(len(row)):
            if index not in in_pairs:
                coefficients.append(row[index])
                names.append(f"x[{index}]")
        lines.append(f"y[{i}] = {_sum(tuple(coefficients), names)};")
    return lines


def _inputs(row: Row) -> list[str]:
    return [f"x[{index}]" for index in range(len(row))]


def _sum(coefficients: Row, names: list[str]) -> str:
    """Return Σ coefficient · name without zeros; the plain terms first, so that the rest are fused multiply-adds."""
    terms = [(c, name) for c, name in zip(coefficients, names, strict=True) if c]
    terms.sort(key=lambda term: abs(term[0]) != 1)
    text = ""
    for coefficient, name in terms:
        factor = "" if abs(coefficient) == 1 else f"{float(abs(coefficient))!r}f * "
        sign = ("-" if coefficient < 0 else "") if not text else (" - " if coefficient < 0 else " + ")
        text += f"{sign}{factor}{name}"
    return text
