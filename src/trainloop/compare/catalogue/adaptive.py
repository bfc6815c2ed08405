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


def _one_counted_late(place: int) -> Change:
    """Let one of the two corrections be that of the next step."""

    def change(update: Update) -> Updated | None:
        if update.kind not in ("Adam", "AdamW"):
            return None
        wrong, right = 1 - update.group["betas"][place] ** (update.step + 1), _corrections(update)[place]
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


def _maximum_unused(update: Update) -> Updated | None:
    """Keep the maximum, and divide by the present second moment all the same."""
    if not update.group.get("amsgrad"):
        return None
    _, state = update.apply()
    update.group["amsgrad"] = False
    return update.apply()[0], state


def _moment(place: int, weights: Callable[[float, float, float], tuple[float, float]]) -> Change:
    """Weigh old moment and new value in another way: (β of this moment, β₁, β₂) → (weight of the old, weight of the new).

    The right formula is led to the wrong moment by a state before the step from which it would come out.
    """

    def change(update: Update) -> Updated | None:
        entry, keep = _entry_of(update, place)
        if not entry or not 0 < keep < 1:
            return None
        before = update.full_state()
        _, right = update.apply()
        new = (right[entry] - keep * before[entry]) / (1 - keep)
        old_weight, new_weight = weights(keep, *(update.group.get("betas") or (keep, keep)))
        wanted = old_weight * before[entry] + new_weight * new
        update.state = {**before, entry: (wanted - (1 - keep) * new) / keep}
        return update.apply()

    return change


def _entry_of(update: Update, place: int) -> tuple[str, float]:
    """Return the name of the first or the second moment and its β; no name where there is none."""
    if place == 0:
        adam = update.kind in ("Adam", "AdamW")
        return (FIRST_MOMENT[update.kind], update.group["betas"][0]) if adam else ("", 0.0)
    entry, shrink = SECOND_MOMENT.get(update.kind, ("", lambda _: 0.0))
    return entry, shrink(update)


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
    step_deviation("bias correction of the first moment off by one step", _one_counted_late(0)),
    step_deviation("bias correction of the second moment off by one step", _one_counted_late(1)),
    step_deviation("one step count for all parameters, also for steps without a gradient", _counted_by_run),
    step_deviation("betas exchanged", _betas_exchanged),
    step_deviation("amsgrad without the maximum", _maximum_forgotten, _maximum_unused),
    step_deviation("gradient enters the first moment with the wrong sign", _moment(0, lambda b, *_: (b, b - 1))),
    step_deviation(
        "squared gradient enters the second moment with the wrong sign", _moment(1, lambda b, *_: (b, b - 1))
    ),
    step_deviation("first moment with the wrong sign", _moment(0, lambda b, *_: (-b, 1 - b))),
    step_deviation("β₂ used for the first moment", _moment(0, lambda _b, _b1, b2: (b2, 1 - b2))),
    step_deviation("β₁ used for the second moment", _moment(1, lambda _b, b1, _b2: (b1, 1 - b1))),
    step_deviation("gradient enters the first moment without 1 − β₁", _moment(0, lambda b, *_: (b, 1.0))),
    step_deviation("squared gradient enters the second moment without 1 − β₂", _moment(1, lambda b, *_: (b, 1.0))),
    step_deviation(
        "weights of old and new exchanged in a moment",
        *(_moment(place, lambda b, *_: (1 - b, b)) for place in (0, 1)),
    ),
    step_deviation(
        "new value enters a moment with β instead of 1 − β", *(_moment(place, lambda b, *_: (b, b)) for place in (0, 1))
    ),
)
