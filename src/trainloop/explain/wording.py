"""The facts of an explanation in words: pure functions, without layout or colour."""

from __future__ import annotations

from collections.abc import Sequence

from trainloop.explain.equation import number
from trainloop.explain.results import (
    AllCompared,
    Compared,
    Explanation,
    Link,
    NoneOrZero,
    Operation,
    Seen,
    Step,
    Subject,
    Use,
    Weight,
    WithoutGrad,
)

MAX_NAMES = 6
MAX_PERIOD = 4
MAX_DIGITS = 17


def weight_name(weight: Weight) -> str:
    """Return ``conv.weight[0, 2]``."""
    return weight.param + (f"[{', '.join(map(str, weight.index))}]" if weight.index else "")


def size(shape: Sequence[int]) -> str:
    """Return (2, 3) as ``2×3``, and () as ``one number``."""
    return "×".join(map(str, shape)) or "one number"


def maybe(value: float | None) -> str:
    """Return a number, or ``None``."""
    return "None" if value is None else number(value)


def change(before: float, after: float) -> str:
    """Return ``before → after`` in as many digits (six at least) as it takes to tell them apart."""
    digits = next((n for n in range(6, MAX_DIGITS) if f"{before:.{n}g}" != f"{after:.{n}g}"), 6)
    return f"{before:.{digits}g} → {after:.{digits}g}" if before != after else f"{number(before)} → {number(after)}"


def grad_changes(grads: Sequence[float | None]) -> str:
    """Return ``None → 2 → 3.5``."""
    return " → ".join(map(maybe, grads))


def head(subject: Subject) -> str:
    """Return what was run, in a line."""
    what = f"the built-in example {subject.name}" if subject.built_in else f"{subject.name} on {subject.data}"
    parts = f" in {subject.parts} parts" if subject.parts > 1 else ""
    return f"step {subject.step:,} of {what} · batch {size(subject.batch_shape)}{parts} · {subject.device}"


def optimizer_call(subject: Subject) -> str:
    """Return ``sgd(lr=0.1, momentum=0.9)``: the name, and the settings that are not switched off."""
    shown = {
        name: value for name, value in subject.hyper_parameters.items() if value and (name, value) != ("lr_scale", 1)
    }
    settings = ", ".join(f"{name}={_setting(shown[name])}" for name in sorted(shown, key=lambda name: name != "lr"))
    return f"{subject.optimizer}({settings})"


