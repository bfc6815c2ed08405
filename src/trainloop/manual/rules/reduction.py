"""Reductions over some or all dimensions: sums, means, variances, products; and running sums.

``dim`` is a number, several, or None for all; () is all too. Each vjp first gives the gradient the dimensions of size 1 that
the reduction removed, then spreads it, in the operations and the order of torch's own.

Legend: x input, y output, g grad_output; n the number of elements that were reduced to one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Form, Rule, Saved

Dims = int | tuple[int, ...] | list[int] | None


def restored(reduced: Tensor, ndim: int, dim: Dims, keepdim: bool) -> Tensor:
    """Return a reduced tensor with size 1 in place of the dimensions that a reduction removed.

    Args:
        reduced: what the reduction of a tensor with ``ndim`` dimensions returned; any shape that broadcasts to the input's
            if all of them were removed.
        ndim: of the input.
        dim: the dimensions that were reduced.
        keepdim: they were kept.
    """
    if keepdim or ndim == 0 or dim is None:
        return reduced
    for axis in sorted(axes_of(dim, ndim)):
        reduced = reduced.unsqueeze(axis)
    return reduced


def axes_of(dim: int | tuple[int, ...] | list[int], ndim: int) -> list[int]:
    """Return the dimensions counted from the front."""
    return [axis % ndim for axis in ([dim] if isinstance(dim, int) else dim)]


def count(shape: torch.Size, dim: Dims) -> int:
    """Return how many elements a reduction of this shape over ``dim`` takes together."""
    if dim is None or dim == () or dim == [] or not shape:
        return shape.numel()
    return math.prod(shape[axis] for axis in axes_of(dim, len(shape)))


def sum_(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> tuple[Tensor, Saved]:
    """y = Σ x; saves the shape."""
    output = torch.sum(input, dim, keepdim, dtype=dtype)
    return output, (input.shape, dim, keepdim)


def sum_vjp(grad_output: Tensor, shape: torch.Size, dim: Dims, keepdim: bool) -> Tensor:
    """grad_input = g at every element."""
    return restored(grad_output, len(shape), dim, keepdim).expand(shape)


def mean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> tuple[Tensor, Saved]:
    """y = Σ x / n; saves the shape."""
    output = torch.mean(input, dim, keepdim, dtype=dtype)
    return output, (input.shape, dim, keepdim)


def mean_vjp(grad_output: Tensor, shape: torch.Size, dim: Dims, keepdim: bool) -> Tensor:
    """grad_input = g / n at every element."""
    return sum_vjp(grad_output, shape, dim, keepdim) / count(shape, dim)


def _degrees(dim: Dims | bool, unbiased: bool | None, correction: float | None) -> tuple[Dims, float]:
    """Return the dimensions and the correction, however they were given: ``var(True)`` speaks of all dimensions."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return None if dim == () or dim == [] else dim, correction


def var(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Saved]:
    """y = Σ (x − mean)² / (n − correction); saves x."""
    dim, correction = _degrees(dim, unbiased, correction)
    output = torch.var(input, dim, correction=correction, keepdim=keepdim)
    return output, (input, dim, correction, keepdim)


def var_vjp(grad_output: Tensor, input: Tensor, dim: Dims, correction: float, keepdim: bool) -> Tensor:
    """grad_input = g · 2 (x − mean) / (n − correction).

    Nothing left to divide by makes it ±∞, NaN where x is the mean. (Over ``dim=()`` torch's gradient is infinite always.)
    """
    freedom = count(input.shape, dim) - correction
    if dim is None or input.dim() == 0:
        centered = input - input.mean()
        if freedom <= 0:
            return grad_output * torch.where(centered == 0, math.nan, math.inf).to(input.dtype)
        return 2 / freedom * grad_output * centered
    grad = restored(grad_output, input.dim(), dim, keepdim)
    return (2 / freedom if freedom else math.inf) * grad * (input - input.mean(dim, keepdim=True))


def std(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Saved]:
    """y = √var(x); saves x and y."""
    dim, correction = _degrees(dim, unbiased, correction)
    output: Tensor = torch.std(input, dim, correction=correction, keepdim=keepdim)
    return output, (input, output, dim, correction, keepdim)


def std_vjp(grad_output: Tensor, input: Tensor, output: Tensor, dim: Dims, correction: float, keepdim: bool) -> Tensor:
    """grad_input = the gradient of var for g / 2y, 0 where y = 0."""
    grad_var = (grad_output / (output * 2)).masked_fill(output == 0, 0)
    return var_vjp(grad_var, input, dim, correction, keepdim)


