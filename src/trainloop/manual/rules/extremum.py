"""Largest, smallest, limited, chosen: the gradient goes where the value came from.

What decides (a mask, an index, a comparison) has no gradient. On a tie torch shares g among all who tie; except that a function
which returns an index gives all of g to it, and that a bound decides by its kind: x on a bound that is a number receives
nothing; in clamp, x on a bound that is a tensor receives all of g.

Legend: x, a, b inputs, y output, g grad_output; [c] is 1 where c holds, else 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainloop.manual.examples import Mask, T, call
from trainloop.manual.rule import Composite, Form, Function, Needs, Rule, Saved
from trainloop.manual.rules.arithmetic import Pair
from trainloop.manual.rules.reduction import Dims, restored
from trainloop.manual.rules.saving import before

Forward = Callable[..., tuple[Any, Saved]]
Vjp = Callable[..., Pair]


def shared(grad_output: Tensor, one: Tensor, two: Tensor) -> Tensor:
    """Return g, halved where the two tie."""
    return torch.where(one == two, grad_output / 2, grad_output)


def maximum(input: Tensor, other: Tensor) -> tuple[Tensor, Saved]:
    """y = max(a, b), NaN if either is; saves both."""
    return torch.maximum(input, other), (input, other)


def maximum_vjp(grad_output: Tensor, input: Tensor, other: Tensor, *, needs: Needs) -> Pair:
    """grad_a = g [a > b], grad_b = g [b > a], g / 2 to each where a = b, g to each of what can't be compared."""
    grad = shared(grad_output, input, other)
    return (
        torch.where(input < other, 0, grad) if needs[0] else None,
        torch.where(input > other, 0, grad) if needs[1] else None,
    )


def minimum(input: Tensor, other: Tensor) -> tuple[Tensor, Saved]:
    """y = min(a, b), NaN if either is; saves both."""
    return torch.minimum(input, other), (input, other)


def minimum_vjp(grad_output: Tensor, input: Tensor, other: Tensor, *, needs: Needs) -> Pair:
    """grad_a = g [a < b], grad_b = g [b < a], g / 2 to each where a = b, g to each of what can't be compared."""
    return maximum_vjp(grad_output, input, other, needs=needs[::-1])[::-1]


def fmax(input: Tensor, other: Tensor) -> tuple[Tensor, Saved]:
    """y = max(a, b), the other one if one is NaN; saves both."""
    return torch.fmax(input, other), (input, other)


def fmax_vjp(grad_output: Tensor, input: Tensor, other: Tensor) -> Pair:
    """grad_a = g [a > b or b is NaN], grad_b = g [else], g / 2 to each where a = b."""
    return _to_the_chosen(grad_output, input, other, input >= other, input > other)


def fmin(input: Tensor, other: Tensor) -> tuple[Tensor, Saved]:
    """y = min(a, b), the other one if one is NaN; saves both."""
    return torch.fmin(input, other), (input, other)


def fmin_vjp(grad_output: Tensor, input: Tensor, other: Tensor) -> Pair:
    """grad_a = g [a < b or b is NaN], grad_b = g [else], g / 2 to each where a = b."""
    return _to_the_chosen(grad_output, input, other, input <= other, input < other)


def _to_the_chosen(grad_output: Tensor, input: Tensor, other: Tensor, fits: Tensor, wins: Tensor) -> Pair:
    grad, unopposed = shared(grad_output, input, other), other.isnan()
    return torch.where(fits | unopposed, grad, 0), torch.where(wins | unopposed, 0, grad)


def of_two_all_or_along(name: str, two_vjp: Vjp | None) -> Forward:
    """Return the forward of ``torch.max`` or its like, with its three meanings.

    ``max(a, b)`` is the larger of each two, ``max(x)`` the largest of all, ``max(x, dim)`` the largest along a dimension, with
    its index. Saves the vjp for the meaning, and a and b; x and y; or the shape and the index.

    Args:
        name: of the torch function.
        two_vjp: the vjp of the first meaning, None for a function without it.
    """
    function: Function = getattr(torch, name)

    def forward(
        input: Tensor, other: Tensor | int | None = None, keepdim: bool = False, *, dim: int | None = None
    ) -> tuple[Any, Saved]:
        if isinstance(other, Tensor):
            return function(input, other), (two_vjp, input, other)
        dim = other if dim is None else dim
        if dim is None:
            output = function(input)
            return output, (all_vjp, input, output)
        outputs = function(input, dim, keepdim)
        return outputs, (along_vjp, input.shape, outputs[1], dim, keepdim)

    return forward


