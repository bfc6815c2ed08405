"""Arithmetic with broadcasting; the tape sums each gradient over the dimensions along which its input was broadcast.

Either operand can be a number; it receives no gradient. Each vjp has the operations, and their order, of torch's own.

Legend: a, b inputs, y output, g grad_output.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Composite, Form, Needs, Rule, Saved
from trainloop.manual.rules.saving import before

Pair = tuple[Tensor | None, Tensor | None]


def add(input: Tensor, other: Tensor | float, *, alpha: float = 1, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = a + alpha · b; saves alpha."""
    function = Tensor.add_ if inplace else torch.add
    return function(input, other, alpha=alpha), (alpha,)


def add_vjp(grad_output: Tensor, alpha: float) -> Pair:
    """grad_a = g, grad_b = alpha · g."""
    return grad_output, grad_output if alpha == 1 else grad_output * alpha


def sub(input: Tensor, other: Tensor | float, *, alpha: float = 1, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = a − alpha · b; saves alpha."""
    function = Tensor.sub_ if inplace else torch.sub
    return function(input, other, alpha=alpha), (alpha,)


def sub_vjp(grad_output: Tensor, alpha: float, *, needs: Needs) -> Pair:
    """grad_a = g, grad_b = −g · alpha."""
    if not needs[1]:
        return grad_output, None
    return grad_output, -grad_output if alpha == 1 else -grad_output * alpha


def rsub(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> tuple[Tensor, Saved]:
    """y = b − alpha · a; saves alpha."""
    return torch.rsub(input, other, alpha=alpha), (alpha,)


def rsub_vjp(grad_output: Tensor, alpha: float, *, needs: Needs) -> Pair:
    """grad_a = −g · alpha, grad_b = g."""
    grad_other, grad_input = sub_vjp(grad_output, alpha, needs=needs[::-1])
    return grad_input, grad_other


def mul(input: Tensor, other: Tensor | float, *, needs: Needs, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = a · b; saves each factor if the other needs a gradient."""
    saved = (other if needs[0] else None, before(input, inplace) if needs[1] else None)
    function = Tensor.mul_ if inplace else torch.mul
    return function(input, other), saved


def mul_vjp(grad_output: Tensor, other: Tensor | float | None, input: Tensor | None) -> Pair:
    """grad_a = g · b, grad_b = g · a."""
    return (
        None if other is None else grad_output * other,
        None if input is None else grad_output * input,
    )


def div(
    input: Tensor,
    other: Tensor | float,
    *,
    rounding_mode: str | None = None,
    needs: Needs,
    inplace: bool = False,
) -> tuple[Tensor, Saved]:
    """y = a / b, rounded to an integer if there is a rounding_mode; saves b, and a if b needs a gradient."""
    kept = before(input, inplace) if needs[1] else None
    function = Tensor.div_ if inplace else torch.div
    return function(input, other, rounding_mode=rounding_mode), (kept, other, rounding_mode is not None)


def div_vjp(grad_output: Tensor, input: Tensor | None, other: Tensor | float, rounded: bool, *, needs: Needs) -> Pair:
    """grad_a = g / b, grad_b = −g · a / b²; both 0 where y is a step function."""
    if rounded:
        return torch.zeros_like(grad_output), torch.zeros_like(grad_output) if needs[1] else None
    return (
        grad_output / other if needs[0] else None,
        None if input is None else -grad_output * ((input / other) / other),
    )


def reversed_div(input: Tensor, other: float) -> Tensor:
    """y = other / x, as torch computes it: the reciprocal first, and a second rounding in the product."""
    return input.reciprocal() * other


def neg(input: Tensor) -> tuple[Tensor, Saved]:
    """y = −x; saves nothing."""
    return torch.neg(input), ()


def neg_vjp(grad_output: Tensor) -> Tensor:
    """grad_input = −g."""
    return grad_output.neg()


def power(
    input: Tensor | float, exponent: Tensor | float, *, needs: Needs, inplace: bool = False
) -> tuple[Tensor, Saved]:
    """y = aᵇ; saves a and b, and y if b needs a gradient."""
    base = before(input, inplace) if isinstance(input, Tensor) else input
    function = Tensor.pow_ if inplace else torch.pow
    output: Tensor = function(input, exponent)  # type: ignore[arg-type]
    return output, (base, exponent, output if needs[1] else None)


def power_vjp(
    grad_output: Tensor, base: Tensor | float, exponent: Tensor | float, output: Tensor | None, *, needs: Needs
) -> Pair:
    """grad_a = g · b · aᵇ⁻¹, 0 where b = 0; grad_b = g · y · log a, 0 where a = 0 and b ≥ 0."""
    return (
        _grad_base(grad_output, base, exponent) if needs[0] and isinstance(base, Tensor) else None,
        None if output is None else _grad_exponent(grad_output, base, exponent, output),
    )


def _grad_base(grad_output: Tensor, base: Tensor, exponent: Tensor | float) -> Tensor:
    if isinstance(exponent, Tensor):
        return torch.where(exponent == 0, 0, grad_output * (exponent * base.pow(exponent - 1)))
    if exponent == 0:
        return torch.zeros_like(base)
    return grad_output * (exponent * base.pow(exponent - 1))


def _grad_exponent(grad_output: Tensor, base: Tensor | float, exponent: Tensor | float, output: Tensor) -> Tensor:
    if isinstance(base, Tensor):
        logarithm = base.to(torch.result_type(base, exponent)).log()
        return grad_output * torch.where((base == 0) & (exponent >= 0), 0, output * logarithm)
    if base == 0:
        assert isinstance(exponent, Tensor)
        return grad_output * torch.where(exponent >= 0, 0, output * -math.inf)
    return grad_output * (output * (math.log(base) if base > 0 else math.nan))


def reversed_power(input: Tensor, other: float) -> Tensor:
    """y = otherˣ."""
    return torch.pow(other, input)


def square(input: Tensor, *, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = x²; saves x."""
    saved = before(input, inplace)
    return Tensor.square_(input) if inplace else torch.square(input), (saved,)


def square_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g · 2x."""
    return grad_output * (2 * input)


def remainder(input: Tensor, other: Tensor | float, *, needs: Needs) -> tuple[Tensor, Saved]:
    """y = a − b · ⌊a / b⌋; saves a and b if b needs a gradient."""
    return torch.remainder(input, other), (input, other, "floor") if needs[1] else (None, None, "")


def fmod(input: Tensor, other: Tensor | float, *, needs: Needs) -> tuple[Tensor, Saved]:
    """y = a − b · trunc(a / b); saves a and b if b needs a gradient."""
    return torch.fmod(input, other), (input, other, "trunc") if needs[1] else (None, None, "")


def remainder_vjp(grad_output: Tensor, input: Tensor | None, other: Tensor, rounding_mode: str) -> Pair:
    """grad_a = g, grad_b = −g · round(a / b): the quotient is a step function, of slope 0."""
    if input is None:
        return grad_output, None
    return grad_output, -grad_output * input.div(other, rounding_mode=rounding_mode)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1, needs: Needs) -> tuple[Tensor, Saved]:
    """y = a + value · b · c; saves each factor if the other needs a gradient."""
    saved = (tensor1 if needs[2] else None, tensor2 if needs[1] else None, value)
    return torch.addcmul(input, tensor1, tensor2, value=value), saved


def addcmul_vjp(
    grad_output: Tensor, tensor1: Tensor | None, tensor2: Tensor | None, value: float
) -> tuple[Tensor | None, ...]:
    """grad_a = g, grad_b = g · value · c, grad_c = g · value · b."""
    return (
        grad_output,
        None if tensor2 is None else grad_output * (tensor2 * value),
        None if tensor1 is None else grad_output * (tensor1 * value),
    )


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1, needs: Needs) -> tuple[Tensor, Saved]:
    """y = a + value · b / c; saves c, and b if c needs a gradient."""
    saved = (tensor1 if needs[2] else None, tensor2, value)
    return torch.addcdiv(input, tensor1, tensor2, value=value), saved


