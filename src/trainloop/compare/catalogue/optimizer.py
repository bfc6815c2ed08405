"""Known deviations of the optimizer step: momentum, weight decay, the gradient, the lr, the groups.

Each is a few lines on :class:`Update`; ``None`` where it cannot be made. Those of second moments stand in ``adaptive.py``.

Sources of the variants: Sutskever et al. 2013 (momentum and Nesterov), Loshchilov & Hutter 2019, arXiv:1711.05101 (decoupled
decay), and the differences between frameworks that users report: the lr inside the momentum buffer, dampening at once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from trainloop.compare.catalogue.adaptive import ADAPTIVE
from trainloop.compare.catalogue.scene import Deviation
from trainloop.compare.catalogue.updates import FIRST_MOMENT, Change, Update, Updated, step_deviation

# Momentum


def _dampening_at_once(update: Update) -> Updated | None:
    if not update.is_first or not update.group.get("dampening") or not update.group.get("momentum"):
        return None
    update.state = {"momentum_buffer": torch.zeros_like(update.param)}
    return update.apply()


def _no_dampening(update: Update) -> Updated | None:
    if update.is_first or not update.group.get("dampening") or not update.group.get("momentum"):
        return None
    update.group["dampening"] = 0.0
    return update.apply()


def _dampened_though_not_asked(update: Update) -> Updated | None:
    """Run momentum as a running mean: the gradient enters with 1 − μ."""
    if update.kind != "SGD" or not update.group["momentum"] or update.group["dampening"]:
        return None
    update.state = update.state or {"momentum_buffer": torch.zeros_like(update.param)}
    update.group["dampening"] = update.group["momentum"]
    return update.apply()


def _starts_with_gradient(update: Update) -> Updated | None:
    entry = FIRST_MOMENT.get(update.kind, "")
    if not update.is_first or entry not in (before := update.full_state()):
        return None
    update.state = {**before, entry: update.decayed_grad}
    return update.apply()


def _lr_inside_buffer(update: Update) -> Updated | None:
    if update.kind != "SGD" or not update.group["momentum"]:
        return None
    lr = update.group["lr"]
    update.grad, update.group["weight_decay"] = lr * update.grad, lr * update.group["weight_decay"]
    update.group["lr"] = 1.0
    return update.apply()


def _nesterov(wanted: bool) -> Change:
    def change(update: Update) -> Updated | None:
        if "nesterov" not in update.group or not update.group.get("momentum") or update.group["nesterov"] is wanted:
            return None
        update.group["nesterov"] = wanted
        return update.apply()

    return change


def _looks_ahead_from_buffer(update: Update) -> Updated | None:
    """P − lr (b' + μ b') instead of p − lr (g + μ b')."""
    if update.kind != "SGD" or not update.group["nesterov"]:
        return None
    _, state = update.apply()
    buffer = state["momentum_buffer"]
    return update.param - update.group["lr"] * (1 + update.group["momentum"]) * buffer, state


def _looks_ahead_from_old_buffer(update: Update) -> Updated | None:
    """P − lr (b' + μ g) instead of p − lr (g + μ b')."""
    if update.kind != "SGD" or not update.group["nesterov"]:
        return None
    _, state = update.apply()
    look = state["momentum_buffer"] + update.group["momentum"] * update.decayed_grad
    return update.param - update.group["lr"] * look, state


def _buffer_negated(update: Update) -> Updated | None:
    """With b ← g − μ b."""
    if update.kind != "SGD" or update.is_first or "momentum_buffer" not in update.state:
        return None
    update.state = {"momentum_buffer": -update.state["momentum_buffer"]}
    return update.apply()


def _momentum_negated(update: Update) -> Updated | None:
    """Use −μ throughout, in Nesterov's look ahead too."""
    if update.kind != "SGD" or not update.group["momentum"]:
        return None
    update.group["momentum"] = -update.group["momentum"]
    return update.apply()


def _looks_back(update: Update) -> Updated | None:
    """P − lr (g − μ b') instead of p − lr (g + μ b')."""
    if update.kind != "SGD" or not update.group["nesterov"]:
        return None
    _, state = update.apply()
    look = update.decayed_grad - update.group["momentum"] * state["momentum_buffer"]
    return update.param - update.group["lr"] * look, state


def _no_momentum(update: Update) -> Updated | None:
    if update.kind != "SGD" or not update.group["momentum"]:
        return None
    update.group["momentum"], update.group["nesterov"] = 0.0, False
    return update.apply()


# Weight decay


def _decay_times(factor: float) -> Change:
    def change(update: Update) -> Updated | None:
        if not update.group.get("weight_decay"):
            return None
        update.group["weight_decay"] = factor * update.group["weight_decay"]
        return update.apply()

    return change


def _coupled(update: Update) -> Updated | None:
    """Add λ p to the gradient, where the parameter itself should shrink."""
    decay = update.group.get("weight_decay")
    if not decay or not update.is_decoupled:
        return None
    update.grad = update.grad + decay * update.param
    update.group["weight_decay"] = 0.0
    return update.apply()


def _decoupled(update: Update) -> Updated | None:
    """Shrink the parameter by lr λ, where λ p should enter the gradient."""
    decay = update.group.get("weight_decay")
    if not decay or update.is_decoupled:
        return None
    update.param = update.param * (1 - update.group["lr"] * decay)
    update.group["weight_decay"] = 0.0
    return update.apply()


def _decay_without_lr(update: Update) -> Updated | None:
    if not update.group.get("weight_decay") or not update.is_decoupled:
        return None
    update.param = update.param * (1 - update.group["weight_decay"])
    update.group["weight_decay"] = 0.0
    return update.apply()


def _decay_after_update(update: Update) -> Updated | None:
    if not update.group.get("weight_decay") or not update.is_decoupled:
        return None
    factor = 1 - update.group["lr"] * update.group["weight_decay"]
    update.group["weight_decay"] = 0.0
    param, state = update.apply()
    return param * factor, state


def _decay_everywhere(update: Update) -> Updated | None:
    """Decay what the config exempts (biases, norms) with the largest decay of all groups."""
    if update.group.get("weight_decay") != 0:
        return None
    settings = update.scene.differing.record.settings.values()
    decay = max(float(group.get("weight_decay") or 0.0) for group in settings)
    if not decay:
        return None
    update.group["weight_decay"] = decay
    return update.apply()


# The gradient


def _grad_times(factor: Callable[[Update], float | None]) -> Change:
    def change(update: Update) -> Updated | None:
        scale = factor(update)
        if scale is None or scale == 1:
            return None
        update.grad = scale * update.grad
        return update.apply()

    return change


def _stale_gradient(update: Update) -> Updated | None:
    if update.earlier_grad is None:
        return None
    update.grad = update.earlier_grad
    return update.apply()


def _added_gradient(update: Update) -> Updated | None:
    if update.earlier_grad is None:
        return None
    update.grad = update.grad + update.earlier_grad
    return update.apply()


def _gradient_of_another(update: Update) -> Updated | None:
    """Use the gradient of the next parameter of the same shape, as an alias of one memory would."""
    grads = update.scene.differing.record.grads_after("sync")
    names = [name for name, grad in grads.items() if grad is not None and grad.shape == update.grad.shape]
    if len(names) < 2:
        return None
    other = grads[names[(names.index(update.name) + 1) % len(names)]]
    assert other is not None
    update.grad = other.double()
    return update.apply()


# The lr, the sign, the group


def _lr_times(factor: Callable[[Update], float]) -> Change:
    def change(update: Update) -> Updated | None:
        if factor(update) == 1:
            return None
        update.group["lr"] = factor(update) * update.group["lr"]
        return update.apply()

    return change


def _lr_of_first_group(update: Update) -> Updated | None:
    settings = list(update.scene.differing.record.settings.values())
    first = settings[0]["lr"] if settings else update.group["lr"]
    if first == update.group["lr"]:
        return None
    update.group["lr"] = first
    return update.apply()


def _upwards(update: Update) -> Updated | None:
    """P + Δ instead of p − Δ, with the state as it should be."""
    param, state = update.apply()
    return 2 * update.param - param, state


def _not_updated(group: int | None) -> Change:
    """Leave the parameters of one group (None: of every one) as they are, and their state too."""

    def change(update: Update) -> Updated | None:
        distinct = list({id(settings): None for settings in update.scene.differing.record.settings.values()})
        own = id(update.scene.differing.record.settings[update.name])
        if group is not None and (len(distinct) <= group or distinct[group] != own or len(distinct) < 2):
            return None
        return update.param, {} if update.is_first else dict(update.state)

    return change


OPTIMIZER: tuple[Deviation, ...] = (
    *ADAPTIVE,
    step_deviation("dampening applied on the first step (momentum buffer initialised with zero)", _dampening_at_once),
    step_deviation("dampening missing", _no_dampening),
    step_deviation("momentum as a running mean (gradient times 1 − momentum)", _dampened_though_not_asked),
    step_deviation("momentum buffer initialised with the gradient", _starts_with_gradient),
    step_deviation("lr applied before the momentum (inside the buffer)", _lr_inside_buffer),
    step_deviation("Nesterov missing", _nesterov(False)),
    step_deviation("Nesterov where plain momentum was asked for", _nesterov(True)),
    step_deviation(
        "Nesterov in the other form (from the buffer)", _looks_ahead_from_buffer, _looks_ahead_from_old_buffer
    ),
    step_deviation("momentum with the wrong sign", _buffer_negated, _momentum_negated),
    step_deviation("Nesterov with the wrong sign", _looks_back),
    step_deviation("momentum missing", _no_momentum),
    step_deviation("weight decay applied twice", _decay_times(2.0)),
    step_deviation("weight decay halved", _decay_times(0.5)),
    step_deviation("weight decay missing", _decay_times(0.0)),
    step_deviation("weight decay with the wrong sign", _decay_times(-1.0)),
    step_deviation("weight decay coupled (added to the gradient) instead of decoupled", _coupled),
    step_deviation("weight decay decoupled instead of coupled", _decoupled),
    step_deviation("decoupled weight decay without the lr", _decay_without_lr),
    step_deviation("weight decay applied after the update", _decay_after_update),
    step_deviation("weight decay applied to biases and whatever else is exempt", _decay_everywhere),
    step_deviation("gradient with the wrong sign", _grad_times(lambda _: -1.0)),
    step_deviation("gradient applied twice", _grad_times(lambda _: 2.0)),
    step_deviation("stale gradient (that of the step before)", _stale_gradient),
    step_deviation("gradient not zeroed (that of the step before added)", _added_gradient),
    step_deviation("aliased gradient (that of another parameter)", _gradient_of_another),
    step_deviation("lr applied twice", _lr_times(lambda u: float(u.group["lr"]))),
    step_deviation("lr missing", _lr_times(lambda u: 1 / u.group["lr"] if u.group["lr"] else 1.0)),
    step_deviation("the lr of the first group used for every group", _lr_of_first_group),
    step_deviation("update added instead of subtracted", _upwards),
    step_deviation("a parameter group forgotten", *(_not_updated(group) for group in range(4))),
    step_deviation("no parameter updated", _not_updated(None)),
)