def _setting(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return f"({', '.join(map(_setting, value))})" if isinstance(value, tuple) else str(value)


def beside(compared: Compared) -> str:
    """Return what the built-in path has in this number's place."""
    if compared.same_bits:
        return "builtin: same bits"
    if compared.ulps is None:
        return f"builtin: {maybe(compared.builtin)}"
    return f"builtin: {compared.builtin:.9g}, {compared.ulps:,} ulp away"


def all_beside(compared: AllCompared, what: str) -> str:
    """Return how the tensors of both paths agree."""
    if compared.same_bits == compared.tensors:
        return f"all {compared.tensors} {what}: same bits as builtin"
    return (
        f"{compared.same_bits} of {compared.tensors} {what} have builtin's bits; largest difference "
        f"{compared.largest_difference:.2g} of the largest element"
    )


def seen_text(seen: Seen) -> str:
    """Return a gradient in passing: its numbers if they are few, else its norm."""
    if not seen.values:
        return f"norm {seen.norm:.4g}"
    values = ", ".join(f"{value:.4g}" for value in seen.values)
    return f"[{values}]" if seen.shape else values


def place(link: Link) -> str:
    """Return where the forward called a rule."""
    return link.module.replace("the model itself", "the model") or "the loss"


def uses_text(param: str, uses: Sequence[Use]) -> str:
    """Return how the gradient came to the parameter."""
    if not uses:
        return f"no gradient comes to {param}"
    if len(uses) == 1:
        ways = "" if uses[0].num_paths == 1 else f" (the shortest of {uses[0].num_paths:,} ways)"
        return f"from the loss back to {param}{ways}:"
    total = " + ".join(number(use.grad) for use in uses)
    return f"{param} is used {len(uses)} times in the forward, and the gradients add up: {total}"


def use_text(position: int, use: Use) -> str:
    """Return the heading of one use of several."""
    ways = "" if use.num_paths == 1 else f", the shortest of {use.num_paths:,} ways"
    return f"use {position}{ways}: {number(use.grad)}"


def without_grad_text(without: Sequence[WithoutGrad]) -> str:
    """Return which parameters have a grad of None, and why; empty when all have one."""
    groups = (
        ("frozen", [entry.param for entry in without if entry.frozen]),
        ("the loss does not depend on it", [entry.param for entry in without if not entry.frozen]),
    )
    return "; ".join(f"{_names(names)} ({reason})" for reason, names in groups if names)


def _names(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def sync_text(explanation: Explanation) -> str:
    """Return what clipping did."""
    sync = explanation.sync
    if not sync.clips:
        return "nothing to do: no clipping"
    if sync.grad_before is None or sync.grad_after is None:
        return "gradients are clipped, and this one is None"
    if sync.grad_before == sync.grad_after:
        return f"clipping leaves grad at {number(sync.grad_after)}"
    return f"clipping: grad {change(sync.grad_before, sync.grad_after)}"


def passed_over_text(explanation: Explanation) -> str:
    """Return why the optimizer did not touch the weight."""
    if not explanation.weight.requires_grad:
        return "the parameter is frozen (requires_grad=False): the optimizer has never heard of it"
    return "grad is None: the optimizer passes the parameter over, and its state stays as it is"


def folded(operations: Sequence[Operation]) -> list[tuple[Sequence[Operation], int]]:
    """Return the operations as blocks and how often each repeats: the rounds of an iteration become one block."""
    blocks: list[tuple[Sequence[Operation], int]] = []
    at = 0
    while at < len(operations):
        period, times = max(((p, _rounds(operations, at, p)) for p in range(1, MAX_PERIOD + 1)), key=lambda x: x[1])
        blocks.append((operations[at : at + period], times))
        at += period * times
    return blocks


def _rounds(operations: Sequence[Operation], at: int, period: int) -> int:
    """Return how often the lines from ``at`` repeat with this period; what has numbers is never folded."""
    lines = [(op.name, op.symbols) if op.numbers is None else (index, "") for index, op in enumerate(operations)]
    block, times = lines[at : at + period], 1
    while len(block) == period and lines[at + times * period : at + (times + 1) * period] == block:
        times += 1
    return times


def scalars_text(step: Step) -> str:
    """Return the numbers that the update was given, and what they are."""
    if set(step.scalars) == {"lr"}:
        return f"lr {number(step.scalars['lr'])}"
    numbers = ", ".join(f"{name} {number(value)}" for name, value in step.scalars.items())
    return f"{numbers}   ({step.scalars_formula})" if step.scalars_formula else numbers


def operation_lines(operation: Operation) -> tuple[str, ...]:
    """Return the right sides of an equation: in names, then in numbers with the result."""
    kept = f"   (kept as {operation.kept_as})" if operation.kept_as else ""
    if operation.numbers is None or operation.value is None:
        return (f"{operation.symbols}   {size(operation.shape)}{kept}",)
    value = number(operation.value)
    numbers = "" if operation.numbers == value else f"{operation.numbers} = "
    return (operation.symbols, f"{numbers}{value}{kept}")


def why_zero_moves(explanation: Explanation) -> str:
    """Return what a step with a zero gradient does."""
    facts: NoneOrZero = explanation.none_or_zero
    if not facts.updated:
        return "frozen: whatever its grad, the optimizer does not have it"
    if facts.after_none == facts.after_zero:
        return "updated, but nothing comes of it here"
    decays = ["weight_decay"] if explanation.subject.hyper_parameters.get("weight_decay") else []
    causes = ", ".join([*facts.state, *decays])
    return "updated all the same" + (f" ({causes})" if causes else "")