def addcdiv_vjp(
    grad_output: Tensor, tensor1: Tensor | None, tensor2: Tensor, value: float, *, needs: Needs
) -> tuple[Tensor | None, ...]:
    """grad_a = g, grad_b = g · value / c, grad_c = −g · value · b / c²."""
    return (
        grad_output,
        grad_output * (value / tensor2) if needs[1] else None,
        None if tensor1 is None else -grad_output * (value * tensor1 / (tensor2 * tensor2)),
    )


def lerp(input: Tensor, end: Tensor, weight: Tensor | float, *, needs: Needs) -> tuple[Tensor, Saved]:
    """y = a + w · (b − a); saves w, and a and b if w needs a gradient."""
    return torch.lerp(input, end, weight), (weight, *((input, end) if needs[2] else (None, None)))


def lerp_vjp(
    grad_output: Tensor, weight: Tensor | float, input: Tensor | None, end: Tensor | None, *, needs: Needs
) -> tuple[Tensor | None, ...]:
    """grad_a = g · (1 − w), grad_b = g · w, grad_w = g · (b − a)."""
    return (
        grad_output * (1 - weight) if needs[0] else None,
        grad_output * weight if needs[1] else None,
        None if input is None or end is None else grad_output * (end - input),
    )


def itself(input: Tensor) -> Tensor:
    """y = x, the same tensor."""
    return input