def meant_vjp(grad_output: Any, vjp: Vjp, *saved: Any, needs: Needs) -> Pair:
    """The vjp that the forward saved for the meaning of the call."""
    return vjp(grad_output, *saved, needs=needs)


def all_vjp(grad_output: Tensor, input: Tensor, output: Tensor, **_needs: Needs) -> Pair:
    """grad_x = g divided among all x = y."""
    found = (input == output) | (input.isnan() & output.isnan())
    return torch.zeros_like(input).masked_fill(found, grad_output / found.sum()), None


def along_vjp(
    grad_outputs: tuple[Tensor, None], shape: torch.Size, index: Tensor, dim: int, keepdim: bool, **_needs: Needs
) -> Pair:
    """grad_x = g at the index that was returned, 0 elsewhere."""
    grad, index = (restored(tensor, len(shape), dim, keepdim) for tensor in (grad_outputs[0], index))
    return grad.new_zeros(shape).scatter(dim, index, grad), None


def amax(input: Tensor, dim: Dims = (), keepdim: bool = False) -> tuple[Tensor, Saved]:
    """y = max x over several dimensions, all by default; saves x and y."""
    output = torch.amax(input, dim, keepdim)  # type: ignore[arg-type]
    return output, (input, output, dim, keepdim)


def amin(input: Tensor, dim: Dims = (), keepdim: bool = False) -> tuple[Tensor, Saved]:
    """y = min x over several dimensions, all by default; saves x and y."""
    output = torch.amin(input, dim, keepdim)  # type: ignore[arg-type]
    return output, (input, output, dim, keepdim)


