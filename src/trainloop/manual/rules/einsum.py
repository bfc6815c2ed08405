"""Einstein summation: products of any tensors over named dimensions, carried out as torch does, by products of matrices.

    einsum("bik, bkj -> bij", A, B):   Y[b, i, j] = Σ_k A[b, i, k] · B[b, k, j]

Every operand is first laid out alike: the output's labels in its order, then the summed ones by alphabet, with size 1 where it
lacks a label. Two operands at a time are then one batch of matrix products: what both have is the batch, what one has are
rows or columns, what is summed is the inner size.

Three operands or more are taken from left to right. Where the package opt_einsum is installed torch asks it for a shorter way,
and rounds otherwise.

Source: Einstein 1916, "Die Grundlage der allgemeinen Relativitätstheorie", § 5; aten/src/ATen/native/Linear.cpp.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Composite

ELLIPSIS = "."
"""Stands, in a list of labels, with a number behind it for one of the dimensions that ``...`` covers."""


def einsum(equation: str, *operands: Tensor | Sequence[Tensor]) -> Tensor:
    """Compute a sum of products over named dimensions.

    Args:
        equation: the labels of each operand's dimensions, and those of the output: ``"ij, jk -> ik"``. Without an arrow the
            output has the labels that stand once, by alphabet. ``...`` covers dimensions without a name.
        operands: tensors, or one list of them.

    Returns:
        The sum, with the dimensions that the output names.

    Raises:
        ValueError: the equation does not fit the operands.
    """
    tensors = [tensor for operand in operands for tensor in ([operand] if isinstance(operand, Tensor) else operand)]
    inputs, output = parsed(equation, tensors)
    labels = [*output, *sorted({label for term in inputs for label in term} - set(output), key=_alphabet)]
    aligned = [align(tensor, term, labels) for tensor, term in zip(tensors, inputs, strict=True)]
    _check_sizes(equation, aligned, labels)
    if len(aligned) == 1:
        summed = list(range(len(output), len(labels)))
        return aligned[0].sum(summed) if summed else aligned[0]
    return contract(aligned, len(output))


def parsed(equation: str, operands: Sequence[Tensor]) -> tuple[list[list[str]], list[str]]:
    """Return the labels of each operand and of the output, ``...`` spelled out.

    Raises:
        ValueError: another number of operands or of dimensions, or an output label that no operand has, or has twice.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ValueError(f"equation {equation!r} names {len(terms)} operands, found {len(operands)}")
    covered = [
        operand.dim() - len(term.replace("...", "")) if "..." in term else 0
        for term, operand in zip(terms, operands, strict=True)
    ]
    inputs = [_spelled(term, count) for term, count in zip(terms, covered, strict=True)]
    for term, operand in zip(inputs, operands, strict=True):
        if len(term) != operand.dim():
            raise ValueError(f"equation {equation!r} does not fit an operand of shape {tuple(operand.shape)}")
    if arrow:
        output = _spelled(right, max(covered))
    else:
        counts = Counter(label for term in inputs for label in term)
        output = _spelled("...", max(covered)) + sorted(
            label for label in counts if label.isalpha() and counts[label] == 1
        )
    known = {label for term in inputs for label in term}
    if wrong := [label for label in output if label not in known or output.count(label) > 1]:
        raise ValueError(
            f"equation {equation!r}: label {wrong[0]} of the output stands in no operand, or twice in the output"
        )
    return inputs, output


def align(operand: Tensor, term: Sequence[str], labels: Sequence[str]) -> Tensor:
    """Return the operand with one dimension for each of ``labels``, in their order; a label that stands twice is a diagonal."""
    own: list[str] = []
    for label in term:
        if label in own:
            first = own.index(label)
            operand = operand.diagonal(0, first, len(own)).movedim(-1, first)
        else:
            own.append(label)
    for label in labels:
        if label not in own:
            own.append(label)
            operand = operand.unsqueeze(-1)
    return operand.permute([own.index(label) for label in labels])


def contract(operands: Sequence[Tensor], num_kept: int) -> Tensor:
    """Multiply from left to right; each dimension after the first ``num_kept`` is summed once only two operands have it."""
    num_dims = operands[0].dim()
    holders = [sum(operand.shape[dim] != 1 for operand in operands) for dim in range(num_dims)]
    product = operands[0]
    for operand in operands[1:]:
        both: list[int] = []
        alone: tuple[list[int], list[int]] = ([], [])
        for dim in range(num_kept, num_dims):
            wide = product.shape[dim] != 1, operand.shape[dim] != 1
            holders[dim] -= all(wide)
            if holders[dim] == 1 and any(wide):
                (both if all(wide) else alone[wide.index(True)]).append(dim)
                holders[dim] = 0
        pair = [x.sum(dims, True) if dims else x for x, dims in zip((product, operand), alone, strict=True)]
        product = multiply(pair[0], pair[1], both)
    return product.view(product.shape[:num_kept])


