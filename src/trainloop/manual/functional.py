"""The whole training step as one function of tensors: forward, loss, backward and update, with nothing changed in place.

    (params, buffers, state, x, labels, scalars) → (params, buffers, state, loss, logits)

It runs the same rules and the same ``update`` as the readable path, but where that one assigns ``param.data`` and adds to
``param.grad``, this one returns new tensors; and the numbers that change from step to step (the lr, a bias correction) come
in as 0-d tensors. So ``make_fx`` can write it down as one graph in which no number of the first step is frozen, and the
graph's bits are those of the readable step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from trainloop.manual.optim import Optimizer
from trainloop.manual.optim.arithmetic import Scalars, scalar_tensors
from trainloop.manual.optim.base import Group, State
from trainloop.manual.rule import ATEN
from trainloop.manual.tape import Tape

Tensors = dict[str, Tensor]
States = dict[str, State]


class TrainingState(NamedTuple):
    """All that a step changes.

    Args:
        params: every parameter of the model by its name, frozen ones too.
        buffers: every buffer by its name.
        state: what the optimizer remembers of each parameter that it updates, by the parameter's name.
    """

    params: Tensors
    buffers: Tensors
    state: States


class Stepped(NamedTuple):
    """What a step returns.

    Args:
        training: the new values.
        loss: shape ().
        logits: as the model returned them.
    """

    training: TrainingState
    loss: Tensor
    logits: Tensor


class FunctionalStep:
    """A pure step of one model, one loss and one optimizer.

    Args:
        model: in the mode (train or eval) that it shall run in; left as it is, but for the length of a call.
        loss: (logits, labels) → loss, shape ().
        optimizer: over parameters of ``model``; its groups say which formula each parameter gets, its own state and
            parameters stay untouched.
        form: of the rules; see :class:`Tape`.

    Raises:
        ValueError: the optimizer cannot be captured, or has a parameter that is not the model's.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Optimizer,
        *,
        form: str = ATEN,
    ) -> None:
        if optimizer.capturable_reason is not None:
            raise ValueError(f"{type(optimizer).__name__} cannot be captured: {optimizer.capturable_reason}")
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
        self._form = form
        self._groups = _groups_by_name(model, optimizer)

    def begin(self) -> TrainingState:
        """Return copies of the model's present values and the state that the optimizer has, or would begin with.

        Raises:
            ValueError: parameters of one group have taken different numbers of steps, so no one number serves them all.
        """
        params = {name: param.detach().clone() for name, param in self._model.named_parameters()}
        buffers = {name: buffer.detach().clone() for name, buffer in self._model.named_buffers()}
        known = dict(self._model.named_parameters())
        state = {
            name: dict(self._optimizer.state.get(known[name]) or self._optimizer.init_state(params[name], group))
            for name, (_, group) in self._groups.items()
        }
        for index in range(len(self._optimizer.param_groups)):
            steps = {float(state[name].get("step", 0)) for name, (i, _) in self._groups.items() if i == index}
            if len(steps) > 1:
                raise ValueError(f"parameters of group {index} have taken different numbers of steps: {sorted(steps)}")
        return TrainingState(params, buffers, state)

    def scalars(self, training: TrainingState, step: int) -> list[Scalars]:
        """Return the numbers of one update for each group of the optimizer, as 0-d tensors.

        Args:
            training: the values before the update.
            step: number of the update, 1 for the first.
        """
        first_of_group = {index: name for name, (index, _) in reversed(self._groups.items())}
        return [
            scalar_tensors(
                self._optimizer.scalars(group, training.state[first_of_group[index]], step),
                training.params[first_of_group[index]],
            )
            for index, group in enumerate(self._optimizer.param_groups)
        ]

    def __call__(self, training: TrainingState, x: Tensor, labels: Tensor, scalars: list[Scalars]) -> Stepped:
        """Return what one step makes of ``training``.

        Args:
            training: the values before the step; none is changed.
            x: the batch.
            labels: what the loss takes.
            scalars: as :meth:`scalars` gives them.
        """
        params = {name: param.detach().requires_grad_(name in self._groups) for name, param in training.params.items()}
        buffers = {name: buffer.clone() for name, buffer in training.buffers.items()}
        with _held_by(self._model, {**params, **buffers}), Tape(form=self._form) as tape:
            logits = self._model(x)
            loss = self._loss(logits, labels)
        names = list(self._groups)
        grads = tape.gradients(loss, [params[name] for name in names])
        state = dict(training.state)
        with torch.no_grad():
            params = {name: param.detach() for name, param in params.items()}
            for name, grad in zip(names, grads, strict=True):
                if grad is not None:
                    index, group = self._groups[name]
                    params[name], state[name] = self._update(params[name], grad, state[name], scalars[index], group)
        return Stepped(TrainingState(params, buffers, state), loss, logits)

    def capture(self, training: TrainingState, x: Tensor, labels: Tensor) -> GraphModule:
        """Return the step as one graph of library operations, to be called as this object is.

        Args:
            training: an example; the graph holds for the shapes, dtypes and devices of all three.
            x: an example batch.
            labels: its labels.
        """
        traced: GraphModule = make_fx(self, tracing_mode="fake")(training, x, labels, self.scalars(training, 1))
        return traced

    def _update(
        self, param: Tensor, grad: Tensor, state: State, scalars: Scalars, group: Group
    ) -> tuple[Tensor, State]:
        count = {"step": state["step"] + 1} if "step" in state else {}
        new_param, new_state = self._optimizer.update(param, grad, state, scalars, group)
        return new_param, {**state, **count, **new_state}


def _groups_by_name(model: nn.Module, optimizer: Optimizer) -> dict[str, tuple[int, Group]]:
    """Return (index, group) of each parameter that is updated, by its name, in the model's order."""
    groups = {id(param): (i, group) for i, group in enumerate(optimizer.param_groups) for param in group["params"]}
    found = {name: groups.pop(id(param)) for name, param in model.named_parameters() if id(param) in groups}
    if groups:
        raise ValueError(f"the optimizer has {len(groups)} parameters that are not the model's")
    return found


@contextlib.contextmanager
def _held_by(model: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Let the model compute with these tensors in the place of its parameters and buffers; one used twice stays one."""
    places = []
    new = {id(tensor): tensors[name] for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            places += [(held, name, tensor) for name, tensor in held.items() if tensor is not None]
    for held, name, tensor in places:
        held[name] = new[id(tensor)]  # type: ignore[assignment]
    try:
        yield
    finally:
        for held, name, tensor in places:
            held[name] = tensor  # type: ignore[assignment]