def amax_vjp(grad_output: Tensor, input: Tensor, output: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    """grad_x = g divided among all x = y, of both."""
    grad, extremum = (restored(tensor, input.dim(), dim, keepdim) for tensor in (grad_output, output))
    found = extremum == input
    return (grad / found.sum(dim, True)) * found


def clamp(
    input: Tensor,
    min: Tensor | float | None = None,
    max: Tensor | float | None = None,
    *,
    inplace: bool = False,
) -> tuple[Tensor, Saved]:
    """y = min(max(x, min), max), max where the bounds cross; saves x and the bounds."""
    saved = before(input, inplace)
    function: Function = Tensor.clamp_ if inplace else torch.clamp
    return function(input, min, max), (saved, min, max)


def clamp_vjp(
    grad_output: Tensor, input: Tensor, min: Tensor | float | None, max: Tensor | float | None, *, needs: Needs
) -> tuple[Tensor | None, ...]:
    """grad_x = g [x inside], grad_min = g [x < min and min < max], grad_max = g [x > max or max < min]."""
    grad_min = grad_max = None
    if needs[1] and isinstance(min, Tensor):
        below = input < min if max is None else (input < min) & (min < max)
        grad_min = torch.where(below, grad_output, 0)
    if needs[2] and isinstance(max, Tensor):
        above = input > max if min is None else (input > max) | (max < min)
        grad_max = torch.where(above, grad_output, 0)
    return _inside(grad_output, input, min, max) if needs[0] else None, grad_min, grad_max


def _inside(grad_output: Tensor, input: Tensor, min: Tensor | float | None, max: Tensor | float | None) -> Tensor:
    """Return g where x is inside the bounds: on a bound that is a tensor, too, on one that is a number not."""
    if min is not None:
        inside = input >= min if isinstance(min, Tensor) else input > min
        grad_output = torch.where(inside, grad_output, 0)
    if max is not None:
        inside = input <= max if isinstance(max, Tensor) else input < max
        grad_output = torch.where(inside, grad_output, 0)
    return grad_output


def clamp_min(input: Tensor, min: Tensor | float, *, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = max(x, min); saves both."""
    saved = before(input, inplace)
    return (Tensor.clamp_min_ if inplace else torch.clamp_min)(input, min), (saved, min)


def clamp_min_vjp(grad_output: Tensor, input: Tensor, min: Tensor | float, *, needs: Needs) -> Pair:
    """grad_x = g [x > min]; of two tensors as :func:`maximum_vjp`."""
    if isinstance(min, Tensor):
        return maximum_vjp(grad_output, input, min, needs=needs)
    return torch.where(input > min, grad_output, 0), None


def clamp_max(input: Tensor, max: Tensor | float, *, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = min(x, max); saves both."""
    saved = before(input, inplace)
    return (Tensor.clamp_max_ if inplace else torch.clamp_max)(input, max), (saved, max)


def clamp_max_vjp(grad_output: Tensor, input: Tensor, max: Tensor | float, *, needs: Needs) -> Pair:
    """grad_x = g [x < max]; of two tensors as :func:`minimum_vjp`."""
    if isinstance(max, Tensor):
        return minimum_vjp(grad_output, input, max, needs=needs)
    return torch.where(input < max, grad_output, 0), None


def where(condition: Tensor, input: Any = None, other: Any = None) -> tuple[Any, Saved]:
    """y = a where the condition holds, else b; saves the condition. Without a and b: the indices where it holds."""
    if input is None:
        return torch.where(condition), ()
    return torch.where(condition, input, other), (condition,)


def where_vjp(grad_output: Tensor, condition: Tensor, *, needs: Needs) -> tuple[Tensor | None, ...]:
    """grad_a = g [condition], grad_b = g [not condition]."""
    return (
        None,
        torch.where(condition, grad_output, 0) if needs[1] else None,
        torch.where(condition, 0, grad_output) if needs[2] else None,
    )


def where_method(input: Tensor, condition: Tensor, other: Tensor | float) -> Tensor:
    """y = a where the condition holds, else b, in the order in which ``a.where(condition, b)`` has them."""
    return torch.where(condition, input, other)


def masked_fill(input: Tensor, mask: Tensor, value: Tensor | float, *, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = value where the mask holds, else x; saves the mask."""
    return (Tensor.masked_fill_ if inplace else torch.masked_fill)(input, mask, value), (mask,)


def masked_fill_vjp(grad_output: Tensor, mask: Tensor, *, needs: Needs) -> Pair:
    """grad_x = g [not mask], grad_value = Σ g [mask]."""
    return (
        grad_output.masked_fill(mask, 0) if needs[0] else None,
        grad_output.masked_select(mask).sum() if needs[1] else None,
    )


TWO = (call(T(2, 3, 4), T(3, 1)), call(T(2, 3), T(2, 3)))
ALL_OR_ALONG = (
    call(T(2, 3)),
    call(T(2, 3, 4), 1),
    call(T(2, 3, 4), dim=-1, keepdim=True),
    call(T(2, 3), 0, True),
    call(T()),
    call(T(), 0),
)
DIMS = (
    call(T(2, 3)),
    call(T(2, 3, 4), 1),
    call(T(2, 3, 4), dim=(0, -1), keepdim=True),
    call(T(2, 3, 4), (2, 0)),
    call(T()),
)
ONE_BOUND = (call(T(2, 3), 0.1), call(T(2, 3, 4), T(3, 1)))

EXTREMUM: dict[str, Rule | Composite] = {
    "maximum": Rule(
        "maximum",
        functions=(torch.maximum, Tensor.maximum),
        wrt=("input", "other"),
        forms={"formula": Form(maximum, maximum_vjp, exact=True)},
        examples=TWO,
    ),
    "minimum": Rule(
        "minimum",
        functions=(torch.minimum, Tensor.minimum),
        wrt=("input", "other"),
        forms={"formula": Form(minimum, minimum_vjp, exact=True)},
        examples=TWO,
    ),
    "fmax": Rule(
        "fmax",
        functions=(torch.fmax, Tensor.fmax),
        wrt=("input", "other"),
        forms={"formula": Form(fmax, fmax_vjp, exact=True)},
        examples=TWO,
    ),
    "fmin": Rule(
        "fmin",
        functions=(torch.fmin, Tensor.fmin),
        wrt=("input", "other"),
        forms={"formula": Form(fmin, fmin_vjp, exact=True)},
        examples=TWO,
    ),
    "max": Rule(
        "max",
        functions=(torch.max, Tensor.max),
        wrt=("input", "other"),
        forms={"formula": Form(of_two_all_or_along("max", maximum_vjp), meant_vjp, exact=True)},
        examples=(*TWO, *ALL_OR_ALONG),
    ),
    "min": Rule(
        "min",
        functions=(torch.min, Tensor.min),
        wrt=("input", "other"),
        forms={"formula": Form(of_two_all_or_along("min", minimum_vjp), meant_vjp, exact=True)},
        examples=(*TWO, *ALL_OR_ALONG),
    ),
    "median": Rule(
        "median",
        functions=(torch.median, Tensor.median),
        wrt=("input", "other"),
        forms={"formula": Form(of_two_all_or_along("median", None), meant_vjp, exact=True)},
        examples=ALL_OR_ALONG,
    ),
    "amax": Rule(
        "amax",
        functions=(torch.amax, Tensor.amax),
        forms={"formula": Form(amax, amax_vjp, exact=True)},
        examples=DIMS,
    ),
    "amin": Rule(
        "amin",
        functions=(torch.amin, Tensor.amin),
        forms={"formula": Form(amin, amax_vjp, exact=True)},
        examples=DIMS,
    ),
    "clamp": Rule(
        "clamp",
        functions=(torch.clamp, torch.clip, Tensor.clamp, Tensor.clip),
        inplace=(torch.clamp_, torch.clip_, Tensor.clamp_, Tensor.clip_),
        wrt=("input", "min", "max"),
        forms={"formula": Form(clamp, clamp_vjp, exact=True)},
        examples=(
            call(T(2, 3), -0.5, 0.5),
            call(T(2, 3), min=0),
            call(T(2, 3), max=0.5),
            call(T(2, 3, 4), T(3, 1), T(4)),
            call(T(2, 3, 4), min=T(3, 1)),
            call(T(2, 3, 4), max=T(4)),
        ),
    ),
    "clamp_min": Rule(
        "clamp_min",
        functions=(torch.clamp_min, Tensor.clamp_min),
        inplace=(torch.clamp_min_, Tensor.clamp_min_),
        wrt=("input", "min"),
        forms={"formula": Form(clamp_min, clamp_min_vjp, exact=True)},
        examples=ONE_BOUND,
    ),
    "clamp_max": Rule(
        "clamp_max",
        functions=(torch.clamp_max, Tensor.clamp_max),
        inplace=(torch.clamp_max_, Tensor.clamp_max_),
        wrt=("input", "max"),
        forms={"formula": Form(clamp_max, clamp_max_vjp, exact=True)},
        examples=ONE_BOUND,
    ),
    "where": Rule(
        "where",
        functions=(torch.where,),
        wrt=("condition", "input", "other"),
        forms={"formula": Form(where, where_vjp, exact=True)},
        examples=(call(Mask(2, 3, 4), T(3, 1), T(4)), call(Mask(2, 3), T(2, 3), 0.5), call(Mask(2, 3), 0, T(2, 3))),
    ),
    "where_method": Composite(
        "where_method", (Tensor.where,), where_method, (call(T(2, 3), Mask(3), T(2, 1)), call(T(2, 3), Mask(2, 3), 0.5))
    ),
    "masked_fill": Rule(
        "masked_fill",
        functions=(torch.masked_fill, Tensor.masked_fill),
        inplace=(Tensor.masked_fill_,),
        wrt=("input", "value"),
        forms={"formula": Form(masked_fill, masked_fill_vjp, exact=True)},
        examples=(call(T(2, 3), Mask(2, 3), -1.0), call(T(2, 3, 4), Mask(3, 1), T())),
    ),
}