def multiply(left: Tensor, right: Tensor, summed: Sequence[int]) -> Tensor:
    """Return Σ left · right over the dimensions ``summed``, which keep size 1: one batch of matrix products.

    Args:
        left: any shape.
        right: as many dimensions, each of the same size or 1.
        summed: dimensions that both have.
    """
    if not summed:
        return left * right
    others = [dim for dim in range(left.dim()) if dim not in summed]
    batch = [dim for dim in others if left.shape[dim] != 1 and right.shape[dim] != 1]
    rows = [dim for dim in others if left.shape[dim] != 1 and dim not in batch]
    columns = [dim for dim in others if left.shape[dim] == 1]
    batch_size, inner = (math.prod(left.shape[dim] for dim in dims) for dims in (batch, summed))
    num_rows, num_columns = math.prod(left.shape[dim] for dim in rows), math.prod(right.shape[dim] for dim in columns)
    a = left.permute([*batch, *rows, *summed, *columns]).reshape(batch_size, num_rows, inner)
    b = right.permute([*batch, *summed, *columns, *rows]).reshape(batch_size, inner, num_columns)
    sizes = [left.shape[dim] for dim in (*batch, *rows)] + [1] * len(summed) + [right.shape[dim] for dim in columns]
    order = [*batch, *rows, *summed, *columns]
    return torch.bmm(a, b).view(sizes).permute([order.index(dim) for dim in range(left.dim())])


def _spelled(term: str, covered: int) -> list[str]:
    """Return the labels of a term, with ``...`` as so many labels, counted from the last."""
    before, _, after = term.partition("...")
    middle = [f"{ELLIPSIS}{index}" for index in range(covered, 0, -1)] if "..." in term else []
    wrong = [character for character in before + after if not (character.isascii() and character.isalpha())]
    if wrong:
        raise ValueError(f"label {wrong[0]!r} in {term!r} is none of a to z and A to Z")
    return [*before, *middle, *after]


def _alphabet(label: str) -> tuple[bool, int, str]:
    """Sort covered dimensions first, in their order, then capitals, then small letters."""
    covered = label.startswith(ELLIPSIS)
    return not covered, -int(label[1:]) if covered else 0, label


def _check_sizes(equation: str, operands: Sequence[Tensor], labels: Sequence[str]) -> None:
    for dim, label in enumerate(labels):
        sizes = {operand.shape[dim] for operand in operands} - {1}
        if len(sizes) > 1:
            raise ValueError(f"equation {equation!r}: label {label} has the sizes {sorted(sizes)}, expected one (or 1)")


EINSUM: dict[str, Composite] = {
    "einsum": Composite(
        "einsum",
        (torch.einsum,),
        einsum,
        (
            call("bik, bkj -> bij", T(2, 3, 4), T(2, 4, 5)),
            call("bhid, bhjd -> bhij", T(2, 2, 3, 4), T(2, 2, 5, 4)),
            call("bhid, bhjd -> bihj", T(2, 2, 3, 4), T(1, 2, 5, 4)),
            call("ij, jk", T(2, 3), T(3, 4)),
            call("ba, cb", T(2, 3), T(4, 2)),
            call("i, i", T(3), T(3)),
            call("i, j -> ji", T(3), T(2)),
            call("ij, ij -> i", T(2, 3), T(2, 3)),
            call("ijk, jk -> i", T(2, 3, 4), T(3, 4)),
            call("ijk, kj -> i", T(2, 3, 4), T(4, 3)),
            call("ij, k -> k", T(2, 3), T(4)),
            call("ij, jk, kl -> il", T(2, 3), T(3, 4), T(4, 2)),
            call("ij, ij, jk -> k", T(2, 3), T(2, 3), T(3, 4)),
            call("ij -> ji", T(2, 3)),
            call("ij ->", T(2, 3)),
            call("ij -> j", T(2, 3)),
            call("ii -> i", T(3, 3)),
            call("ii", T(3, 3)),
            call("iij, j -> i", T(3, 3, 2), T(2)),
            call("...ij, ...jk -> ...ik", T(2, 3, 4), T(4, 5)),
            call("i..., ...", T(2, 3, 4), T(4)),
            call("...a, a... -> ...", T(3, 2), T(2, 3)),
            call("ij, jk -> ik", [T(2, 3), T(3, 4)]),
            call(", i -> i", T(), T(3)),
            call("ij, jk -> ik", T(2, 0), T(0, 4)),
            call("bi, bj -> bij", T(2, 3), T(2, 4)),
        ),
    ),
}
