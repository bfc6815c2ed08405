"""The losses as a model calls them, ``torch.nn.functional.cross_entropy`` and its kin: the formulas stand in ``losses/``.

The ``formula`` form calls them; the ``aten`` form calls the kernels that autograd calls, in its order. Here is what the two
need around them: torch's signatures, with the arguments of long ago that now spell ``reduction``.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import _reduction

from trainloop.manual.errors import RefusedError
from trainloop.manual.examples import T, call
from trainloop.manual.losses import bce, l1, mse, smooth_l1
from trainloop.manual.losses.reduction import REDUCTIONS, check_same_shape, expanded, reduce, reduce_vjp
from trainloop.manual.rule import Form, Needs, Rule, Saved
from trainloop.manual.where import module_path


def reduction_of(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Return ``reduction``, or what ``size_average`` and ``reduce`` say in its place, with torch's warning."""
    if size_average is None and reduce is None:
        return reduction
    return _reduction.legacy_get_string(size_average, reduce)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> tuple[Tensor, Saved]:
    """l = (x − t)²; saves x, t, w."""
    reduction = reduction_of(size_average, reduce, reduction)
    output = mse.mse_loss(input, target, weight=weight, reduction=reduction)
    return output, (input, target, weight, reduction)


def mse_loss_aten(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> tuple[Tensor, Saved]:
    """The same by the library's kernel."""
    reduction = reduction_of(size_average, reduce, reduction)
    # torch's type stubs know no weight before 2.15, the function itself does.
    weights: dict[str, Any] = {} if weight is None else {"weight": weight}
    output = F.mse_loss(input, target, reduction=reduction, **weights)
    return output, (*expanded(input, target), weight, reduction)


def mse_loss_vjp_aten(
    grad_output: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, *, needs: Needs
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The same by the library's kernel, which knows no weights."""
    if weight is not None:
        return mse.mse_loss_vjp(grad_output, input, target, weight, reduction, needs=needs)
    kernel, code = torch.ops.aten.mse_loss_backward, REDUCTIONS[reduction]
    grad_target = kernel(grad_output, target, input, code) if needs[1] else None
    return kernel(grad_output, input, target, code), grad_target, None


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> tuple[Tensor, Saved]:
    """l = |x − t|; saves x, t."""
    _refuse_dropped_weight(weight)
    reduction = reduction_of(size_average, reduce, reduction)
    return l1.l1_loss(input, target, weight=weight, reduction=reduction), (input, target, weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> tuple[Tensor, Saved]:
    """l = ½ (x − t)² / β, or |x − t| − ½ β; saves x, t."""
    reduction = reduction_of(size_average, reduce, reduction)
    output = smooth_l1.smooth_l1_loss(input, target, reduction=reduction, beta=beta)
    return output, (input, target, reduction, beta)


def smooth_l1_loss_aten(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> tuple[Tensor, Saved]:
    """The same by the library's kernel."""
    reduction = reduction_of(size_average, reduce, reduction)
    output = F.smooth_l1_loss(input, target, reduction=reduction, beta=beta)
    return output, (*expanded(input, target), reduction, beta)


def smooth_l1_loss_vjp_aten(
    grad_output: Tensor, input: Tensor, target: Tensor, reduction: str, beta: float, *, needs: Needs
) -> tuple[Tensor, Tensor | None]:
    """The same by the library's kernel; at β = 0 torch itself calls the absolute error."""
    if beta == 0:
        return smooth_l1.smooth_l1_loss_vjp(grad_output, input, target, reduction, beta, needs=needs)
    kernel, code = torch.ops.aten.smooth_l1_loss_backward, REDUCTIONS[reduction]
    grad_target = kernel(grad_output, target, input, code, beta) if needs[1] else None
    return kernel(grad_output, input, target, code, beta), grad_target


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> tuple[Tensor, Saved]:
    """l = ½ (x − t)², or δ (|x − t| − ½ δ); saves x, t, w."""
    output = smooth_l1.huber_loss(input, target, reduction=reduction, delta=delta, weight=weight)
    return output, (input, target, weight, reduction, delta)


def huber_loss_aten(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> tuple[Tensor, Saved]:
    """The same by the library's kernel, which knows no weights."""
    saved = (*expanded(input, target), weight, reduction, delta)
    if weight is None:
        return F.huber_loss(input, target, reduction, delta), saved
    check_same_shape(input, weight, "weight")
    return reduce(F.huber_loss(input, target, "none", delta) * weight, reduction), saved


def huber_loss_vjp_aten(
    grad_output: Tensor,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    delta: float,
    *,
    needs: Needs,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The same by the library's kernel; weights are multiplied outside it, so it sees one loss for each element."""
    grad_weight = None
    if weight is not None:
        grad_loss = reduce_vjp(grad_output, input.shape, reduction)
        if needs[2]:
            grad_weight = grad_loss * F.huber_loss(input, target, "none", delta)
        grad_output, reduction = grad_loss * weight, "none"
    kernel, code = torch.ops.aten.huber_loss_backward, REDUCTIONS[reduction]
    grad_target = kernel(grad_output, target, input, code, delta) if needs[1] else None
    return kernel(grad_output, input, target, code, delta), grad_target, grad_weight


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> tuple[Tensor, Saved]:
    """l = w [(1 − t) x − (1 + (p − 1) t) log σ(x)]; saves x, t, w, p."""
    reduction = reduction_of(size_average, reduce, reduction)
    output = bce.binary_cross_entropy_with_logits(
        input, target, weight=weight, pos_weight=pos_weight, reduction=reduction
    )
    return output, (input, target, weight, pos_weight, reduction)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> tuple[Tensor, Saved]:
    """l = −w [t log x + (1 − t) log(1 − x)]; saves x, t, w."""
    reduction = reduction_of(size_average, reduce, reduction)
    output = bce.binary_cross_entropy(input, target, weight=weight, reduction=reduction)
    return output, (input, target, weight, reduction)


def binary_cross_entropy_aten(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> tuple[Tensor, Saved]:
    """The same by the library's kernel."""
    reduction = reduction_of(size_average, reduce, reduction)
    return F.binary_cross_entropy(input, target, weight, reduction=reduction), (input, target, weight, reduction)


def binary_cross_entropy_vjp_aten(
    grad_output: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, *, needs: Needs
) -> tuple[Tensor, Tensor | None]:
    """The same by the library's kernel, which there is for the input alone."""
    code = REDUCTIONS[reduction]
    grad_input: Tensor = torch.ops.aten.binary_cross_entropy_backward(grad_output, input, target, weight, code)
    if not needs[1]:
        return grad_input, None
    return grad_input, bce.binary_cross_entropy_target_vjp(grad_output, input, weight, reduction)


def _refuse_dropped_weight(weight: Tensor | None) -> None:
    """Refuse a weight that got lost: ``F.l1_loss`` passes every argument on to a TorchFunctionMode, but not this one.

    Raises:
        RefusedError: the caller gave a weight, and it did not arrive.
    """
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is F.l1_loss.__code__:
            lost = frame.f_locals["weight"]
            if weight is None and lost is not None:
                raise RefusedError(
                    f"l1_loss in {module_path()} has a weight of shape {tuple(lost.shape)}, which torch drops while any "
                    "TorchFunctionMode is active; call trainloop.manual.losses.l1_loss in its place"
                )
            return


REDUCED = (call(T(2, 3), T(2, 3)), call(T(2, 3), T(2, 3), reduction="sum"), call(T(2, 3), T(2, 3), reduction="none"))
WEIGHTED = tuple(
    call(T(2, 3), T(2, 3), weight=T(2, 3, low=0.5, high=2), reduction=reduction) for reduction in REDUCTIONS
)
EDGES = (call(T(), T()), call(T(40, 30), T(40, 30, constant=True)), call(T(0, 3), T(0, 3), reduction="sum"))

LOSS_OF_ELEMENTS: dict[str, Rule] = {
    "mse_loss": Rule(
        "mse_loss",
        functions=(F.mse_loss,),
        wrt=("input", "target", "weight"),
        forms={
            "formula": Form(mse_loss, mse.mse_loss_vjp),
            "aten": Form(mse_loss_aten, mse_loss_vjp_aten, exact=True),
        },
        examples=REDUCED + WEIGHTED + EDGES,
    ),
    "l1_loss": Rule(
        "l1_loss",
        functions=(F.l1_loss,),
        wrt=("input", "target", "weight"),
        forms={"formula": Form(l1_loss, l1.l1_loss_vjp, exact=True)},
        examples=REDUCED + EDGES,
    ),
    "smooth_l1_loss": Rule(
        "smooth_l1_loss",
        functions=(F.smooth_l1_loss,),
        wrt=("input", "target"),
        forms={
            "formula": Form(smooth_l1_loss, smooth_l1.smooth_l1_loss_vjp),
            "aten": Form(smooth_l1_loss_aten, smooth_l1_loss_vjp_aten, exact=True),
        },
        examples=(*REDUCED, *EDGES, call(T(2, 3), T(2, 3), beta=0.3), call(T(2, 3), T(2, 3), beta=0)),
    ),
    "huber_loss": Rule(
        "huber_loss",
        functions=(F.huber_loss,),
        wrt=("input", "target", "weight"),
        forms={
            "formula": Form(huber_loss, smooth_l1.huber_loss_vjp),
            "aten": Form(huber_loss_aten, huber_loss_vjp_aten, exact=True),
        },
        examples=(*REDUCED, *WEIGHTED, *EDGES, call(T(2, 3), T(2, 3), delta=0.3)),
    ),
    "binary_cross_entropy_with_logits": Rule(
        "binary_cross_entropy_with_logits",
        functions=(F.binary_cross_entropy_with_logits,),
        wrt=("input", "target"),
        forms={"formula": Form(binary_cross_entropy_with_logits, bce.binary_cross_entropy_with_logits_vjp, exact=True)},
        examples=(
            *REDUCED,
            *EDGES,
            call(T(2, 3), T(2, 3, low=0, high=1), weight=T(3, low=0.5, high=2, constant=True)),
            *(
                call(
                    T(2, 3),
                    T(2, 3, low=0, high=1),
                    weight=T(2, 1, low=0.5, high=2, constant=True),
                    pos_weight=T(3, low=0.5, high=2, constant=True),
                    reduction=reduction,
                )
                for reduction in REDUCTIONS
            ),
        ),
    ),
    "binary_cross_entropy": Rule(
        "binary_cross_entropy",
        functions=(F.binary_cross_entropy,),
        wrt=("input", "target"),
        forms={
            "formula": Form(binary_cross_entropy, bce.binary_cross_entropy_vjp),
            "aten": Form(binary_cross_entropy_aten, binary_cross_entropy_vjp_aten, exact=True),
        },
        examples=(
            call(T(2, 3, low=0.1, high=0.9), T(2, 3, low=0.1, high=0.9)),
            call(T(low=0.1, high=0.9), T(low=0.1, high=0.9)),
            *(
                call(
                    T(2, 3, low=0.1, high=0.9),
                    T(2, 3, low=0.1, high=0.9),
                    weight=T(3, low=0.5, high=2, constant=True),
                    reduction=reduction,
                )
                for reduction in REDUCTIONS
            ),
        ),
    ),
}
