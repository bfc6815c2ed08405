"""Faults of Adam and the other optimizers: edits of their source."""

from __future__ import annotations

from trainloop.compare.zoo.fault import PARAM, UNKNOWN, Fault
from trainloop.compare.zoo.faults_of_optimizers import DECAY, DECOUPLED, EPS_INSIDE, NO_FIRST, edited

ADAM_EPS = 'exp_avg_sq.sqrt() / scalars["correction2_sqrt"] + group["eps"]'
ADAM_LAST = 'return addcdiv_scaled(param, exp_avg, denominator, -scalars["step_size"]), new_state'

OF_ADAM: tuple[Fault, ...] = (
    edited(
        "adam",
        "eps inside the root",
        ((ADAM_EPS, '(exp_avg_sq + group["eps"]).sqrt() / scalars["correction2_sqrt"]'),),
        ("eps inside the square root, before the bias correction",),
    ),
    edited(
        "adam",
        "eps before the bias correction",
        ((ADAM_EPS, '(exp_avg_sq.sqrt() + group["eps"]) / scalars["correction2_sqrt"]'),),
        ("eps added before the bias correction",),
    ),
    edited("adam", "no eps", ((' + group["eps"]\n', "\n"),), ("eps forgotten",), {"eps": 1e-4}),
    edited("adam", "no correction of the first moment", (("lr / (1 - beta1**step)", "lr"),), (NO_FIRST,)),
    edited(
        "adam",
        "no correction of the second moment",
        (("(1 - beta2**step) ** 0.5", "1.0"),),
        ("bias correction of the second moment missing",),
    ),
    edited(
        "adam",
        "the corrections one step late",
        (("1 - beta1**step", "1 - beta1 ** (step + 1)"), ("1 - beta2**step", "1 - beta2 ** (step + 1)")),
        ("bias correction off by one step",),
    ),
    edited(
        "adam",
        "the betas swapped",
        (
            ('beta1, beta2 = group["betas"]', 'beta2, beta1 = group["betas"]'),
            ("lr, (beta1, beta2) =", "lr, (beta2, beta1) ="),
        ),
        ("betas exchanged",),
        tensor=rf"exp_avg of {PARAM}",  # the corrections undo it in the first update
    ),
    edited(
        "adam",
        "the square of the mean",
        (("grad, grad, value=1 - beta2", "exp_avg, exp_avg, value=1 - beta2"),),
        UNKNOWN,
    ),
    edited(
        "adam",
        "amsgrad forgets the maximum",
        (('torch.maximum(state["max_exp_avg_sq"], exp_avg_sq)', "exp_avg_sq"),),
        ("amsgrad without the maximum",),
        {"amsgrad": True, "betas": (0.9, 0.5)},
    ),
    edited(
        "adam",
        "weight decay decoupled",
        (('if group["decoupled_weight_decay"]:', "if True:"),),
        (DECOUPLED,),
        DECAY,
    ),
    edited(
        "adamw",
        "weight decay coupled",
        (('if group["decoupled_weight_decay"]:', "if False:"),),
        ("weight decay coupled (added to the gradient) instead of decoupled",),
        DECAY,
        of="adam",
    ),
    edited(
        "adamw",
        "decay without the lr",
        (("1 - lr * group", "1 - group"),),
        ("decoupled weight decay without the lr",),
        DECAY,
        of="adam",
    ),
    edited(
        "adamw",
        "decay after the step",
        (
            ('param = param * scalars["decay"]', "pass"),
            (
                ADAM_LAST,
                f'{ADAM_LAST[:-11].replace("return ", "moved = ")}\n        return moved * scalars["decay"], new_state',
            ),
        ),
        ("weight decay applied after the update",),
        {"weight_decay": 0.3},
        of="adam",
    ),
)

OF_OTHERS: tuple[Fault, ...] = (
    edited(
        "rmsprop",
        "eps inside the root",
        (('variance.sqrt() + group["eps"]', '(variance + group["eps"]).sqrt()'),),
        EPS_INSIDE,
    ),
    edited(
        "rmsprop",
        "the mean is not taken off",
        (("mean, mean, value=-1", "mean, mean, value=0"),),
        UNKNOWN,
        {"centered": True},
    ),
    edited("adagrad", "the decay of the lr one step early", (("(step - 1) *", "step *"),), UNKNOWN, {"lr_decay": 0.01}),
    edited(
        "adagrad",
        "eps inside the root",
        (('total.sqrt() + group["eps"]', '(total + group["eps"]).sqrt()'),),
        EPS_INSIDE,
    ),
    edited("adadelta", "eps outside the root", (("(square_avg + eps).sqrt()", "(square_avg.sqrt() + eps)"),), UNKNOWN),
    edited("nadam", "the momentum of this step for the next", (("lr * mu_next /", "lr * mu /"),), UNKNOWN),
    edited("radam", "the paper's bound", (("rho > 5.0", "rho > 4.0"),), UNKNOWN, num_steps=6, tensor=r"hidden\.weight"),
    edited(
        "radam",
        "no correction of the first moment",
        (('"correction1": 1 - beta1**step', '"correction1": 1.0'),),
        (NO_FIRST,),
    ),
    edited(
        "adamax",
        "eps after the maximum",
        (
            (
                'torch.maximum(state["exp_inf"] * beta2, grad.abs() + group["eps"])',
                'torch.maximum(state["exp_inf"] * beta2, grad.abs()) + group["eps"]',
            ),
        ),
        UNKNOWN,
        {"eps": 1e-3},
    ),
    edited(
        "rprop",
        "a changed sign still moves the weight",
        (("grad = torch.where(agreement < 0, 0, grad)", "pass"),),
        UNKNOWN,
    ),
    edited("asgd", "the decay with lr for η", (("1 - lambd * eta", "1 - lambd * lr"),), UNKNOWN, {"lambd": 0.1}),
    edited("adafactor", "no clipping of the update", (("(-step_size / clip)", "(-step_size)"),), UNKNOWN),
)

FAULTS: tuple[Fault, ...] = (*OF_ADAM, *OF_OTHERS)
