"""Run a side on the recorded inputs of a step, each stage on those of the reference.

Before each stage the side receives what the reference had there: parameters, buffers, gradients, optimizer state, the images,
the place of the random streams; inside the forward every module receives what the reference's module before it returned. What a
stage then does differently is its own error: nothing is inherited.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainloop.compare.activations import put
from trainloop.compare.guard import SideError, called
from trainloop.compare.implementation import OptimizerState, Side
from trainloop.compare.key import GRADIENT_STAGES, STAGES, Key, Stage
from trainloop.compare.measure import equal_bits
from trainloop.compare.record import (
    Grads,
    Outputs,
    State,
    StepRecord,
    buffer_outputs,
    differentiate,
    grad_outputs,
    shared_memory,
    update_outputs,
)

SHARED = "shares its memory with "
"""what is said of a gradient in the memory of another"""


@dataclass
class Replayed:
    """What a side made of a recorded step.

    Args:
        outputs: of the stages that ran.
        remarks: what it did beside its outputs, by stage: changed the images, drew other random numbers.
        shared: gradients that share memory with another, though those of the reference do not; both by name.
        unmatched: entries of its optimizer's state that the reference has not, so they were neither fed nor compared.
    """

    outputs: Outputs = field(default_factory=dict)
    remarks: dict[Stage, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()


def replay(side: Side, record: StepRecord, stages: Collection[Stage] = STAGES) -> Replayed:
    """Run the stages of a side on recorded inputs; forward, loss and backward always run together.

    Args:
        side: holds afterwards what the reference held at the end of the step.
        record: of the reference.
        stages: which ones.

    Raises:
        SideError: a stage failed; it has the outputs of those before.
    """
    done = Replayed()
    try:
        with side.running():
            _replay_stages(side, record, stages, done)
    except SideError as error:
        error.outputs = {**done.outputs, **error.outputs}
        raise
    finish(side, record)
    return done


def _replay_stages(side: Side, record: StepRecord, stages: Collection[Stage], done: Replayed) -> None:
    set_state(side, record.before)
    if "zero_grad" in stages:
        set_grads(side, record.before.grads)
        called(side, "zero_grad", side.stages.zero_grad)
        done.outputs["zero_grad"] = grad_outputs(side)
    if any(stage in stages for stage in GRADIENT_STAGES):
        _replay_gradient(side, record, done)
    set_grads(side, record.grads_after("backward"))
    if "sync" in stages:
        called(side, "sync", side.stages.sync)
        done.outputs["sync"] = grad_outputs(side)
        set_grads(side, record.grads_after("sync"))
    if "step" in stages:
        _replay_update(side, record, done)


def _replay_gradient(side: Side, record: StepRecord, done: Replayed) -> None:
    set_grads(side, record.grads_after("zero_grad"))
    record.random.rewind()
    passed = differentiate(side, record.batch, side.of.parts, fed=record.activations(), fed_logits=record.logits)
    done.outputs["forward"] = passed.forward | buffer_outputs(side)
    done.outputs["loss"] = {Key("loss"): passed.loss}
    done.outputs["backward"] = grad_outputs(side)
    shared = shared_memory(side.grads())
    done.shared = {name: owner for name, owner in shared.items() if name not in record.shared}
    if side.device == record.random.device and not record.random_after_gradient.is_now():
        done.remarks["forward"] = "it drew other random numbers than the reference"
    if passed.changed_inputs:
        done.remarks["forward"] = "it changed the images or the labels"


def _replay_update(side: Side, record: StepRecord, done: Replayed) -> None:
    for buffer_name, buffer in side.buffers().items():
        put_exactly(buffer, record.outputs["forward"].get(Key("buffer", buffer_name)))
    record.random_after_gradient.rewind()
    grads = {name: grad.clone() for name, grad in side.grads().items() if grad is not None}
    called(side, "step", side.stages.step, record.lr * side.of.lr_factor)
    # The state may just have come into being, so only now can its entries be matched.
    side.learn_entry_names(after_step(record).optimizer)
    done.outputs["step"] = update_outputs(side)
    if side.device == record.random.device and not record.random_after.is_now():
        done.remarks["step"] = "it drew other random numbers than the reference"
    known = {key.entry for key in record.outputs["step"] if key.kind == "state"}
    own = sorted({key.entry for key in done.outputs["step"] if key.kind == "state"} - known)
    if own:
        done.unmatched = tuple(own)
    changed = [name for name, grad in grads.items() if not _unchanged(side.grads().get(name), grad)]
    if changed:
        done.remarks.setdefault("step", f"it changed the gradient that it was given, of {changed[0]} for instance")


def set_state(side: Side, state: State) -> None:
    """Give a side the parameters, buffers and optimizer state of the reference, where they differ."""
    for name, param in side.params().items():
        put_exactly(param, state.params.get(name))
    for name, buffer in side.buffers().items():
        put_exactly(buffer, state.buffers.get(name))
    side.learn_entry_names(state.optimizer)
    side.set_optimizer_state(differing(side.optimizer_state(), state.optimizer))


def finish(side: Side, record: StepRecord) -> None:
    """Let a side stand where the reference stands after the step."""
    after = after_step(record)
    set_state(side, after)
    set_grads(side, after.grads)
    record.random_after.rewind()


def after_step(record: StepRecord) -> State:
    """Return what the reference held at the end of a step."""
    step, forward = record.outputs["step"], record.outputs["forward"]
    return State(
        params={key.name: value for key, value in step.items() if key.kind == "param" and value is not None},
        buffers={key.name: value for key, value in forward.items() if key.kind == "buffer" and value is not None},
        grads=record.grads_after("sync"),
        optimizer={
            (key.name, key.entry): value for key, value in step.items() if key.kind == "state" and value is not None
        },
    )


def set_grads(side: Side, grads: Grads) -> None:
    """Give a side gradients of its own with these values."""
    for name, param in side.params().items():
        if not param.requires_grad:
            continue
        grad = grads.get(name)
        param.grad = None if grad is None else grad.to(param.device, param.dtype, copy=True)


def differing(own: OptimizerState, wanted: OptimizerState) -> OptimizerState:
    """Return the entries that a side has with other values."""
    return {
        key: value
        for key, value in wanted.items()
        if key in own and own[key].shape == value.shape and not _unchanged(own[key], value)
    }


def put_exactly(tensor: Tensor, value: Tensor | None) -> None:
    """Overwrite a tensor, whatever its dtype; None leaves it."""
    if value is None or tensor.shape != value.shape:
        return
    if tensor.is_floating_point():
        put(tensor, value)
    elif not torch.equal(tensor, value.to(tensor.device, tensor.dtype)):
        with torch.no_grad():
            tensor.copy_(value)


def _unchanged(one: Tensor | None, two: Tensor) -> bool:
    # By bits: a NaN that nobody touched is unchanged, and 0 in the place of -0 is not.
    return one is not None and equal_bits(one, two.to(one.device, one.dtype))