def var_mean(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[tuple[Tensor, Tensor], Saved]:
    """y = (var(x), mean(x)); saves x."""
    dim, correction = _degrees(dim, unbiased, correction)
    outputs = torch.var_mean(input, dim, correction=correction, keepdim=keepdim)
    return outputs, (input, dim, correction, keepdim)


def var_mean_vjp(
    grad_outputs: tuple[Tensor | None, Tensor | None], input: Tensor, dim: Dims, correction: float, keepdim: bool
) -> Tensor | None:
    """grad_input = the sum of the two gradients."""
    grad_var, grad_mean = grad_outputs
    through_var = None if grad_var is None else var_vjp(grad_var, input, dim, correction, keepdim)
    return _sum_of_present(through_var, None if grad_mean is None else mean_vjp(grad_mean, input.shape, dim, keepdim))


def std_mean(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[tuple[Tensor, Tensor], Saved]:
    """y = (std(x), mean(x)); saves x and std."""
    dim, correction = _degrees(dim, unbiased, correction)
    outputs = torch.std_mean(input, dim, correction=correction, keepdim=keepdim)
    return outputs, (input, outputs[0], dim, correction, keepdim)


def std_mean_vjp(
    grad_outputs: tuple[Tensor | None, Tensor | None],
    input: Tensor,
    std: Tensor,
    dim: Dims,
    correction: float,
    keepdim: bool,
) -> Tensor | None:
    """grad_input = the sum of the two gradients."""
    grad_std, grad_mean = grad_outputs
    through_std = None if grad_std is None else std_vjp(grad_std, input, std, dim, correction, keepdim)
    return _sum_of_present(through_std, None if grad_mean is None else mean_vjp(grad_mean, input.shape, dim, keepdim))


def _sum_of_present(one: Tensor | None, two: Tensor | None) -> Tensor | None:
    if one is None or two is None:
        return two if one is None else one
    return one + two


def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> tuple[Tensor, Saved]:
    """y = Π x; saves x and y."""
    output = torch.prod(input, dtype=dtype) if dim is None else torch.prod(input, dim, keepdim, dtype=dtype)
    return output, (input.to(output.dtype), output, dim, keepdim)


def prod_vjp(grad_output: Tensor, input: Tensor, output: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    """grad_input = g · (y / x), and where an x is 0, g · the product of all others.

    As torch, which asks first whether any element is 0. Here both are computed, so that no branch hangs on a value.
    """
    if input.dim() == 0 or input.numel() == 0:
        return grad_output.expand(input.shape)
    zeros = input == 0
    grad, product = (restored(tensor, input.dim(), dim, keepdim) for tensor in (grad_output, output))
    if dim is None:
        others = _product_of_others(input.reshape(-1), 0).view(input.shape)
        with_zeros = torch.where(zeros.sum() > 1, 0, grad * others)
    else:
        with_zeros = grad * _product_of_others(input, dim)
    return torch.where(zeros.any(), with_zeros, grad * (product / input))


def _product_of_others(input: Tensor, dim: int) -> Tensor:
    """Return the product of all elements before each, times that of all after it."""
    one = torch.ones_like(input.narrow(dim, 0, 1))
    length = input.shape[dim] - 1
    before = torch.cat((one, input.narrow(dim, 0, length)), dim).cumprod(dim)
    after = torch.cat((one, input.narrow(dim, 1, length).flip(dim)), dim).cumprod(dim).flip(dim)
    return before * after


def cumsum(input: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> tuple[Tensor, Saved]:
    """y_i = x_0 + … + x_i; saves dim and the dtype of x."""
    return torch.cumsum(input, dim, dtype=dtype), (dim, input.dtype)


def cumsum_vjp(grad_output: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """grad_input_i = g_i + … + g_last: the running sum from the other end."""
    grad = grad_output.to(dtype)
    if grad.numel() <= 1 or grad.shape[dim] == 1:
        return grad
    return grad.flip(dim).cumsum(dim).flip(dim)


DIMS = (
    call(T(2, 3, 4)),
    call(T(2, 3, 4), dim=-1),
    call(T(2, 3, 4), 1, True),
    call(T(2, 3, 4), (2, 0)),
    call(T(2, 3, 4), dim=(0, -1), keepdim=True),
    call(T()),
)
SUMS = (*DIMS, call(T(2, 3), ()), call(T(2, 3), dtype=torch.float64))
VARIANCES = (
    *DIMS[:-1],
    call(T(2, 3), False),
    call(T(2, 3), 1, False),
    call(T(2, 3, 4), dim=1, unbiased=False, keepdim=True),
    call(T(2, 3), dim=None, correction=2),
    call(T(2, 5), 1, correction=0.5),
)

REDUCTION: dict[str, Rule] = {
    "sum": Rule(
        "sum",
        functions=(torch.sum, Tensor.sum),
        forms={"formula": Form(sum_, sum_vjp, exact=True)},
        examples=(*SUMS, call(T(2, 0, 3), 1)),
    ),
    "mean": Rule(
        "mean",
        functions=(torch.mean, Tensor.mean),
        forms={"formula": Form(mean, mean_vjp, exact=True)},
        examples=SUMS,
    ),
    "var": Rule(
        "var",
        functions=(torch.var, Tensor.var),
        forms={"formula": Form(var, var_vjp, exact=True)},
        examples=VARIANCES,
    ),
    "std": Rule(
        "std",
        functions=(torch.std, Tensor.std),
        forms={"formula": Form(std, std_vjp, exact=True)},
        examples=VARIANCES,
    ),
    "var_mean": Rule(
        "var_mean",
        functions=(torch.var_mean,),
        forms={"formula": Form(var_mean, var_mean_vjp, exact=True)},
        examples=VARIANCES,
    ),
    "std_mean": Rule(
        "std_mean",
        functions=(torch.std_mean,),
        forms={"formula": Form(std_mean, std_mean_vjp, exact=True)},
        examples=VARIANCES,
    ),
    "prod": Rule(
        "prod",
        functions=(torch.prod, Tensor.prod),
        forms={"formula": Form(prod, prod_vjp, exact=True)},
        examples=(
            call(T(2, 3)),
            call(T(2, 3, 2), 1),
            call(T(2, 3), -1, True),
            call(T()),
            call(T(2, 3), dtype=torch.float64),
        ),
    ),
    "cumsum": Rule(
        "cumsum",
        functions=(torch.cumsum, Tensor.cumsum),
        inplace=(Tensor.cumsum_,),
        forms={"formula": Form(cumsum, cumsum_vjp, exact=True)},
        examples=(call(T(2, 3), 0), call(T(2, 3, 4), dim=-2), call(T(2, 1), 1), call(T(), 0)),
    ),
}
