"""Each known deviation of the optimizer step, made in a candidate, is named as the cause."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from trainloop.compare import TrainingStep, compare
from trainloop.compare.catalogue.optimizer import OPTIMIZER
from trainloop.compare.catalogue.updates import Update

SETTINGS = [
    ("AdamW", {"lr": 1e-2}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-2}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 1e-2}),
    ("Adam", {"lr": 1e-2, "weight_decay": 1e-2, "amsgrad": True}),
]


def change_of(deviation):
    """How the deviation updates a parameter, out of its closure."""
    return deviation.predict[0].__closure__[0].cell_contents


class Deviating(torch.optim.Optimizer):
    """torch's optimizer of some kind, but that every update has a deviation."""

    def __init__(self, params, kind, change, **settings):
        self.kind, self.change = kind, change
        self.steps, self.earlier = 0, {}
        right = getattr(torch.optim, kind)([nn.Parameter(torch.zeros(1))], **settings)
        super().__init__(params, {**right.defaults, **settings})

    @torch.no_grad()
    def step(self):
        self.steps += 1
        members = [(p, group) for group in self.param_groups for p in group["params"]]
        settings = {id(group): {k: v for k, v in group.items() if k != "params"} for group in self.param_groups}
        grads = {str(id(p)): p.grad for p, _ in members}
        record = SimpleNamespace(
            settings={str(id(p)): settings[id(group)] for p, group in members}, grads_after=lambda _: grads
        )
        for param, group in members:
            if param.grad is None:
                continue
            name = str(id(param))

            def update(name=name, param=param, group=group):
                return Update(
                    name=name,
                    kind=self.kind,
                    param=param.detach().clone(),
                    grad=param.grad.clone(),
                    state={entry: value.clone() for entry, value in self.state[param].items()},
                    group=dict(settings[id(group)]),
                    run_step=self.steps,
                    earlier_grad=self.earlier.get(name),
                    scene=SimpleNamespace(differing=SimpleNamespace(record=record)),
                )

            made = self.change(update()) or update().apply()
            param.copy_(made[0])
            # A deviation may say less about the state than the optimizer keeps.
            self.state[param].update({**update().apply()[1], **made[1]} if made[1] or self.state[param] else {})
        self.earlier = {name: grad.clone() for name, grad in grads.items() if grad is not None}


NET = nn.Linear(3, 2)
BATCH = (torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 1, 0]))


def verdict_of(kind, settings, deviation):
    right = TrainingStep(NET, partial(getattr(torch.optim, kind), foreach=False, **settings))
    wrong = TrainingStep(NET, partial(Deviating, kind=kind, change=change_of(deviation), **settings))
    return compare(right, wrong, [BATCH] * 2, stages=["step"])


@pytest.mark.parametrize("deviation", OPTIMIZER, ids=lambda deviation: deviation.name)
def test_a_deviation_is_named_where_it_makes_a_difference(deviation):
    found = (verdict_of(kind, settings, deviation) for kind, settings in SETTINGS)
    verdict = next((one for one in found if one.verdict == "different"), None)
    assert verdict is not None, "no optimizer shows it"
    assert deviation.name in (verdict.cause.name, *verdict.cause.also)
    assert verdict.cause.residual < 0.05


def test_without_a_deviation_there_is_no_cause():
    right = TrainingStep(NET, partial(torch.optim.AdamW, foreach=False))
    assert (
        compare(right, TrainingStep(NET, partial(Deviating, kind="AdamW", change=lambda _: None)), [BATCH]).cause
        is None
    )
