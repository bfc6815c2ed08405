"""How a fault of an optimizer is made, and those of SGD."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import torch

from trainloop.compare.api import TrainingStep
from trainloop.compare.zoo.edit import Edit
from trainloop.compare.zoo.fault import PARAM, UNKNOWN, Fault, Pair
from trainloop.compare.zoo.nets import NUM_STEPS, batches, mlp
from trainloop.manual.optim import OPTIMIZERS

LR = 0.02
# Where there is no momentum these three are one and the same.
WRONG_SIGN = ("update added instead of subtracted", "gradient with the wrong sign")
EPS_INSIDE = (
    "eps inside the square root, before the bias correction",
    "eps inside the square root, after the bias correction",
)
NO_FIRST = "bias correction of the first moment missing"
DECOUPLED = "weight decay decoupled instead of coupled"
MOMENTUM: dict[str, Any] = {"momentum": 0.9}
DAMPENED: dict[str, Any] = {"momentum": 0.9, "dampening": 0.3}
NESTEROV: dict[str, Any] = {"momentum": 0.9, "nesterov": True}
DECAY: dict[str, Any] = {"weight_decay": 0.05}


def torch_optimizer(name: str, settings: dict[str, Any]) -> Callable[[Any], torch.optim.Optimizer]:
    """Return torch's optimizer of a name in its readable form, with settings, for parameters or groups of them."""
    make: Callable[..., torch.optim.Optimizer] = getattr(torch.optim, OPTIMIZERS[name].__name__)
    return partial(make, **{"lr": LR, "foreach": False, **settings})


def edited(
    name: str,
    what: str,
    changes: tuple[tuple[str, str], ...],
    cause: tuple[str, ...] | None,
    settings: dict[str, Any] | None = None,
    *,
    of: str = "",
    within: str = "",
    tensor: str = PARAM,
    num_steps: int = NUM_STEPS,
) -> Fault:
    """Return an edit of an optimizer as a fault, against torch's.

    Args:
        name: of the optimizer.
        what: is wrong.
        changes: of the source.
        cause: see :class:`Fault`.
        settings: under which it acts.
        of: the module below ``optim`` that is edited, if it is not the optimizer's own.
        within: see :class:`Edit`.
        tensor: see :class:`Fault`.
        num_steps: to run.
    """
    settings = settings or {}
    edit = Edit(f"optim.{of or name}", changes, within, (f"optim.{name}",) if of else ())

    def make(module: ModuleType) -> Pair:
        ours = partial(getattr(module, OPTIMIZERS[name].__name__), **{"lr": LR, **settings})
        net = mlp()
        reference = TrainingStep(net, torch_optimizer(name, settings))
        return Pair(reference, TrainingStep(net, ours), batches(num_steps))

    return Fault(f"{name}: {what}", "step", tensor, make, cause, edit)


SGD_LAST = 'return add_scaled(param, grad, -scalars["lr"]), new_state'
SGD_DECAY = 'grad = add_scaled(grad, param, group["weight_decay"])'
FAULTS: tuple[Fault, ...] = (
    edited("sgd", "the wrong sign", (('-scalars["lr"]', 'scalars["lr"]'),), WRONG_SIGN, within="update"),
    edited("sgd", "maximize forgotten", (("grad = -grad", "pass"),), WRONG_SIGN, {"maximize": True}),
    edited(
        "sgd",
        "dampening on the first step",
        (("1.0 if step == 1 else 1.0", "1.0"),),
        ("dampening applied on the first step (momentum buffer initialised with zero)",),
        DAMPENED,
    ),
    edited("sgd", "no dampening", (('1.0 - group["dampening"]', "1.0"),), ("dampening missing",), DAMPENED),
    edited(
        "sgd",
        "the gradient's share is 1 − momentum",
        (('1.0 if step == 1 else 1.0 - group["dampening"]', '1.0 - group["momentum"]'),),
        ("momentum as a running mean (gradient times 1 − momentum)",),
        MOMENTUM,
    ),
    edited(
        "sgd",
        "no look-ahead with nesterov",
        (("add_scaled(grad, buffer, momentum) if", "buffer if"),),
        ("Nesterov missing",),
        NESTEROV,
    ),
    edited(
        "sgd",
        "nesterov adds the gradient to the whole buffer",
        (("add_scaled(grad, buffer, momentum) if", "add_scaled(buffer, grad, momentum) if"),),
        ("Nesterov in the other form (from the buffer)",),
        NESTEROV,
    ),
    edited(
        "sgd",
        "look-ahead without nesterov",
        (('buffer, momentum) if group["nesterov"]', "buffer, momentum) if True"),),
        ("Nesterov where plain momentum was asked for",),
        MOMENTUM,
    ),
    edited(
        "sgd",
        "the lr inside the momentum buffer",
        (
            ('grad, scalars["grad_share"])', 'grad, scalars["grad_share"] * scalars["lr"])'),
            (SGD_LAST, "return param - grad, new_state"),
        ),
        ("lr applied before the momentum (inside the buffer)",),
        MOMENTUM,
        tensor=rf"momentum_buffer of {PARAM}",
    ),
    edited(
        "sgd",
        "momentum applied twice",
        (("* momentum, grad,", "* momentum * momentum, grad,"),),
        UNKNOWN,
        MOMENTUM,
    ),
    edited(
        "sgd",
        "weight decay decoupled",
        ((SGD_DECAY, 'param = param * (1 - scalars["lr"] * group["weight_decay"])'),),
        (DECOUPLED,),
        {**MOMENTUM, **DECAY},
        tensor=rf"momentum_buffer of {PARAM}",  # the first parameter is the same: lr · λ p either way
    ),
    edited(
        "sgd", "weight decay twice", ((SGD_DECAY, f"{SGD_DECAY[:-1]} * 2)"),), ("weight decay applied twice",), DECAY
    ),
    edited(
        "sgd",
        "weight decay of the wrong sign",
        ((SGD_DECAY, f"{SGD_DECAY[:-1]} * -1)"),),
        ("weight decay with the wrong sign",),
        DECAY,
    ),
    edited("sgd", "no weight decay", ((SGD_DECAY, "pass"),), ("weight decay missing",), DECAY),
    edited(
        "sgd",
        "weight decay also where a group has none",
        (
            ('if group["weight_decay"] != 0', "if True"),
            (SGD_DECAY, 'grad = add_scaled(grad, param, self.defaults["weight_decay"])'),
        ),
        ("weight decay applied to biases and whatever else is exempt",),
        DECAY,
        tensor=r"plain\.\w+",
    ),
    edited(
        "sgd",
        "the lr of the first group for all",
        (('"lr": group["lr"],', '"lr": self.param_groups[0]["lr"],'),),
        ("the lr of the first group used for every group",),
        within="scalars",
    ),
)
