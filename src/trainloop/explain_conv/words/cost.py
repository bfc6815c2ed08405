"""What is said of the cost."""

from __future__ import annotations

from trainloop.explain_conv.explanation import Explanation
from trainloop.explain_conv.words.names import times
from trainloop.report.format import count
from trainloop.report.format import size as bytes_text


def cost_facts(explanation: Explanation) -> dict[str, str]:
    """Return what it costs, in a text for each name."""
    problem, cost = explanation.problem, explanation.cost
    wasted = cost.products - cost.useful
    where = "are cut off again" if problem.transposed else "are with padding"
    products = f"{count(cost.products)}" + (
        f", of which {count(wasted)} {where} ({count(cost.useful)} without them)" if wasted else ""
    )
    facts = {"products": products}
    if problem.transposed:
        facts["zero_insert"] = (
            f"{count(cost.zero_insert_products)} products if the spread input is convolved, "
            f"{count(cost.zero_insert_products - cost.useful)} of them with a zero"
        )
    biases = f" + {count(cost.biases)} biases" if cost.biases > 1 else " + 1 bias" if cost.biases else ""
    weights = f"{count(cost.weights)} weight{'s' if cost.weights > 1 else ''}"
    facts["parameters"] = f"{count(cost.weights + cost.biases)}: {weights}{biases}"
    rows, columns = cost.columns
    groups = f", {problem.groups} times" if problem.groups > 1 else ""
    facts["im2col"] = (
        f"{count(rows)} × {count(columns)} numbers{groups}: {bytes_text(cost.columns_bytes)} in float32, beside "
        f"{bytes_text(cost.input_bytes)} of input and {bytes_text(cost.output_bytes)} of output"
    )
    if cost.kind != "dense":
        facts["groups"] = (
            f"{cost.kind}, {problem.groups} groups: 1/{problem.groups} of the {count(cost.dense_products)} products that it "
            "would take without"
        )
    if max(problem.dilation) > 1:
        reach = [d * (k - 1) + 1 for k, d in zip(problem.kernel_size, problem.dilation, strict=True)]
        own = problem.own(tuple(reach))
        facts["dilation"] = f"a window of {times(own)} at the cost of {times(problem.own(problem.kernel_size))} taps"
    return facts
