"""Batch norm and instance norm: running statistics, what one batch leaves for another, what is refused."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from trainloop.manual import RULES, Tape

FORMS = ("aten", "formula")
MODULES = {
    "2-d": (nn.BatchNorm1d(4), (6, 4)),
    "3-d": (nn.BatchNorm1d(4, momentum=0.3), (6, 4, 5)),
    "4-d": (nn.BatchNorm2d(4, eps=0.01), (6, 4, 3, 5)),
    "5-d": (nn.BatchNorm3d(4, affine=False), (2, 4, 3, 2, 5)),
    "cumulative": (nn.BatchNorm2d(4, momentum=None), (6, 4, 3, 5)),
    "no running statistics": (nn.BatchNorm2d(4, track_running_stats=False), (6, 4, 3, 5)),
    "instance": (nn.InstanceNorm2d(4, affine=True, track_running_stats=True), (6, 4, 3, 5)),
}
modules = pytest.mark.parametrize(("module", "shape"), MODULES.values(), ids=MODULES)


def train(module, batches, form=None):
    """Three batches forward and backward, then one in eval mode; return its output and all gradients."""
    for x in batches[:3]:
        step(module, x, form)
    return step(module.eval(), batches[3], form)


def step(module, x, form):
    x = x.detach().requires_grad_()
    if form is None:
        loss = (module(x) * x).sum()
        loss.backward()
    else:
        with Tape(form=form) as tape:
            loss = (module(x) * x).sum()
        tape.backward(loss)
    return [loss.detach(), x.grad, *(param.grad for param in module.parameters())]


@modules
def test_training_and_evaluating_has_the_bits_of_autograd(draw, module, shape):
    batches = [draw(*shape) for _ in range(4)]
    theirs, ours = copy.deepcopy(module), copy.deepcopy(module)
    for found, expected in zip(train(ours, batches, "aten"), train(theirs, batches), strict=True):
        assert torch.equal(found, expected)
    for found, expected in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.equal(found, expected)


@modules
def test_the_formula_follows_with_its_running_statistics(draw, assert_close, module, shape):
    batches = [draw(*shape, dtype=torch.float64) for _ in range(4)]
    theirs, ours = copy.deepcopy(module).double(), copy.deepcopy(module).double()
    for found, expected in zip(train(ours, batches, "formula"), train(theirs, batches), strict=True):
        assert_close(found, expected)
    for found, expected in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert_close(found.double(), expected.double(), "state")


@pytest.mark.parametrize("form", FORMS)
def test_momentum_weighs_the_new_value_and_the_running_variance_is_unbiased(form):
    mean, var = torch.tensor([10.0]), torch.tensor([10.0])
    x = torch.tensor([[[1.0, 3.0]]]).requires_grad_()
    with Tape(form=form):
        F.batch_norm(x, mean, var, training=True, momentum=0.25)
    assert mean.tolist() == [0.75 * 10 + 0.25 * 2]
    assert var.tolist() == [0.75 * 10 + 0.25 * 2]  # biased it is 1


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_batch_changes_no_running_statistics(form):
    mean, var = torch.ones(3), torch.ones(3)
    with Tape(form=form):
        F.batch_norm(torch.empty(0, 3, 2, 2).requires_grad_(), mean, var, training=True)
    assert mean.tolist() == var.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("form", FORMS)
def test_a_module_may_see_two_batches_before_one_backward(differentiate, draw, assert_close, form):
    module, second = nn.BatchNorm2d(3), draw(4, 3, 5, 5).detach()
    x = draw(4, 3, 5, 5)

    def twice(x):
        return module(x) + module(x * second)

    assert_close(differentiate(twice, [x], form)[1][0], differentiate(twice, [x])[1][0])


@pytest.mark.parametrize("form", FORMS)
def test_nan_in_one_channel_stays_there(form, draw):
    x = draw(2, 3, 4, 4).detach()
    x[0, 1, 0, 0] = float("nan")
    x.requires_grad_()
    with Tape(form=form) as tape:
        y = F.batch_norm(x, None, None, training=True)
    tape.backward(y, torch.ones_like(y))
    assert x.grad.isnan().any((0, 2, 3)).tolist() == [False, True, False]


@pytest.mark.parametrize("form", FORMS)
def test_frozen_statistics_and_weights_need_no_input(draw, form):
    x, mean, var, weight = draw(2, 3, 4, 4), torch.zeros(3), torch.ones(3), torch.ones(3)
    keywords = {"needs": (True, False, False)} if form == "formula" else {}
    _, saved = RULES[F.batch_norm].forms[form].forward(x, mean, var, weight, **keywords)
    # The library's backward asks for x even where it multiplies by constants.
    assert any(tensor is x for tensor in saved) == (form == "aten")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: F.batch_norm(x[:1, :, 0, 0], None, None, training=True),
            r"Expected more than 1 value per channel when training, got input size .*1, 3",
        ),
        (lambda x: F.batch_norm(x, None, None, training=True, eps=0.0), "eps must be positive .* but got 0.0"),
        (lambda x: F.batch_norm(x, torch.zeros(3), torch.ones(3), eps=-1.0), "eps must be non-negative, but got -1.0"),
        (
            lambda x: F.instance_norm(x[..., :1, :1]),
            r"Expected more than 1 spatial element when training, got input size .*2, 3, 1, 1",
        ),
    ],
    ids=["one value", "eps 0", "eps -1", "one element"],
)
def test_what_torch_refuses_is_refused(draw, form, call, message):
    x = draw(2, 3, 4, 4)
    with pytest.raises(ValueError, match=message):
        call(x.detach())
    with Tape(form=form), pytest.raises(ValueError, match=message):
        call(x)


@pytest.mark.parametrize("form", FORMS)
def test_eval_mode_needs_running_statistics(draw, form):
    with Tape(form=form), pytest.raises(RuntimeError, match="running"):
        F.batch_norm(draw(2, 3, 4, 4), None, None)


def test_the_formula_says_what_it_got_instead(draw):
    with Tape(form="formula"), pytest.raises(RuntimeError, match="needs running statistics, but got None, None"):
        F.batch_norm(draw(2, 3, 4, 4), None, None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("training", [True, False])
def test_one_graph_holds_the_running_statistics_too(draw, form, training):
    x, weight, bias = draw(4, 3, 5, 5).detach(), draw(3).detach(), draw(3).detach()

    def forward_and_backward(x, weight, bias, mean, var):
        leaves = [tensor.detach().requires_grad_() for tensor in (x, weight, bias)]
        mean, var = mean.clone(), var.clone()
        with Tape(form=form) as tape:
            y = F.batch_norm(leaves[0], mean, var, leaves[1], leaves[2], training)
        return y.detach(), mean, var, *tape.gradients(y, leaves, torch.ones_like(y))

    inputs = (x, weight, bias, torch.zeros(3), torch.ones(3))
    graph = make_fx(forward_and_backward, tracing_mode="fake")(*inputs)
    for captured, eager in zip(graph(*inputs), forward_and_backward(*inputs), strict=True):
        assert torch.equal(captured, eager)
    assert inputs[3].tolist() == [0.0, 0.0, 0.0]