BROADCAST = (call(T(2, 3, 4), T(2, 3, 4)), call(T(2, 3, 4), T(3, 1)), call(T(3), T(2, 1)), call(T(), T(2)))
NUMBER = (call(T(2, 3), 0.5), call(T(2, 3), 2))
AWAY_FROM_ZERO = T(2, 1, 3, low=0.5, high=2)

ARITHMETIC: dict[str, Rule | Composite] = {
    "add": Rule(
        "add",
        functions=(torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__),
        inplace=(Tensor.add_, Tensor.__iadd__),
        wrt=("input", "other"),
        forms={"formula": Form(add, add_vjp, exact=True)},
        examples=(call(T(2, 3, 4), T(2, 3, 4)), call(T(2, 3, 4), T(3, 1)), *NUMBER),
        also={torch.add: (call(T(2, 3), T(3), alpha=-0.3), *BROADCAST[2:], call(T(0, 3), T(3)))},
    ),
    "sub": Rule(
        "sub",
        functions=(torch.sub, torch.subtract, Tensor.sub, Tensor.subtract, Tensor.__sub__),
        inplace=(Tensor.sub_, Tensor.subtract_, Tensor.__isub__),
        wrt=("input", "other"),
        forms={"formula": Form(sub, sub_vjp, exact=True)},
        examples=(call(T(2, 3, 4), T(3, 1)), *NUMBER),
        also={torch.sub: (call(T(2, 3), T(3), alpha=-0.3), *BROADCAST[2:])},
    ),
    "rsub": Rule(
        "rsub",
        functions=(torch.rsub, Tensor.__rsub__),
        wrt=("input", "other"),
        forms={"formula": Form(rsub, rsub_vjp, exact=True)},
        examples=(call(T(2, 3, 4), T(3, 1)), *NUMBER),
        also={torch.rsub: (call(T(2, 3), T(3), alpha=-0.3),)},
    ),
    "mul": Rule(
        "mul",
        functions=(torch.mul, torch.multiply, Tensor.mul, Tensor.multiply, Tensor.__mul__, Tensor.__rmul__),
        inplace=(Tensor.mul_, Tensor.multiply_, Tensor.__imul__),
        wrt=("input", "other"),
        forms={"formula": Form(mul, mul_vjp, exact=True)},
        examples=(
            call(T(2, 3, 4), T(2, 3, 4)),
            call(T(2, 3, 4), T(3, 1)),
            call(T(2, 3), T(2, 3, constant=True)),
            *NUMBER,
        ),
        also={torch.mul: BROADCAST[2:]},
    ),
    "div": Rule(
        "div",
        functions=(
            *(torch.div, torch.divide, torch.true_divide),
            *(Tensor.div, Tensor.divide, Tensor.true_divide, Tensor.__truediv__),
        ),
        inplace=(Tensor.div_, Tensor.divide_, Tensor.true_divide_, Tensor.__itruediv__),
        wrt=("input", "other"),
        forms={"formula": Form(div, div_vjp, exact=True)},
        examples=(call(T(2, 3, 3), AWAY_FROM_ZERO), *NUMBER),
        also={
            torch.div: (
                call(T(3), AWAY_FROM_ZERO),
                call(T(2, 3, 3), AWAY_FROM_ZERO, rounding_mode="floor"),
                call(T(2, 3), 0.3, rounding_mode="trunc"),
                call(T(2, 3), T(3, low=1, high=2, constant=True)),
            )
        },
    ),
    "reversed_div": Composite(
        "reversed_div", (Tensor.__rtruediv__,), reversed_div, (call(AWAY_FROM_ZERO, 3.0), call(AWAY_FROM_ZERO, 2))
    ),
    "neg": Rule(
        "neg",
        functions=(torch.neg, torch.negative, Tensor.neg, Tensor.negative),
        inplace=(Tensor.neg_, Tensor.negative_),
        forms={"formula": Form(neg, neg_vjp, exact=True)},
        examples=(call(T(2, 3)),),
    ),
    "positive": Composite("positive", (torch.positive, Tensor.positive), itself, (call(T(2, 3)),)),
    "pow": Rule(
        "pow",
        functions=(torch.pow, Tensor.pow, Tensor.__pow__),
        inplace=(Tensor.pow_, Tensor.__ipow__),
        wrt=("input", "exponent"),
        forms={"formula": Form(power, power_vjp, exact=True)},
        examples=(
            *(call(T(2, 3), exponent) for exponent in (2, 3.0, 1, 0, -2)),
            call(AWAY_FROM_ZERO, 0.5),
            call(T(2, 2, 3, low=0.5, high=2), T(2, 3)),
            call(T(2, 3), T(constant=True, low=2, high=2)),
        ),
        also={
            torch.pow: (call(2.5, T(2, 3)), call(0.0, T(2, 3, low=1, high=2)), call(T(3, low=1, high=2), T(2, 1))),
        },
    ),
    "reversed_power": Composite("reversed_power", (Tensor.__rpow__,), reversed_power, (call(T(2, 3), 2),)),
    "square": Rule(
        "square",
        functions=(torch.square, Tensor.square),
        inplace=(torch.square_, Tensor.square_),
        forms={"formula": Form(square, square_vjp, exact=True)},
        examples=(call(T(2, 3)),),
    ),
    "remainder": Rule(
        "remainder",
        functions=(torch.remainder, Tensor.remainder),
        inplace=(Tensor.remainder_,),
        wrt=("input", "other"),
        forms={"formula": Form(remainder, remainder_vjp, exact=True)},
        examples=(call(T(2, 3, 3), AWAY_FROM_ZERO), call(T(2, 3), 0.5)),
    ),
    "fmod": Rule(
        "fmod",
        functions=(torch.fmod, Tensor.fmod),
        inplace=(Tensor.fmod_,),
        wrt=("input", "other"),
        forms={"formula": Form(fmod, remainder_vjp, exact=True)},
        examples=(call(T(2, 3, 3), AWAY_FROM_ZERO), call(T(2, 3), 0.5)),
    ),
    "addcmul": Rule(
        "addcmul",
        functions=(torch.addcmul, Tensor.addcmul),
        inplace=(Tensor.addcmul_,),
        wrt=("input", "tensor1", "tensor2"),
        forms={"formula": Form(addcmul, addcmul_vjp, exact=True)},
        examples=(call(T(2, 3), T(2, 3), T(3)), call(T(2, 3), T(2, 1), T(3), value=-0.5)),
    ),
    "addcdiv": Rule(
        "addcdiv",
        functions=(torch.addcdiv, Tensor.addcdiv),
        inplace=(Tensor.addcdiv_,),
        wrt=("input", "tensor1", "tensor2"),
        forms={"formula": Form(addcdiv, addcdiv_vjp, exact=True)},
        examples=(call(T(2, 2, 3), T(2, 3), AWAY_FROM_ZERO), call(T(2, 2, 3), T(3), AWAY_FROM_ZERO, value=-0.5)),
    ),
    "lerp": Rule(
        "lerp",
        functions=(torch.lerp, Tensor.lerp),
        inplace=(Tensor.lerp_,),
        wrt=("input", "end", "weight"),
        forms={"formula": Form(lerp, lerp_vjp, exact=True)},
        examples=(call(T(2, 3), T(3), 0.3), call(T(2, 3), T(2, 3), T(2, 1)), call(T(2, 3), T(2, 3), 0.8)),
    ),
}
