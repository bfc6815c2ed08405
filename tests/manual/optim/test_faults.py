"""Small deviations, seeded into the source of an optimizer one at a time: the parity with torch must notice each."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import pytest
import torch

from trainloop.manual.optim import OPTIMIZERS


@dataclass(frozen=True)
class Fault:
    """One deviation.

    Args:
        name: of the optimizer.
        what: the deviation in words.
        right: the line's text, as the source has it.
        wrong: what takes its place.
        settings: hyper-parameters under which it acts.
    """

    name: str
    what: str
    right: str
    wrong: str
    settings: dict[str, object] = field(default_factory=dict)

    def __str__(self):
        return f"{self.name}: {self.what}"


DECAY = {"weight_decay": 0.05}
DECOUPLED = {"weight_decay": 0.05, "decoupled_weight_decay": True}
MOMENTUM = {"momentum": 0.9}
NESTEROV = {"momentum": 0.9, "nesterov": True}
DAMPENED = {"momentum": 0.9, "dampening": 0.3}

FAULTS = [
    Fault("sgd", "the wrong sign", "-scalars[\"lr\"]", "scalars[\"lr\"]"),
    Fault("sgd", "maximize forgotten", "grad = -grad", "pass", {"maximize": True}),
    Fault("sgd", "the last line rounds twice", "add_scaled(param, grad, -scalars[\"lr\"])", "param - grad * scalars[\"lr\"]"),
    Fault("sgd", "dampening on the first step", "1.0 if step == 1 else 1.0", "1.0", DAMPENED),
    Fault("sgd", "no dampening", "1.0 - group[\"dampening\"]", "1.0", DAMPENED),
    Fault("sgd", "a first buffer of plus zero", "-0.0", "0.0", {**MOMENTUM, "maximize": True}),
    Fault("sgd", "momentum applied twice", "* momentum, grad,", "* momentum * momentum, grad,", MOMENTUM),
    Fault("sgd", "nesterov looks ahead from the buffer", "add_scaled(grad, buffer, momentum) if", "buffer if", NESTEROV),
    Fault("sgd", "gradient and parameter exchanged in the decay", "add_scaled(grad, param,", "add_scaled(param, grad,", DECAY),
    Fault("adam", "eps inside the root", "exp_avg_sq.sqrt() / scalars[\"correction2_sqrt\"] + group[\"eps\"]",
          "(exp_avg_sq + group[\"eps\"]).sqrt() / scalars[\"correction2_sqrt\"]"),
    Fault("adam", "eps before the correction", "exp_avg_sq.sqrt() / scalars[\"correction2_sqrt\"] + group[\"eps\"]",
          "(exp_avg_sq.sqrt() + group[\"eps\"]) / scalars[\"correction2_sqrt\"]", {"eps": 1e-3}),
    Fault("adam", "the correction one step late", "1 - beta1**step", "1 - beta1 ** (step + 1)"),
    Fault("adam", "no correction of the second moment", "(1 - beta2**step) ** 0.5", "1.0"),
    Fault("adam", "β₂ of the first moment", "grad, 1 - beta1)", "grad, 1 - beta2)"),
    Fault("adam", "lerp written as two products", "torch.lerp(state[\"exp_avg\"], grad, 1 - beta1)",
          "state[\"exp_avg\"] * beta1 + grad * (1 - beta1)"),
    Fault("adam", "the square of the mean", "grad, grad, value=1 - beta2", "exp_avg, exp_avg, value=1 - beta2"),
    Fault("adam", "amsgrad forgets the maximum", "torch.maximum(state[\"max_exp_avg_sq\"], exp_avg_sq)", "exp_avg_sq",
          {"amsgrad": True}),
    Fault("adam", "amsgrad puts the maximum into the mean", "exp_avg_sq = new_state[\"max_exp_avg_sq\"] =",
          "exp_avg_sq = new_state[\"exp_avg_sq\"] = new_state[\"max_exp_avg_sq\"] =", {"amsgrad": True}),
    Fault("adam", "decay coupled where it should not be", "if group[\"decoupled_weight_decay\"]:", "if False:", DECOUPLED),
    Fault("adam", "decay without the lr", "1 - lr * group", "1 - group", DECOUPLED),
    Fault("nadam", "the momentum of this step for the next", "lr * mu_next /", "lr * mu /"),
    Fault("nadam", "the next momentum enters the product too early", "(state[\"mu_product\"] * mu).item()",
          "(state[\"mu_product\"] * mu_next).item()"),
    Fault("nadam", "the product in double precision", "(state[\"mu_product\"] * mu).item()",
          "(state[\"mu_product\"].double() * mu).item()"),
    Fault("nadam", "the root before the correction", "(exp_avg_sq / scalars[\"correction2\"]).sqrt()",
          "exp_avg_sq.sqrt() / scalars[\"correction2\"] ** 0.5"),
    Fault("radam", "divides by the root one step too early", "rho > 5.0", "rho > 4.5"),
    Fault("radam", "the paper's bound", "rho > 5.0", "rho > 4.0"),
    Fault("radam", "no rectification", "plain * adaptive * scalars[\"rectification\"]", "plain * adaptive"),
    Fault("radam", "eps after the correction",
          "(exp_avg_sq.sqrt() + group[\"eps\"]).reciprocal() * scalars[\"correction2_sqrt\"]",
          "(exp_avg_sq.sqrt() / scalars[\"correction2_sqrt\"] + group[\"eps\"]).reciprocal()", {"eps": 1e-3}),
    Fault("adamax", "eps after the maximum", "torch.maximum(state[\"exp_inf\"] * beta2, grad.abs() + group[\"eps\"])",
          "torch.maximum(state[\"exp_inf\"] * beta2, grad.abs()) + group[\"eps\"]"),
    Fault("adamax", "the norm does not fade", "state[\"exp_inf\"] * beta2", "state[\"exp_inf\"]"),
    Fault("adamax", "no bias correction", "/ (1 - group[\"betas\"][0] ** step)", "", {}),
    Fault("adagrad", "the decay of the lr one step early", "(step - 1) *", "step *", {"lr_decay": 0.01}),
    Fault("adagrad", "eps inside the root", "total.sqrt() + group[\"eps\"]", "(total + group[\"eps\"]).sqrt()", {"eps": 1e-3}),
    Fault("adadelta", "the mean of the gradients for that of the changes", "delta, delta, value", "grad, grad, value"),
    Fault("adadelta", "eps outside the root", "(square_avg + eps).sqrt()", "(square_avg.sqrt() + eps)"),
    Fault("rmsprop", "the mean is not taken off", "mean, mean, value=-1", "mean, mean, value=0", {"centered": True}),
    Fault("rmsprop", "eps inside the root", "variance.sqrt() + group[\"eps\"]", "(variance + group[\"eps\"]).sqrt()"),
    Fault("rprop", "a changed sign still moves the weight", "grad = torch.where(agreement < 0, 0, grad)", "pass"),
    Fault("rprop", "the step size has no bounds", ".clamp(smallest, largest)", "", {"step_sizes": (1e-3, 0.02)}),
    Fault("asgd", "the decay with lr for η", "1 - lambd * eta", "1 - lambd * lr", {"lambd": 0.1}),
    Fault("asgd", "averaging one step early", "step - group[\"t0\"]", "step + 1 - group[\"t0\"]", {"t0": 3.0}),
    Fault("adafactor", "no clipping of the update", "(-step_size / clip)", "(-step_size)"),
    Fault("adafactor", "rows divided by their own mean", "row_var.mean(dim=-2", "row_var.mean(dim=-1"),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_fault_is_noticed(optim, fault, tmp_path):
    ours, theirs = optim.make_pair(
        optim.with_fault(fault.name, fault.right, fault.wrong, tmp_path), fault.name, fault.settings, torch.float32
    )
    with pytest.raises(AssertionError, match=r"step \d+, parameter \d"):
        optim.step_pair(ours, theirs, range(12), functools.partial(optim.make_grads, dtype=torch.float32))


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_without_the_fault_nothing_is_noticed(optim, fault):
    ours, theirs = optim.make_pair(OPTIMIZERS[fault.name], fault.name, fault.settings, torch.float32)
    optim.step_pair(ours, theirs, range(12), functools.partial(optim.make_grads, dtype=torch.float32))


def test_every_optimizer_that_is_compared_with_torch_has_faults():
    assert {fault.name for fault in FAULTS} | {"adamw"} == {
        name for name, ours in OPTIMIZERS.items() if ours.deviation_reason is None
    }
