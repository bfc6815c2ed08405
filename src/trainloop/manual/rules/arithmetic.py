"""Arithmetic with broadcasting; the tape sums each gradient over the dimensions along which its input was broadcast.

Legend: a, b inputs, y output, g grad_output.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Form, Needs, Rule, Saved


def add(input: Tensor, other: Tensor | float, *, alpha: float = 1, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = a + alpha · b; saves alpha."""
    function = Tensor.add_ if inplace else torch.add
    return function(input, other, alpha=alpha), (alpha,)


def add_vjp(grad_output: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """grad_a = g, grad_b = alpha · g."""
    return grad_output, grad_output if alpha == 1 else grad_output * alpha


def mul(input: Tensor, other: Tensor | float, *, needs: Needs) -> tuple[Tensor, Saved]:
    """y = a · b; saves each factor if the other needs a gradient."""
    return torch.mul(input, other), (other if needs[0] else None, input if needs[1] else None)


def mul_vjp(grad_output: Tensor, other: Tensor | None, input: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """grad_a = g · b, grad_b = g · a."""
    return (
        None if other is None else grad_output * other,
        None if input is None else grad_output * input,
    )


def clone(input: Tensor, *, memory_format: torch.memory_format = torch.preserve_format) -> tuple[Tensor, Saved]:
    """y = x, in memory of its own; saves nothing."""
    return input.clone(memory_format=memory_format), ()


def clone_vjp(grad_output: Tensor) -> Tensor:
    """grad_input = g."""
    return grad_output


ARITHMETIC: dict[str, Rule] = {
    "add": Rule(
        "add",
        functions=(torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__),
        inplace=(Tensor.add_, Tensor.__iadd__),
        wrt=("input", "other"),
        forms={"formula": Form(add, add_vjp, exact=True)},
        examples=(call(T(2, 3, 4), T(2, 3, 4)), call(T(2, 3, 4), T(3, 1)), call(T(2, 3), 0.5)),
        also={torch.add: (call(T(2, 3), T(3), alpha=-0.3), call(T(3), T(2, 3)))},
    ),
    "mul": Rule(
        "mul",
        functions=(torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__),
        inplace=(Tensor.mul_, Tensor.__imul__),
        wrt=("input", "other"),
        forms={"formula": Form(mul, mul_vjp, exact=True)},
        examples=(call(T(2, 3, 4), T(2, 3, 4)), call(T(2, 3, 4), T(3, 1)), call(T(2, 3), 0.5)),
    ),
    "clone": Rule(
        "clone",
        functions=(torch.clone, Tensor.clone),
        forms={"formula": Form(clone, clone_vjp, exact=True)},
        examples=(call(T(2, 3, 4)),),
    ),
}
