"""Dropout: set elements, or whole channels, to zero at random; and alpha dropout, which keeps mean and variance.

    keep ~ Bernoulli(1 − p)
    dropout:        y = x · keep / (1 − p)                          grad_x = g · keep / (1 − p)
    alpha dropout:  y = a · (x · keep + α' · (1 − keep)) + b        grad_x = g · a · keep

with α' = −1.758…, where SELU saturates, a = 1 / √((1 − p) · (1 + p · α'²)) and b = −a · p · α'. Feature dropout draws one
number per channel. Outside training, and for p = 0, the output is the input itself; for p = 1 it is x · 0.

The draws are torch's: same generator, same shapes, same calls, so that under one seed both drop the same elements. On the CPU
that is ``bernoulli_`` on memory laid out as x; on a GPU elementwise dropout is one fused kernel with draws of its own
(``native_dropout``), unless it overwrites its input. Saved is the noise, in the dtype of x; from the fused kernel one byte an
element.

Legend: N batch, C channels, g grad_output.

Source: Srivastava et al. 2014, JMLR 15 (dropout); Tompson et al. 2015, arXiv:1411.4280 (of channels); Klambauer et al. 2017,
arXiv:1706.02515 (alpha dropout).
"""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import Example, T, call
from trainloop.manual.rule import Form, Function, Rule, Saved
from trainloop.manual.windows import Sizes

ALPHA = 1.7580993408473766
"""−α', with the digits of torch."""

FUSED_DEVICES = ("cuda", "xpu")


def drops(function: Function, input: Tensor, p: float, training: bool) -> bool:
    """Return whether anything is dropped; torch's own function says what is wrong with the arguments.

    Raises:
        ValueError: ``p`` is no probability.
        RuntimeError: ``input`` has too few axes.
    """
    function(input, p, False)
    return training and p > 0 and input.numel() > 0


def draw_keep(input: Tensor, shape: Sizes, p: float) -> Tensor:
    """Return Bernoulli(1 − p) draws in the dtype of ``input``, laid out as it if they are of its shape."""
    if p == 1:
        return input.new_zeros(())  # torch draws nothing then
    keep = torch.empty_like(input) if shape == input.shape else input.new_empty(shape)
    return keep.bernoulli_(1 - p)


