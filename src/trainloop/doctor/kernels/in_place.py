"""The in-place operations that updates are made of, each alone, on every layout, against exact numbers.

An update writes into parameters and state however they lie in memory. A device that writes nothing, or into the wrong elements,
where that memory has gaps or another order, trains badly without a complaint. So the whole memory is compared, with its gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainloop.doctor.answer import Answer, Numbers, whole_numbers
from trainloop.doctor.layouts import CONTIGUOUS, LAYOUTS, Layout
from trainloop.doctor.whole_numbers import some_numbers

SHAPE = (3, 5, 4, 7)
"""no two sizes alike, so that no two layouts are, and an odd number of elements in all"""


@dataclass(frozen=True)
class Operation:
    """One operation.

    Args:
        run: changes its first operand, with the help of the others.
        right: the same in NumPy, as a new array.
    """

    run: Callable[[Tensor, Tensor, Tensor], object]
    right: Callable[[Numbers, Numbers, Numbers], Numbers]


OPERATIONS = {
    "copy_": Operation(lambda t, a, _b: t.copy_(a), lambda _t, a, _b: a),
    "mul_": Operation(lambda t, _a, _b: t.mul_(0.5), lambda t, _a, _b: t * 0.5),
    "div_": Operation(lambda t, _a, b: t.div_(b), lambda t, _a, b: t / b),
    "add_": Operation(lambda t, a, _b: t.add_(a, alpha=-0.5), lambda t, a, _b: t - 0.5 * a),
    "sqrt_": Operation(lambda t, _a, _b: t.mul_(t).sqrt_(), lambda t, _a, _b: np.abs(t)),
    "lerp_": Operation(lambda t, a, _b: t.lerp_(a, 0.25), lambda t, a, _b: t + 0.25 * (a - t)),
    "addcmul_": Operation(lambda t, a, b: t.addcmul_(a, b, value=0.5), lambda t, a, b: t + 0.5 * a * b),
    "addcdiv_": Operation(lambda t, a, b: t.addcdiv_(a, b, value=-0.5), lambda t, a, b: t - 0.5 * a / b),
}
"""every number that occurs has few bits, and divisors are powers of two, so that float32 rounds nothing"""


def in_place(device: torch.device) -> Iterator[Answer]:
    """Yield what the device makes of in-place operations, on operands that lie alike and on contiguous ones."""
    for name, operation in OPERATIONS.items():
        for layout in LAYOUTS:
            for other in dict.fromkeys((layout, CONTIGUOUS)):
                yield _answer(name, operation, layout, other, device)


def _answer(name: str, operation: Operation, layout: Layout, other: Layout, device: torch.device) -> Answer:
    target, first = some_numbers(SHAPE, 41), some_numbers(SHAPE, 42)
    second = 2.0 ** some_numbers(SHAPE, 43)
    memory, tensor = layout.place(target, device)
    operation.run(tensor, other.place(first, device)[1], other.place(second, device)[1])
    right = operation.right(target, first, second)
    beside = "" if other is layout else f" with {other.name} operands"
    return Answer(f"{name} on {layout.name}{beside}", memory, layout.memory(right), whole_numbers(device))
