"""Functions of one element: powers, exponentials, logarithms, circular functions, steps.

Each vjp is g times the derivative, in the operations and the order of torch's own, so that the bits are the same. A forward
keeps x or y, whichever the derivative is simplest in; overwriting x costs a copy of it where x is kept, and nothing where y is.

Legend: x input, y output, g grad_output; all of one shape, any shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from trainloop.manual.examples import Example, T, call
from trainloop.manual.rule import Form, Function, Rule, Saved
from trainloop.manual.rules.saving import before

Forward = Callable[..., tuple[Tensor, Saved]]


def saving_input(name: str) -> Forward:
    """Return the forward of ``torch.name`` that saves x."""
    function, overwriting = getattr(torch, name), getattr(torch, f"{name}_")

    def forward(input: Tensor, *, inplace: bool = False) -> tuple[Tensor, Saved]:
        saved = before(input, inplace)
        return overwriting(input) if inplace else function(input), (saved,)

    return forward


def saving_output(name: str) -> Forward:
    """Return the forward of ``torch.name`` that saves y."""
    function, overwriting = getattr(torch, name), getattr(torch, f"{name}_")

    def forward(input: Tensor, *, inplace: bool = False) -> tuple[Tensor, Saved]:
        output = overwriting(input) if inplace else function(input)
        return output, (output,)

    return forward


def saving_nothing(name: str) -> Forward:
    """Return the forward of ``torch.name`` that saves nothing."""
    function: Function = getattr(torch, name)

    def forward(input: Tensor, **options: int) -> tuple[Tensor, Saved]:
        return function(input, **options), ()

    return forward


def exp_vjp(grad_output: Tensor, output: Tensor) -> Tensor:
    """grad_input = g · y."""
    return grad_output * output


def exp2_vjp(grad_output: Tensor, output: Tensor) -> Tensor:
    """grad_input = g · y · log 2."""
    return grad_output * output * math.log(2)


def expm1_vjp(grad_output: Tensor, output: Tensor) -> Tensor:
    """grad_input = g · (y + 1)."""
    return grad_output * (output + 1)


def log_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g / x."""
    return grad_output / input


def log1p_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g / (x + 1)."""
    return grad_output / (input + 1)


def log2_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g / (x · log 2)."""
    return grad_output / (input * math.log(2))


def log10_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g / (x · log 10)."""
    return grad_output / (input * math.log(10))


def sqrt_vjp(grad_output: Tensor, output: Tensor) -> Tensor:
    """grad_input = g / 2y."""
    return grad_output / (2 * output)


def rsqrt_vjp(grad_output: Tensor, output: Tensor) -> Tensor:
    """grad_input = −g · y³ / 2."""
    return -0.5 * grad_output * output.pow(3)


def reciprocal_vjp(grad_output: Tensor, output: Tensor) -> Tensor:
    """grad_input = −g · y²."""
    return -grad_output * (output * output)


def abs_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g · sign(x), 0 at 0."""
    return grad_output * input.sgn()


def sin_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g · cos(x)."""
    return grad_output * input.cos()


def cos_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = −g · sin(x)."""
    return grad_output * -input.sin()


def tan_vjp(grad_output: Tensor, output: Tensor) -> Tensor:
    """grad_input = g · (1 + y²)."""
    return grad_output * (1 + output.pow(2))


def sinh_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g · cosh(x)."""
    return grad_output * input.cosh()


def cosh_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g · sinh(x)."""
    return grad_output * input.sinh()


def asin_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g / √(1 − x²)."""
    return grad_output * (-input * input + 1).rsqrt()


def acos_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = −g / √(1 − x²)."""
    return grad_output * -((-input * input + 1).rsqrt())


def atan_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g / (x² + 1)."""
    return grad_output / (input * input + 1)


def erf_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g · exp(−x²) · 2 / √π."""
    return 2 / math.sqrt(math.pi) * torch.exp(-input.pow(2)) * grad_output


