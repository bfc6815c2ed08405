"""What can be said of a step once it is done."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from trainloop.data.pipeline import Batch
from trainloop.explain.compared import compare_all, compare_one
from trainloop.explain.formulas import first_block, first_line
from trainloop.explain.results import Backward, Compared, Step, Subject, Weight, WithoutGrad
from trainloop.explain.run import Run, Side
from trainloop.explain.sides import Chosen, owner_of
from trainloop.explain.stages import Passed
from trainloop.explain.trace import Traced
from trainloop.manual.optim import OPTIMIZERS

NOT_HYPER_PARAMETERS = ("params", "param_names", "foreach", "fused", "capturable", "differentiable")


def explain_subject(run: Run, side: Side, chosen: Chosen, batch: Batch, step: int) -> Subject:
    """Return what was run."""
    optimizer, group = owner_of(side, chosen)
    return Subject(
        name=run.name,
        built_in=run.built_in,
        description=run.description,
        data=run.data,
        optimizer=next(name for name, kind in OPTIMIZERS.items() if type(optimizer) is kind),
        hyper_parameters={name: value for name, value in group.items() if name not in NOT_HYPER_PARAMETERS},
        step=step,
        batch_shape=tuple(batch.x.shape),
        parts=run.parts,
        device=str(batch.x.device),
        threads=torch.get_num_threads(),
    )


def explain_weight(side: Side, chosen: Chosen) -> Weight:
    """Return which weight it is."""
    param = side.param(chosen.name)
    dtype = str(param.dtype).removeprefix("torch.")
    return Weight(chosen.name, chosen.index, tuple(param.shape), dtype, param.requires_grad)


def explain_backward(side: Side, twin: Side, chosen: Chosen, passed: Passed) -> Backward:
    """Return what the backward left, beside the built-in path's gradients."""
    params = dict(side.model.named_parameters())
    pairs = [(param.grad, twin.param(name).grad) for name, param in params.items()]
    grads = (side.param(chosen.name).grad, twin.param(chosen.name).grad)
    return Backward(
        uses=passed.uses,
        grads=passed.grads,
        grad=compared(*grads, chosen.index),
        all_grads=compare_all(pairs),
        without_grad=tuple(
            WithoutGrad(name, not param.requires_grad) for name, param in params.items() if param.grad is None
        ),
    )


def explain_update(side: Side, twin: Side, chosen: Chosen, before: float, update: Traced, missing: str) -> Step:
    """Return what the optimizer's step did, beside the built-in path's weights."""
    optimizer, _ = owner_of(side, chosen)
    module = sys.modules[type(optimizer).__module__]
    pairs = [(param, twin.param(name)) for name, param in side.model.named_parameters()]
    builtin = None if missing else twin.param(chosen.name)
    return Step(
        file=module.__name__.replace(".", "/") + ".py",
        formula=first_block(module.__doc__ or ""),
        scalars=update.scalars,
        scalars_formula=first_line(optimizer.scalars.__doc__ or ""),
        operations=update.operations,
        before=before,
        after=compared(side.param(chosen.name), builtin, chosen.index),
        all_params=compare_all([] if missing else pairs),
        builtin_missing=missing,
        deviation=optimizer.deviation_reason or "",
    )


def compared(manual: Tensor | None, builtin: Tensor | None, index: tuple[int, ...]) -> Compared:
    """Compare the element at ``index`` of two tensors."""
    return compare_one(*(None if tensor is None else tensor.detach()[index] for tensor in (manual, builtin)))
