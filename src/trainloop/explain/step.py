"""One training step taken apart: run it on both paths, look at one weight between the stages."""

from __future__ import annotations

import copy
import itertools
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainloop.data.pipeline import Batch
from trainloop.errors import ConfigError, UsageError
from trainloop.explain.choice import choose_index, choose_param
from trainloop.explain.compared import compare_all, compare_one
from trainloop.explain.formulas import first_block, first_line
from trainloop.explain.results import (
    Backward,
    Compared,
    Explanation,
    Forward,
    NoneOrZero,
    Step,
    Subject,
    Sync,
    Use,
    Weight,
    WithoutGrad,
    WithoutZeroGrad,
    ZeroGrad,
)
from trainloop.explain.run import MakeSide, Run, Side
from trainloop.explain.trace import Traced, traced
from trainloop.loop.step import split, train_step
from trainloop.manual.optim import OPTIMIZERS

NOT_HYPER_PARAMETERS = ("params", "param_names", "foreach", "fused", "capturable", "differentiable")


@dataclass(frozen=True)
class Chosen:
    """The weight that is looked at: an element of a parameter, in whatever copy of the model."""

    name: str
    index: tuple[int, ...]

    def value(self, side: Side) -> float:
        """Return the weight's value."""
        return element(side.param(self.name), self.index)

    def grad(self, side: Side) -> float | None:
        """Return the weight's gradient."""
        grad = side.param(self.name).grad
        return None if grad is None else element(grad, self.index)


@dataclass(frozen=True)
class Passed:
    """What forward, loss and backward left.

    Args:
        loss: of the batch.
        recorded: operations that the tapes noted.
        uses: of the chosen parameter in the first part of the batch.
        grads: of the chosen weight, before and after the backward of each part.
    """

    loss: Tensor
    recorded: int
    uses: tuple[Use, ...]
    grads: tuple[float | None, ...]


def explain_step(run: Run, *, param: str | None = None, index: str | None = None, step: int = 1) -> Explanation:
    """Run steps up to the chosen one and take that one apart.

    Args:
        run: its model is changed.
        param: name of a parameter, or a pattern that matches one; None takes the first.
        index: numbers with commas between them; None takes the first element.
        step: which one, 1 for the first.

    Raises:
        UsageError: no such parameter, element or step.
        StageError: the manual path cannot record the model.
    """
    name = choose_param(run.model, param)
    chosen = Chosen(name, choose_index(run.model.get_parameter(name), name, index))
    check_step(run, step)
    side = run.manual(run.model)
    batches = run.batches()
    for number, batch in enumerate(itertools.islice(batches, step - 1)):
        train_step(side.stages, batch, run.parts, run.lr(number))
    return take_apart(run, side, chosen, next(batches), step)


def check_step(run: Run, step: int) -> None:
    """Refuse a step that the run has not.

    Raises:
        UsageError: it is below 1, or the run has fewer steps.
    """
    if step >= 1 and (run.total_steps is None or step <= run.total_steps):
        return
    raise UsageError(
        "the run has no such step",
        where="--step",
        found=str(step),
        expected="1 or more" if run.total_steps is None else f"1 to {run.total_steps:,}",
        help="train.epochs and train.max_steps set the length of a run",
    )


def take_apart(run: Run, side: Side, chosen: Chosen, batch: Batch, step: int) -> Explanation:
    """Do one step of the manual path stage by stage, the same on the built-in path, and what people get wrong."""
    lr = run.lr(step - 1)
    before, (twin, missing) = fork(side, run.manual), builtin_twin(run, side)
    draws = Draws(batch.x.device)
    grad_before, value_before = chosen.grad(side), chosen.value(side)

    side.stages.zero_grad()
    zeroed = ZeroGrad(grad_before, chosen.grad(side))
    passed = manual_grads(run, side, chosen, batch)
    draws.rewind()
    builtin_loss = builtin_grads(run, twin, batch)
    forward = Forward(passed.recorded, compare_one(passed.loss, builtin_loss))
    backward = explain_backward(side, twin, chosen, passed)

    side.stages.sync()
    twin.stages.sync()
    sync = Sync(run.clips, passed.grads[-1], chosen.grad(side))
    update = watched_update(side, chosen, lr)
    twin.stages.step(lr)
    draws.rewind()
    return Explanation(
        subject=explain_subject(run, side, chosen, batch, step),
        weight=explain_weight(side, chosen),
        zero_grad=zeroed,
        forward=forward,
        backward=backward,
        sync=sync,
        step=explain_update(side, twin, chosen, value_before, update, missing),
        without_zero_grad=without_zero_grad(run, before, chosen, batch, lr, chosen.value(side), passed.grads[-1]),
        none_or_zero=none_or_zero(run, side, chosen, lr),
    )