def erfc_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = −g · exp(−x²) · 2 / √π."""
    return -2 / math.sqrt(math.pi) * torch.exp(-input.pow(2)) * grad_output


def step_vjp(grad_output: Tensor) -> Tensor:
    """grad_input = 0: a step function is level everywhere but at its steps."""
    return torch.zeros_like(grad_output)


def frac_vjp(grad_output: Tensor) -> Tensor:
    """grad_input = g: y = x − trunc(x)."""
    return grad_output


def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> tuple[Tensor, Saved]:
    """y = x, with numbers in place of NaN (0), ∞ and −∞ (the largest there are); saves x."""
    return torch.nan_to_num(input, nan, posinf, neginf), (input,)


def nan_to_num_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g where x is finite, else 0."""
    return grad_output * input.isfinite()


def _rule(
    name: str, forward: Forward, vjp: Callable[..., Tensor], *examples: Example, also: tuple[str, ...] = ()
) -> Rule:
    """Return the rule for ``torch.name``, ``Tensor.name`` and their in-place forms, and the same of every name in ``also``."""
    names = (name, *also)
    places = (torch, Tensor, torch.special)
    return Rule(
        name,
        functions=tuple(getattr(place, name) for name in names for place in places if hasattr(place, name)),
        inplace=tuple(getattr(place, f"{name}_") for name in names for place in places if hasattr(place, f"{name}_")),
        forms={"formula": Form(forward, vjp, exact=True)},
        examples=examples,
    )


ANY = call(T(2, 3))
POSITIVE = call(T(2, 3, low=0.1, high=3))
INSIDE_ONE = call(T(2, 3, low=-0.9, high=0.9))

ELEMENTWISE: dict[str, Rule] = {
    "exp": _rule("exp", saving_output("exp"), exp_vjp, ANY),
    "exp2": _rule("exp2", saving_output("exp2"), exp2_vjp, ANY),
    "expm1": _rule("expm1", saving_output("expm1"), expm1_vjp, ANY),
    "log": _rule("log", saving_input("log"), log_vjp, POSITIVE),
    "log1p": _rule("log1p", saving_input("log1p"), log1p_vjp, INSIDE_ONE),
    "log2": _rule("log2", saving_input("log2"), log2_vjp, POSITIVE),
    "log10": _rule("log10", saving_input("log10"), log10_vjp, POSITIVE),
    "sqrt": _rule("sqrt", saving_output("sqrt"), sqrt_vjp, POSITIVE),
    "rsqrt": _rule("rsqrt", saving_output("rsqrt"), rsqrt_vjp, POSITIVE),
    "reciprocal": _rule("reciprocal", saving_output("reciprocal"), reciprocal_vjp, POSITIVE),
    "abs": _rule("abs", saving_input("abs"), abs_vjp, ANY, also=("absolute",)),
    "sin": _rule("sin", saving_input("sin"), sin_vjp, ANY),
    "cos": _rule("cos", saving_input("cos"), cos_vjp, ANY),
    "tan": _rule("tan", saving_output("tan"), tan_vjp, INSIDE_ONE),
    "sinh": _rule("sinh", saving_input("sinh"), sinh_vjp, ANY),
    "cosh": _rule("cosh", saving_input("cosh"), cosh_vjp, ANY),
    "asin": _rule("asin", saving_input("asin"), asin_vjp, INSIDE_ONE, also=("arcsin",)),
    "acos": _rule("acos", saving_input("acos"), acos_vjp, INSIDE_ONE, also=("arccos",)),
    "atan": _rule("atan", saving_input("atan"), atan_vjp, ANY, also=("arctan",)),
    "erf": _rule("erf", saving_input("erf"), erf_vjp, ANY),
    "erfc": _rule("erfc", saving_input("erfc"), erfc_vjp, ANY),
    "sign": _rule("sign", saving_nothing("sign"), step_vjp, ANY),
    "sgn": _rule("sgn", saving_nothing("sgn"), step_vjp, ANY),
    "floor": _rule("floor", saving_nothing("floor"), step_vjp, ANY),
    "ceil": _rule("ceil", saving_nothing("ceil"), step_vjp, ANY),
    "round": _rule("round", saving_nothing("round"), step_vjp, ANY, call(T(2, 3), decimals=1)),
    "trunc": _rule("trunc", saving_nothing("trunc"), step_vjp, ANY, also=("fix",)),
    "frac": _rule("frac", saving_nothing("frac"), frac_vjp, ANY),
    "nan_to_num": _rule("nan_to_num", nan_to_num, nan_to_num_vjp, ANY, call(T(2, 3), nan=1.0)),
}
