"""Known deviations of the optimizer step. Each is a few lines on :class:`Update`; ``None`` where it cannot be made.

Where second moments matter, one identity serves several optimizers: what stands under the root is raised by c when the state
before the step is raised by c / β₂, for v' = β₂ v + (1 − β₂) g².

Sources of the variants: Kingma & Ba 2015 (algorithm 1 and the remark on ε̂ at the end of section 2), Loshchilov & Hutter 2019
(decoupled decay), Sutskever et al. 2013 (momentum and Nesterov), and the differences between frameworks that users report:
eps inside or outside the root, the lr inside the momentum buffer, dampening on the first step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainloop.compare.catalogue.scene import Deviation, deviation
from trainloop.compare.catalogue.updates import FIRST_MOMENT, Change, Update, Updated, predicted_by

SECOND_MOMENT: dict[str, tuple[str, Callable[[Update], float]]] = {
    **{name: ("exp_avg_sq", lambda u: float(u.group["betas"][1])) for name in ("Adam", "AdamW", "NAdam", "RAdam")},
    "RMSprop": ("square_avg", lambda u: float(u.group["alpha"])),
    "Adagrad": ("sum", lambda _: 1.0),
}
"""class → the entry under the root, and by how much it shrinks in a step"""
BIAS_CORRECTED = ("Adam", "AdamW", "Adamax", "NAdam", "RAdam")


def step_deviation(name: str, *changes: Change) -> Deviation:
    """Return a deviation of the optimizer step."""
    return deviation(name, "step", *(predicted_by(change) for change in changes))


# eps


def _root_of_raised(update: Update, raised_by: float) -> Updated | None:
    """Run the update with ``raised_by`` added under the root, and without eps outside of it."""
    if update.kind not in SECOND_MOMENT or not update.group["eps"] or update.group.get("amsgrad"):
        return None
    entry, shrink = SECOND_MOMENT[update.kind]
    keep = shrink(update)
    if not keep:
        return None
    before = update.full_state()
    update.state = {**before, entry: before[entry] + raised_by / keep}
    update.group["eps"] = 0.0
    param, state = update.apply()
    return param, {**state, entry: state[entry] - raised_by}


def _eps_inside(update: Update) -> Updated | None:
    return _root_of_raised(update, update.group["eps"]) if update.kind in SECOND_MOMENT else None


def _eps_inside_corrected(update: Update) -> Updated | None:
    if update.kind not in ("Adam", "AdamW"):
        return None
    return _root_of_raised(update, update.group["eps"] * (1 - update.group["betas"][1] ** update.step))


def _eps_before_correction(update: Update) -> Updated | None:
    if update.kind not in ("Adam", "AdamW") or not update.group["eps"]:
        return None
    update.group["eps"] = update.group["eps"] / (1 - update.group["betas"][1] ** update.step) ** 0.5
    return update.apply()


def _eps_times(factor: float) -> Change:
    def change(update: Update) -> Updated | None:
        eps = update.group.get("eps")
        if not isinstance(eps, float) or not eps:
            return None
        update.group["eps"] = eps * factor
        return update.apply()

    return change


# Bias correction


def _rescaled(update: Update, *, lr: float, eps: float = 1.0) -> Updated:
    """Run the update with lr and eps times a factor, and what a decoupled decay removes as it should be."""
    update.group["lr"] = lr * update.group["lr"]
    if _is_decoupled(update):
        update.group["weight_decay"] = update.group["weight_decay"] / lr
    if "eps" in update.group:
        update.group["eps"] = eps * update.group["eps"]
    return update.apply()


def _corrections(update: Update) -> tuple[float, float]:
    """Return 1 − β₁ᵗ and √(1 − β₂ᵗ)."""
    beta1, beta2 = update.group["betas"]
    return 1 - beta1**update.step, (1 - beta2**update.step) ** 0.5


def _no_correction(first: bool, second: bool) -> Change:
    """Undo one correction or both.

    With lr (1 − β₁ᵗ) the first is gone, and √v + eps = √(1 − β₂ᵗ) (√v / √(1 − β₂ᵗ) + eps / √(1 − β₂ᵗ)) shows how to undo
    the second.
    """

    def change(update: Update) -> Updated | None:
        if update.kind == "Adamax" and first and not second:
            return _rescaled(update, lr=_corrections(update)[0])
        if update.kind not in ("Adam", "AdamW"):
            return None
        one, two = _corrections(update)
        return _rescaled(update, lr=(one if first else 1) / (two if second else 1), eps=1 / two if second else 1.0)

    return change


def _correction_without_root(update: Update) -> Updated | None:
    """√v / (1 − β₂ᵗ) + eps = (√v / √(1 − β₂ᵗ) + eps √(1 − β₂ᵗ)) / √(1 − β₂ᵗ)."""
    if update.kind not in ("Adam", "AdamW"):
        return None
    _, two = _corrections(update)
    return _rescaled(update, lr=two, eps=two)


def _correction_with_plus(place: int) -> Change:
    """1 + βᵗ instead of 1 − βᵗ."""

    def change(update: Update) -> Updated | None:
        if update.kind not in ("Adam", "AdamW"):
            return None
        beta, right = update.group["betas"][place], _corrections(update)[place]
        wrong = 1 + beta**update.step
        if place == 0:
            return _rescaled(update, lr=right / wrong)
        return _rescaled(update, lr=wrong**0.5 / right, eps=wrong**0.5 / right)

    return change


def _counted_late(by: int) -> Change:
    def change(update: Update) -> Updated | None:
        if update.kind not in BIAS_CORRECTED or update.step + by < 1:
            return None
        return update.apply(step=update.step + by)

    return change


def _counted_by_run(update: Update) -> Updated | None:
    if update.kind not in BIAS_CORRECTED or update.run_step == update.step:
        return None
    return update.apply(step=update.run_step)


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
    update.state = {**before, entry: _decayed_grad(update)}
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
    look = state["momentum_buffer"] + update.group["momentum"] * _decayed_grad(update)
    return update.param - update.group["lr"] * look, state


def _no_momentum(update: Update) -> Updated | None:
    if update.kind != "SGD" or not update.group["momentum"]:
        return None
    update.group["momentum"], update.group["nesterov"] = 0.0, False
    return update.apply()


def _betas_exchanged(update: Update) -> Updated | None:
    betas = update.group.get("betas")
    if betas is None or betas[0] == betas[1]:
        return None
    update.group["betas"] = (betas[1], betas[0])
    return update.apply()


def _maximum_forgotten(update: Update) -> Updated | None:
    """Divide by the present second moment, whatever the largest was."""
    if not update.group.get("amsgrad"):
        return None
    update.group["amsgrad"] = False
    param, state = update.apply()
    return param, {**state, "max_exp_avg_sq": state["exp_avg_sq"]}


def _first_moment_negated(update: Update) -> Updated | None:
    """With m ← β₁ m − (1 − β₁) g: the gradient enters the first moment with the wrong sign, the second as it should."""
    entry = FIRST_MOMENT.get(update.kind, "")
    if update.kind not in ("Adam", "AdamW"):
        return None
    before = update.full_state()
    beta1 = update.group["betas"][0]
    if not beta1:
        return None
    _, right = update.apply()
    wrong = 2 * beta1 * before[entry] - right[entry]
    # The state that leads to the wrong moment by the right formula.
    update.state = {**before, entry: before[entry] + (wrong - right[entry]) / beta1}
    return update.apply()


def _second_moment_negated(update: Update) -> Updated | None:
    """With v ← β₂ v − (1 − β₂) g²; where it gets negative its root is no number."""
    if update.kind not in SECOND_MOMENT or update.kind == "Adagrad":
        return None
    entry, shrink = SECOND_MOMENT[update.kind]
    keep = shrink(update)
    if not keep:
        return None
    before = update.full_state()
    _, right = update.apply()
    wrong = 2 * keep * before[entry] - right[entry]
    update.state = {**before, entry: before[entry] + (wrong - right[entry]) / keep}
    return update.apply()


# Weight decay


def _decay_times(factor: float) -> Change:
    def change(update: Update) -> Updated | None:
        if not update.group.get("weight_decay"):
            return None
        update.group["weight_decay"] = factor * update.group["weight_decay"]
        return update.apply()

    return change


def _is_decoupled(update: Update) -> bool:
    return update.kind in ("AdamW", "Muon", "Adafactor") or bool(update.group.get("decoupled_weight_decay"))


def _coupled(update: Update) -> Updated | None:
    """Add λ p to the gradient, where the parameter itself should shrink."""
    decay = update.group.get("weight_decay")
    if not decay or not _is_decoupled(update):
        return None
    update.grad = update.grad + decay * update.param
    update.group["weight_decay"] = 0.0
    return update.apply()


def _decoupled(update: Update) -> Updated | None:
    """Shrink the parameter by lr λ, where λ p should enter the gradient."""
    decay = update.group.get("weight_decay")
    if not decay or _is_decoupled(update):
        return None
    update.param = update.param * (1 - update.group["lr"] * decay)
    update.group["weight_decay"] = 0.0
    return update.apply()


def _decay_without_lr(update: Update) -> Updated | None:
    if not update.group.get("weight_decay") or not _is_decoupled(update):
        return None
    update.param = update.param * (1 - update.group["weight_decay"])
    update.group["weight_decay"] = 0.0
    return update.apply()


def _decay_after_update(update: Update) -> Updated | None:
    if not update.group.get("weight_decay") or not _is_decoupled(update):
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


def _decayed_grad(update: Update) -> Tensor:
    decay = update.group.get("weight_decay") or 0.0
    sign = -1.0 if update.group.get("maximize") else 1.0
    return sign * update.grad + (0.0 if _is_decoupled(update) else decay) * update.param


OPTIMIZER: tuple[Deviation, ...] = (
    step_deviation("eps inside the square root, before the bias correction", _eps_inside),
    step_deviation("eps inside the square root, after the bias correction", _eps_inside_corrected),
    step_deviation("eps added before the bias correction", _eps_before_correction),
    step_deviation("eps forgotten", _eps_times(0.0)),
    step_deviation("eps subtracted", _eps_times(-1.0)),
    step_deviation("bias correction missing", _no_correction(True, True)),
    step_deviation("bias correction of the first moment missing", _no_correction(True, False)),
    step_deviation("bias correction of the second moment missing", _no_correction(False, True)),
    step_deviation("bias correction of the second moment without its root", _correction_without_root),
    step_deviation("bias correction of the first moment with 1 + βᵗ", _correction_with_plus(0)),
    step_deviation("bias correction of the second moment with 1 + βᵗ", _correction_with_plus(1)),
    step_deviation("bias correction off by one step", _counted_late(1), _counted_late(-1)),
    step_deviation("one step count for all parameters, also for steps without a gradient", _counted_by_run),
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
    step_deviation("momentum missing", _no_momentum),
    step_deviation("betas exchanged", _betas_exchanged),
    step_deviation("amsgrad without the maximum", _maximum_forgotten),
    step_deviation("gradient enters the first moment with the wrong sign", _first_moment_negated),
    step_deviation("squared gradient enters the second moment with the wrong sign", _second_moment_negated),
    step_deviation("weight decay applied twice", _decay_times(2.0)),
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