def manual_grads(run: Run, side: Side, chosen: Chosen, batch: Batch, *, backwards: int = 1) -> Passed:
    """Run forward, loss and backward of the manual path, part by part.

    Args:
        run: says how a batch is split.
        side: a manual one.
        chosen: the weight to look at.
        batch: of the step.
        backwards: how often each backward runs; more than once is what people get wrong.
    """
    losses, recorded, uses, grads = [], 0, list[Use](), [chosen.grad(side)]
    for x, labels, share in split(batch, run.parts):
        loss = side.stages.loss(side.stages.forward(x), labels, share)
        recorded += len(side.tape.nodes)
        ways = side.tape.watch(loss, side.param(chosen.name))
        for _ in range(backwards - 1):
            side.tape.backward(loss, retain_graph=True)
        side.stages.backward(loss)
        # The later parts take the same ways.
        uses = uses or [use for way in ways if (use := way.use(side.tape.modules, chosen.index)) is not None]
        losses.append(loss.detach())
        grads.append(chosen.grad(side))
    return Passed(torch.stack(losses).sum(), recorded, tuple(uses), tuple(grads))


def builtin_grads(run: Run, side: Side, batch: Batch) -> Tensor:
    """Run the stages from zero_grad to backward of the built-in path; return the batch's loss, shape ()."""
    side.stages.zero_grad()
    losses = []
    for x, labels, share in split(batch, run.parts):
        loss = side.stages.loss(side.stages.forward(x), labels, share)
        side.stages.backward(loss)
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def watched_update(side: Side, chosen: Chosen, lr: float) -> Traced:
    """Do the optimizer's step, and return what its ``update`` did to the chosen weight; nothing where it passed it over."""
    param, (optimizer, _) = side.param(chosen.name), owner_of(side, chosen)
    plain = optimizer.update
    update, calls = traced(plain, chosen.index)

    def watching(data: Tensor, grad: Tensor, *others: Any) -> tuple[Tensor, dict[str, Tensor]]:
        return (update if grad is param.grad else plain)(data, grad, *others)

    optimizer.update = watching
    try:
        side.stages.step(lr)
    finally:
        del optimizer.update
    return calls[0] if calls else Traced({}, ())


def without_zero_grad(
    run: Run, before: Side, chosen: Chosen, batch: Batch, lr: float, after_once: float, grad_once: float | None
) -> WithoutZeroGrad:
    """Do the step again from ``before``, with two backwards."""
    grad_twice = manual_grads(run, before, chosen, batch, backwards=2).grads[-1]
    before.stages.sync()
    before.stages.step(lr)
    return WithoutZeroGrad(grad_once, grad_twice, after_once, chosen.value(before))


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


def owner_of(side: Side, chosen: Chosen) -> tuple[Any, dict[str, Any]]:
    """Return the optimizer that has the chosen parameter and its group there; the first of each where none has it."""
    param = side.param(chosen.name)
    groups = [(optimizer, group) for optimizer in side.optimizers for group in optimizer.param_groups]
    return next((pair for pair in groups if any(member is param for member in pair[1]["params"])), groups[0])


def fork(side: Side, make: MakeSide) -> Side:
    """Return a side that stands where the given one stands: same weights, buffers and optimizer state, no gradients."""
    other = make(copy.deepcopy(side.model))
    for old, new in zip(side.optimizers, other.optimizers, strict=True):
        new.load_state_dict(copy.deepcopy(old.state_dict()))
    return other


def builtin_twin(run: Run, side: Side) -> tuple[Side, str]:
    """Return the built-in path from where the manual one stands, and why it cannot update, if it cannot."""
    try:
        return fork(side, run.builtin), ""
    except ConfigError as error:
        return run.builtin_but_update(copy.deepcopy(side.model)), error.faults[0].what


def element(tensor: Tensor, index: tuple[int, ...]) -> float:
    """Return one element."""
    value: float = tensor.detach()[index].item()
    return value


class Draws:
    """The state of torch's random streams at one moment, to draw the same numbers (of dropout) again."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def rewind(self) -> None:
        """Go back to that moment."""
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda, self._device)
