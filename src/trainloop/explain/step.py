"""One training step taken apart: run it on both paths, look at one weight between the stages."""

from __future__ import annotations

import itertools

from trainloop.data.pipeline import Batch
from trainloop.errors import UsageError
from trainloop.explain.choice import choose_index, choose_param
from trainloop.explain.compared import compare_one
from trainloop.explain.facts import explain_backward, explain_subject, explain_update, explain_weight
from trainloop.explain.lessons import none_or_zero, twice
from trainloop.explain.results import Explanation, Forward, Sync, WithoutZeroGrad, ZeroGrad
from trainloop.explain.run import Run, Side
from trainloop.explain.sides import Chosen, builtin_twin, fork
from trainloop.explain.stages import builtin_grads, manual_grads, watched_update
from trainloop.loop.step import train_step
from trainloop.random_state import RandomState


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
    random_state = RandomState(batch.x.device)
    grad_before, value_before = chosen.grad(side), chosen.value(side)

    side.stages.zero_grad()
    zeroed = ZeroGrad(grad_before, chosen.grad(side))
    passed = manual_grads(run, side, chosen, batch)
    random_state.rewind()
    builtin_loss = builtin_grads(run, twin, batch)
    forward = Forward(passed.recorded, compare_one(passed.loss, builtin_loss))
    backward = explain_backward(side, twin, chosen, passed)

    side.stages.sync()
    twin.stages.sync()
    sync = Sync(run.clips, passed.grads[-1], chosen.grad(side))
    update = watched_update(side, chosen, lr)
    twin.stages.step(lr)
    value_after = chosen.value(side)
    random_state.rewind()
    grad_twice, after_twice = twice(run, before, chosen, batch, lr)
    return Explanation(
        subject=explain_subject(run, side, chosen, batch, step),
        weight=explain_weight(side, chosen),
        zero_grad=zeroed,
        forward=forward,
        backward=backward,
        sync=sync,
        step=explain_update(side, twin, chosen, value_before, update, missing),
        without_zero_grad=WithoutZeroGrad(passed.grads[-1], grad_twice, value_after, after_twice),
        none_or_zero=none_or_zero(run, side, chosen, lr),
    )
