"""What a convolution costs: multiplications with and without those on padding, parameters, and the memory of im2col."""

from __future__ import annotations

import math

from trainloop.explain_conv.axis import INPUT, Taps
from trainloop.explain_conv.explanation import Cost
from trainloop.explain_conv.problem import Problem

FLOAT_BYTES = 4


def explain_cost(problem: Problem, taps: tuple[Taps, Taps]) -> Cost:
    """Return the cost of one image.

    Args:
        problem: what is explained.
        taps: of H and of W.
    """
    inputs, outputs, kernel = map(math.prod, (problem.input_sizes, problem.output_sizes, problem.kernel_size))
    weights = math.prod(problem.weight_shape)
    pairs = weights // kernel
    on_elements = math.prod(sum(tap.kind == INPUT for row in axis for tap in row) for axis in taps)
    first = problem.out_channels if problem.transposed else problem.in_channels
    columns = (first // problem.groups * kernel, inputs if problem.transposed else outputs)
    products = pairs * kernel * (inputs if problem.transposed else outputs)
    return Cost(
        products=products,
        useful=pairs * on_elements,
        zero_insert_products=pairs * kernel * outputs if problem.transposed else 0,
        weights=weights,
        biases=problem.out_channels if problem.bias else 0,
        columns=columns,
        columns_bytes=FLOAT_BYTES * problem.groups * math.prod(columns),
        input_bytes=FLOAT_BYTES * problem.in_channels * inputs,
        output_bytes=FLOAT_BYTES * problem.out_channels * outputs,
        kind=_kind(problem),
        dense_products=products * problem.groups,
    )


def _kind(problem: Problem) -> str:
    if problem.groups == 1:
        return "dense"
    return "depthwise" if problem.groups == problem.in_channels else "grouped"
