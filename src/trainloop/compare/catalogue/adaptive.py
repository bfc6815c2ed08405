"""Known deviations of optimizers with a second moment: eps, bias correction, the moments themselves.

Each is a few lines on :class:`Update`; ``None`` where it cannot be made. One identity serves several optimizers: what stands
under the root is raised by c when the state before the step is raised by c / β₂, for v' = β₂ v + (1 − β₂) g².

Source: Kingma & Ba 2015, arXiv:1412.6980, algorithm 1 and the remark on ε̂ at the end of section 2.
"""

from __future__ import annotations

from collections.abc import Callable

from trainloop.compare.catalogue.scene import Deviation
from trainloop.compare.catalogue.updates import FIRST_MOMENT, Change, Update, Updated, step_deviation

SECOND_MOMENT: dict[str, tuple[str, Callable[[Update], float]]] = {
    **{name: ("exp_avg_sq", lambda u: float(u.group["betas"][1])) for name in ("Adam", "AdamW", "NAdam", "RAdam")},
    "RMSprop": ("square_avg", lambda u: float(u.group["alpha"])),
    "Adagrad": ("sum", lambda _: 1.0),
}
"""class → the entry under the root, and by how much it shrinks in a step"""
BIAS_CORRECTED = ("Adam", "AdamW", "Adamax", "NAdam", "RAdam")


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
    if update.is_decoupled:
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
        if update.kind in ("Adamax", "RAdam") and first and not second:
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


ADAPTIVE: tuple[Deviation, ...] = (
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
    step_deviation("betas exchanged", _betas_exchanged),
    step_deviation("amsgrad without the maximum", _maximum_forgotten),
    step_deviation("gradient enters the first moment with the wrong sign", _first_moment_negated),
    step_deviation("squared gradient enters the second moment with the wrong sign", _second_moment_negated),
)
