"""A batch is recognised at the next step, and every change is noticed that would make it another one."""

from __future__ import annotations

import pytest
import torch

from trainloop.manual.optim import SGD, AdamW
from trainloop.manual.optim.compiled import CompiledForm
from trainloop.manual.optim.foreach import ForeachForm

FORMS = {"foreach": ForeachForm, "compiled": CompiledForm}


def in_groups(optim):
    params = optim.make_params(torch.float32)
    return [{"params": params[:2]}, {"params": params[2:], "lr": 0.003}]


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_is_recognised_and_keeps_no_gradient(optim, form):
    fast = FORMS[form](AdamW(in_groups(optim)))
    params = optim.all_params(fast.optimizer)
    for step in (1, 2):
        optim.set_grads(params, optim.make_grads(step, torch.float32))
        fast.step()
    known = dict(fast._batches)
    optim.set_grads(params, optim.make_grads(4, torch.float32))
    fast.step()
    assert fast._batches == known
    assert all(batch.grads == [] for batch in known.values())


def narrower_data(optimizer, params):
    params[2].data = params[2].data[:3]
    optimizer.state[params[2]]["momentum_buffer"] = optimizer.state[params[2]]["momentum_buffer"][:3].clone()
    params[2].grad = params[2].grad[:3]


CHANGES = {
    "data": lambda _, params: setattr(params[2], "data", params[2].data * 3),
    "narrower data": narrower_data,
    "layout": lambda _, params: setattr(params[0], "data", params[0].data.contiguous()),
    "layout of a gradient": lambda _, params: setattr(params[0], "grad", params[0].grad.contiguous()),
    "no gradient": lambda _, params: setattr(params[1], "grad", None),
    "an entry of the state": lambda optimizer, params: optimizer.state[params[2]].update(
        momentum_buffer=torch.full((5, 6), 0.5).T
    ),
    "the state": lambda optimizer, _: optimizer.state.clear(),
    "dtype": lambda optimizer, _: torch.nn.ParameterList(optimizer.param_groups[1]["params"]).double(),
    "order": lambda optimizer, _: optimizer.param_groups[0]["params"].reverse(),
    "a parameter less": lambda optimizer, _: optimizer.param_groups[0]["params"].pop(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_between_two_steps_is_noticed(optim, form, change):
    both = [SGD(in_groups(optim), lr=0.1, momentum=0.9, weight_decay=5e-4) for _ in range(2)]
    fast = FORMS[form](both[1])
    params = [optim.all_params(optimizer) for optimizer in both]
    for step in (0, 1, 4):
        for optimizer, own in zip(both, params, strict=True):
            optim.set_grads(own, optim.make_grads(step, torch.float32))
            if step == 4:
                CHANGES[change](optimizer, own)
        both[0].step()
        fast.step()
    for one, two in zip(*params, strict=True):
        assert optim.same_bits(one.data, two.data)
    optim.assert_same_bits(both[1], both[0], change)
