"""What people get wrong, done on copies: no zero_grad, and a grad of zero in the place of None."""

from __future__ import annotations

import torch

from trainloop.data.pipeline import Batch
from trainloop.explain.results import NoneOrZero
from trainloop.explain.run import Run, Side
from trainloop.explain.sides import Chosen, fork, owner_of
from trainloop.explain.stages import manual_grads


def twice(run: Run, before: Side, chosen: Chosen, batch: Batch, lr: float) -> tuple[float | None, float]:
    """Do the step again from ``before`` with two backwards; return the weight's gradient and its new value."""
    grad = manual_grads(run, before, chosen, batch, backwards=2).grads[-1]
    before.stages.sync()
    before.stages.step(lr)
    return grad, chosen.value(before)


def none_or_zero(run: Run, side: Side, chosen: Chosen, lr: float) -> NoneOrZero:
    """Do one more step in which no gradient comes to the parameter: its grad is None, or it is zero."""
    after: list[float] = []
    for make_grad in (lambda _: None, torch.zeros_like):
        other = fork(side, run.manual)
        other.param(chosen.name).grad = make_grad(other.param(chosen.name).detach())
        other.stages.step(lr)
        after.append(chosen.value(other))
    param = side.param(chosen.name)
    state = owner_of(side, chosen)[0].state.get(param, {})
    remembered = tuple(name for name, value in state.items() if name != "step" and value.shape == param.shape)
    return NoneOrZero(param.requires_grad, chosen.value(side), after[0], after[1], remembered)