def leading(function: Function, input: Tensor) -> Sizes:
    """Return one size for each channel, (N, C, 1, …), as ``function`` sees the axes of ``input``."""
    batched = {F.dropout1d: 3, F.dropout3d: 5}.get(function, input.dim())
    num_leading = 2 if input.dim() == batched else 1
    return (*input.shape[:num_leading], *(1 for _axis in input.shape[num_leading:]))


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = x · keep / (1 − p); saves the noise, keep / (1 − p), or from the fused kernel keep and the factor."""
    if not drops(F.dropout, input, p, training):
        return input, ()
    if input.device.type in FUSED_DEVICES and p < 1 and not inplace:
        output, keep = torch.native_dropout(input, p, True)
        return output, (keep, 1 / (1 - p))
    return multiply(input, scaled(draw_keep(input, input.shape, p), p), inplace)


def native_dropout(input: Tensor, p: float, train: bool, inplace: bool = False) -> tuple[Tensor, Saved]:
    """Return the same, with the names of ``torch.dropout``."""
    return dropout(input, p, train, inplace)


def feature_dropout(
    function: Function, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> tuple[Tensor, Saved]:
    """y = x · keep / (1 − p), one keep per channel; saves the noise."""
    if not drops(function, input, p, training):
        return input, ()
    return multiply(input, scaled(draw_keep(input, leading(function, input), p), p), inplace)


def alpha_dropout(
    function: Function, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> tuple[Tensor, Saved]:
    """y = x · (a · keep) + (a · α' · (1 − keep) + b); saves a · keep."""
    if not drops(function, input, p, training):
        return input, ()
    shape = leading(function, input) if function is F.feature_alpha_dropout else input.shape
    keep = draw_keep(input, shape, p)
    if p == 1:
        return multiply(input, keep, inplace)
    a = 1 / math.sqrt((ALPHA * ALPHA * p + 1) * (1 - p))
    shift = keep.add(-1).mul_(ALPHA * a).add_(ALPHA * a * p)
    output, saved = multiply(input, keep.mul_(a), inplace)
    return output.add_(shift), saved


def scaled(keep: Tensor, p: float) -> Tensor:
    """Return keep / (1 − p), so that the expectation of y is x."""
    return keep if p == 1 else keep.div_(1 - p)


def multiply(input: Tensor, noise: Tensor, inplace: bool) -> tuple[Tensor, Saved]:
    """Return x · noise, into x if ``inplace``; saves the noise."""
    return input.mul_(noise) if inplace else input * noise, (noise,)


def dropout_vjp(grad_output: Tensor, noise: Tensor, scale: float = 1.0) -> Tensor:
    """grad_input = g · noise (· scale)."""
    grad_input = grad_output * noise
    return grad_input if scale == 1 else grad_input * scale


def dropout_vjp_aten(grad_output: Tensor, noise: Tensor, scale: float | None = None) -> Tensor:
    """Return the same, where the kernel was fused by its own backward."""
    if scale is None:
        return dropout_vjp(grad_output, noise)
    grad_input: Tensor = torch.ops.aten.native_dropout_backward.default(grad_output, noise, scale)
    return grad_input


def _feature_rule(name: str, function: Function, *examples: Example) -> Rule:
    return Rule(
        name,
        functions=(function,),
        forms={"formula": Form(partial(feature_dropout, function), dropout_vjp, exact=True)},
        examples=examples,
    )


def _alpha_rule(name: str, function: Function) -> Rule:
    return Rule(
        name,
        functions=(function,),
        forms={"formula": Form(partial(alpha_dropout, function), dropout_vjp, exact=True)},
        examples=(
            call(T(2, 3, 4), 0.3, True),
            call(T(2, 3, 4), 0.3, training=True, inplace=True),
            call(T(2, 3, 4), 1.0, True),
            call(T(2, 3, 4)),
        ),
    )


_FORMS = {
    "formula": Form(dropout, dropout_vjp, exact=True),
    "aten": Form(dropout, dropout_vjp_aten, exact=True),
}
_NATIVE_FORMS = {
    "formula": Form(native_dropout, dropout_vjp, exact=True),
    "aten": Form(native_dropout, dropout_vjp_aten, exact=True),
}

DROPOUT: dict[str, Rule] = {
    "dropout": Rule(
        "dropout",
        functions=(F.dropout,),
        forms=_FORMS,
        examples=(
            call(T(2, 3, 4)),
            call(T(2, 3, 4), 0.3, True),
            call(T(2, 3, 4), p=0.3, inplace=True),
            call(T(2, 3), p=1.0),
            call(T(2, 3), p=1, inplace=True),
            call(T(2, 3), p=0),
            call(T(2, 3), 0.5, training=False),
            call(T(2, 3), 0.5, training=False, inplace=True),
            call(T()),
            call(T(0, 3)),
        ),
    ),
    "torch.dropout": Rule(
        "torch.dropout",
        functions=(torch.dropout,),
        inplace=(torch.dropout_,),
        forms=_NATIVE_FORMS,
        examples=(
            call(T(2, 3, 4), 0.3, True),
            call(T(2, 3, 4), p=0.3, train=True),
            call(T(2, 3), 1.0, True),
            call(T(2, 3), 0.3, False),
        ),
    ),
    "dropout1d": _feature_rule(
        "dropout1d",
        F.dropout1d,
        call(T(2, 3, 4)),
        call(T(3, 4), 0.3),
        call(T(2, 3, 4), inplace=True),
        call(T(2, 3, 4), p=1.0),
        call(T(2, 3, 4), training=False),
    ),
    "dropout2d": _feature_rule(
        "dropout2d",
        F.dropout2d,
        call(T(2, 3, 4, 5)),
        call(T(2, 3, 4, 5), 0.3, True, inplace=True),
        call(T(2, 3, 4, 5), 0.0),
    ),
    "dropout3d": _feature_rule(
        "dropout3d",
        F.dropout3d,
        call(T(2, 3, 2, 4, 3)),
        call(T(3, 2, 4, 3), 0.3),
        call(T(3, 2, 4, 3), 0.3, inplace=True),
    ),
    "alpha_dropout": _alpha_rule("alpha_dropout", F.alpha_dropout),
    "feature_alpha_dropout": _alpha_rule("feature_alpha_dropout", F.feature_alpha_dropout),
}
