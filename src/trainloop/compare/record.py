"""One step of the reference, written down: what went into each stage, and what came out.

Everything else replays it: the candidate, the float64 oracle, the harmless changes that measure the noise, the known
deviations. Each gets the recorded inputs of a stage, so what it does differently there is its own doing (``replay.py``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from trainloop.compare.activations import Activations, put
from trainloop.compare.guard import SideError, called
from trainloop.compare.implementation import OptimizerState, Side
from trainloop.compare.key import STAGES, Key, Stage
from trainloop.compare.measure import equal_bits
from trainloop.data.pipeline import Batch
from trainloop.loop.step import split
from trainloop.random_state import RandomState

Outputs = dict[Stage, dict[Key, Tensor | None]]
"""stage → what it produced; None for a gradient that is not there"""
Grads = dict[str, Tensor | None]
Settings = dict[str, Any]
"""of a parameter group, without its parameters; ``optimizer`` is the name of the class"""


@dataclass(frozen=True)
class State:
    """What a side holds between two steps, copied.

    Args:
        params: by name.
        buffers: by name.
        grads: by name, None where there is none.
        optimizer: by (parameter, entry).
    """

    params: dict[str, Tensor]
    buffers: dict[str, Tensor]
    grads: Grads
    optimizer: OptimizerState

    @classmethod
    def of(cls, side: Side) -> State:
        """Copy what a side holds now."""
        return cls(
            {name: param.detach().clone() for name, param in side.params().items()},
            {name: buffer.detach().clone() for name, buffer in side.buffers().items()},
            copied(side.grads()),
            {key: value.detach().clone() for key, value in side.optimizer_state().items()},
        )


@dataclass(frozen=True)
class StepRecord:
    """One step of the reference.

    Args:
        case: where the batch comes from: ``config`` or a name of ``cases.py``.
        step: number of the step, 1 for the first.
        lr: of the step.
        batch: what it saw.
        parts: pieces that the reference split it into.
        before: what the reference held when the step began.
        random: where the random streams stood when the step began.
        random_after_gradient: where they stood after the backward.
        random_after: where they stood when the step ended.
        outputs: of each stage.
        stages: those that ran; the others were handed their outputs.
        settings: of the optimizer's group of each parameter, as they were in this step.
        shared: gradients that share memory after the backward, by name; see :func:`shared_memory`.
    """

    case: str
    step: int
    lr: float
    batch: Batch
    parts: int
    before: State
    random: RandomState
    random_after_gradient: RandomState
    random_after: RandomState
    outputs: Outputs
    stages: tuple[Stage, ...] = STAGES
    settings: dict[str, Settings] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)

    def grads_after(self, stage: Stage) -> Grads:
        """Return the gradients that a stage left."""
        return {key.name: value for key, value in self.outputs[stage].items() if key.kind == "grad"}

    def activations(self) -> dict[str, Tensor]:
        """Return what each module returned."""
        found = self.outputs["forward"].items()
        return {key.name: value for key, value in found if key.kind == "activation" and value is not None}

    @property
    def logits(self) -> Tensor:
        """Return the logits."""
        logits = self.outputs["forward"][Key("logits")]
        assert logits is not None
        return logits

    def with_outputs(self, outputs: Outputs) -> StepRecord:
        """Return the same step with other outputs."""
        return dataclasses.replace(self, outputs=outputs)


@dataclass(frozen=True)
class Passed:
    """What forward and loss of a whole batch gave.

    Args:
        forward: the activations and the logits.
        loss: shape ().
        changed_inputs: the images or the labels are not what they were.
    """

    forward: dict[Key, Tensor | None]
    loss: Tensor
    changed_inputs: bool


def observe(side: Side, batch: Batch, lr: float, *, case: str, step: int) -> StepRecord:
    """Run one step as ``loop/step.py`` does, and write down what each stage got and gave.

    Args:
        side: the reference; stands one step further afterwards, at the same bits as without being observed.
        batch: on any device.
        lr: of the step.
        case: where the batch comes from.
        step: its number, from 1.

    Raises:
        SideError: a stage failed.
    """
    before, random = State.of(side), RandomState(side.device)
    outputs: Outputs = {}
    with side.running():
        called(side, "zero_grad", side.stages.zero_grad)
        outputs["zero_grad"] = grad_outputs(side)
        passed = differentiate(side, batch, side.of.parts)
        outputs["forward"] = passed.forward | buffer_outputs(side)
        outputs["loss"] = {Key("loss"): passed.loss}
        outputs["backward"] = grad_outputs(side)
        shared = shared_memory(side.grads())
        random_after_gradient = RandomState(side.device)
        called(side, "sync", side.stages.sync)
        outputs["sync"] = grad_outputs(side)
        called(side, "step", side.stages.step, lr * side.of.lr_factor)
        outputs["step"] = update_outputs(side)
    return StepRecord(
        case,
        step,
        lr,
        batch,
        side.of.parts,
        before,
        random,
        random_after_gradient,
        RandomState(side.device),
        outputs,
        settings=group_settings(side),
        shared=shared,
    )


def differentiate(
    side: Side,
    batch: Batch,
    parts: int,
    *,
    fed: Mapping[str, Tensor] | None = None,
    fed_logits: Tensor | None = None,
    listen: bool = True,
) -> Passed:
    """Run forward, loss and backward of all parts of a batch.

    Args:
        side: whose stages; its gradients grow.
        batch: on any device, of any floating-point dtype.
        parts: pieces to split it into.
        fed: what to put in the place of each module's output, for the whole batch.
        fed_logits: what to put in the place of the logits, for the whole batch.
        listen: to the modules of the model.

    Returns:
        what came out, before anything was put in its place.
    """
    seen: dict[str, list[Tensor]] = {}
    losses, first = [], 0
    own = _moved(batch, side)
    for x_NCHW, labels, share in split(own, parts):
        rows = slice(first, first + len(labels))
        first = rows.stop
        part_fed = (
            None if fed is None else {name: value[rows] for name, value in fed.items() if _has_rows(value, batch)}
        )
        observed = Activations(side.model, part_fed, side.of.names.module)
        if side.of.observable and listen:
            with observed:
                logits = called(side, "forward", side.stages.forward, x_NCHW)
        else:
            logits = called(side, "forward", side.stages.forward, x_NCHW)
        for name, value in observed.outputs.items():
            seen.setdefault(name, []).append(value)
        seen.setdefault("", []).append(logits.detach().clone())
        if fed_logits is not None:
            put(logits, fed_logits[rows])
        try:
            loss = called(side, "loss", side.stages.loss, logits, labels, share)
            losses.append(loss.detach().clone())
            called(side, "backward", side.stages.backward, loss)
        except SideError as error:
            if parts == 1:
                error.outputs["forward"] = {_activation(name): values[0] for name, values in seen.items()}
                error.outputs |= {"loss": {Key("loss"): losses[0]}} if losses else {}
            raise
    whole = {name: values[0] if len(values) == 1 else _whole(values) for name, values in seen.items()}
    outputs: dict[Key, Tensor | None] = {_activation(name): value for name, value in whole.items()}
    loss_whole = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
    unchanged = equal_bits(own.x, batch.x.to(own.x)) and equal_bits(own.y, batch.y.to(own.y))
    return Passed(outputs, loss_whole, changed_inputs=not unchanged)


def _activation(name: str) -> Key:
    """Return the key of what a module returned; the model itself, whose name is empty, returns the logits."""
    return Key("activation", name) if name else Key("logits")


def shared_memory(grads: Grads) -> dict[str, str]:
    """Return which gradients lie in memory that an earlier one uses too: its name → the name of the earlier one.

    Such gradients may be right, and still what changes one of them in place (clipping, an optimizer) changes the other.
    Parts of one buffer that lie side by side share nothing.
    """
    spans = []
    for name, grad in grads.items():
        if grad is not None and grad.numel():
            reach = sum(stride * (size - 1) for stride, size in zip(grad.stride(), grad.shape, strict=True))
            spans.append((grad.data_ptr(), grad.data_ptr() + (reach + 1) * grad.element_size(), name))
    found: dict[str, str] = {}
    end, owner = 0, ""
    for start, stop, name in sorted(spans):
        if start < end:
            found[name] = owner
        if stop > end:
            end, owner = stop, name
    return found


def group_settings(side: Side) -> dict[str, Settings]:
    """Return the settings that each parameter is updated with; those of one group share one dict."""
    names = {id(param): name for name, param in side.params().items()}
    found: dict[str, Settings] = {}
    for optimizer in side.optimizers:
        for group in optimizer.param_groups:
            settings = {name: value for name, value in group.items() if name != "params"}
            settings["optimizer"] = type(optimizer).__name__
            found.update({names[id(param)]: settings for param in group["params"] if id(param) in names})
    return found


def grad_outputs(side: Side) -> dict[Key, Tensor | None]:
    """Return copies of the gradients."""
    return {Key("grad", name): grad for name, grad in copied(side.grads()).items()}


def buffer_outputs(side: Side) -> dict[Key, Tensor | None]:
    """Return copies of the buffers."""
    return {Key("buffer", name): buffer.detach().clone() for name, buffer in side.buffers().items()}


def update_outputs(side: Side) -> dict[Key, Tensor | None]:
    """Return copies of the parameters and of the optimizers' state."""
    found: dict[Key, Tensor | None] = {
        Key("param", name): param.detach().clone() for name, param in side.params().items()
    }
    for (name, entry), value in side.optimizer_state().items():
        found[Key("state", name, entry)] = value.detach().clone()
    return found


def copied(grads: Grads) -> Grads:
    """Return copies of gradients."""
    return {name: None if grad is None else grad.detach().clone() for name, grad in grads.items()}


def _moved(batch: Batch, side: Side) -> Batch:
    """Return a copy of the batch on the side's device, so that nobody changes what the other side sees."""
    dtype = next((p.dtype for p in side.model.parameters() if p.is_floating_point()), batch.x.dtype)
    x = batch.x.to(side.device, dtype) if batch.x.is_floating_point() else batch.x.to(side.device)
    own = x.clone() if x is batch.x else x
    if side.of.channels_last is not None and own.dim() == 4:
        own = own.contiguous(memory_format=torch.channels_last if side.of.channels_last else torch.contiguous_format)
    return Batch(own, batch.y.to(side.device, copy=True), batch.indices)


def _has_rows(value: Tensor, batch: Batch) -> bool:
    return value.dim() > 0 and value.shape[0] == len(batch.y)


def _whole(values: list[Tensor]) -> Tensor:
    """Put the parts of a batch together; what has no rows counts as it was in the last part."""
    return torch.cat(values) if values[0].dim() else values[-1]
