"""Dropout: torch's draws under one seed, what costs no draw, and the fused kernel's form."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torchvision.ops import StochasticDepth

from trainloop.manual import Tape
from trainloop.manual.rules import dropout as rules

FORMS = ("aten", "formula")
FUNCTIONS = {
    "dropout": (F.dropout, (2, 3, 4, 5)),
    "dropout1d": (F.dropout1d, (2, 3, 4)),
    "dropout1d unbatched": (F.dropout1d, (3, 4)),
    "dropout2d": (F.dropout2d, (2, 3, 4, 5)),
    "dropout3d": (F.dropout3d, (2, 3, 2, 4, 5)),
    "dropout3d unbatched": (F.dropout3d, (3, 2, 4, 5)),
    "alpha_dropout": (F.alpha_dropout, (2, 3, 4, 5)),
    "feature_alpha_dropout": (F.feature_alpha_dropout, (2, 3, 4, 5)),
}
functions = pytest.mark.parametrize(("function", "shape"), FUNCTIONS.values(), ids=FUNCTIONS)


@functions
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("training", [True, False])
def test_the_generator_is_left_as_torch_leaves_it(draw, function, shape, p, training):
    x = draw(*shape)
    torch.manual_seed(0)
    function(x.detach(), p, training)
    expected = torch.get_rng_state()
    torch.manual_seed(0)
    with Tape():
        function(x, p, training)
    assert torch.equal(torch.get_rng_state(), expected)


@functions
def test_several_calls_under_one_seed(differentiate, draw, function, shape):
    x = draw(*shape)

    def three(x):
        return function(function(function(x, 0.2, True), 0.5, True), 0.3, True)

    expected, found = differentiate(three, [x]), differentiate(three, [x], "aten")
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1][0], expected[1][0])


@functions
@pytest.mark.parametrize("inplace", [False, True])
def test_outside_training_the_output_is_the_input(draw, function, shape, inplace):
    x = draw(*shape)
    with Tape():
        y = x * 1
        assert function(y, 0.5, False, inplace) is y


def test_draws_follow_the_memory_as_torchs_do(differentiate, draw):
    x = draw(2, 3, 4, 5).detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    assert torch.equal(differentiate(F.dropout, [x], "aten")[0], differentiate(F.dropout, [x])[0])


@pytest.mark.parametrize("form", FORMS)
def test_a_module_that_overwrites_its_input(differentiate, draw, form):
    module = nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.4, inplace=True), nn.ReLU(inplace=True))
    x = draw(4, 5)
    expected, found = differentiate(module, [x]), differentiate(module, [x], form)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1][0], expected[1][0])


@pytest.mark.parametrize("mode", ["row", "batch"])
@pytest.mark.parametrize("training", [True, False])
def test_stochastic_depth_needs_no_rule_of_its_own(differentiate, draw, mode, training):
    module = StochasticDepth(0.4, mode).train(training)
    x = draw(6, 3, 2, 2)

    def residual(x):
        return x + module(x * 2)

    expected, found = differentiate(residual, [x]), differentiate(residual, [x], "aten")
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1][0], expected[1][0])


def test_nan_times_zero_is_nan_as_in_torch(differentiate):
    x = torch.tensor([float("nan"), float("inf"), 1.0], requires_grad=True)
    assert str(differentiate(lambda x: F.dropout(x, 1.0), [x], "aten")[0].tolist()) == "[nan, nan, 0.0]"


@pytest.mark.parametrize("p", [-0.1, 1.5])
@functions
def test_p_must_be_a_probability(draw, function, shape, p):
    with Tape(), pytest.raises(ValueError, match=f"dropout probability has to be between 0 and 1, but got {p}"):
        function(draw(*shape), p, True)


def test_channels_need_an_axis(draw):
    with Tape(), pytest.raises(RuntimeError, match="dropout1d: Expected 2D or 3D input, but received a 1D input"):
        F.dropout1d(draw(4), 0.5, True)


def test_torchs_warning_about_the_batch_axis_is_heard(draw):
    with Tape(), pytest.warns(UserWarning, match="dropout2d: Received a 3D input"):
        F.dropout2d(draw(2, 3, 4), 0.5, True)


def test_alpha_dropout_keeps_mean_and_variance():
    x = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    torch.manual_seed(1)  # not that of x, or what is dropped would depend on it
    with Tape():
        y = F.alpha_dropout(x, 0.3, True).detach()
    five_sigma = 5 / len(x) ** 0.5
    assert abs(y.mean().item()) < five_sigma
    assert abs(y.var().item() - 1) < 2 * five_sigma


@pytest.mark.parametrize("form", FORMS)
def test_the_fused_kernel_saves_a_byte_per_element(monkeypatch, draw, form):
    monkeypatch.setattr(rules, "FUSED_DEVICES", ("cpu",))
    x = draw(4, 5)
    torch.manual_seed(0)
    with Tape(form=form) as tape:
        y = F.dropout(x, 0.25)
    keep, scale = tape.nodes[-1].saved
    assert keep.dtype == torch.bool
    assert torch.equal(y.detach(), x.detach() * keep * scale)
    tape.backward(y, torch.ones_like(y))
    assert torch.equal(x.grad, keep * torch.tensor(scale))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_the_fused_kernel_is_not_asked_where_nothing_is_drawn(monkeypatch, draw, p):
    monkeypatch.setattr(rules, "FUSED_DEVICES", ("cpu",))
    monkeypatch.setattr(torch, "native_dropout", None)
    x = draw(4, 5)
    with Tape():
        assert torch.equal(F.dropout(x, p).detach(), x.detach() * (1 - p))


def test_a_captured_graph_draws_anew(draw):
    x = draw(4, 50).detach()

    def forward_and_backward(x):
        leaf = x.detach().requires_grad_()
        with Tape() as tape:
            y = F.dropout(leaf, 0.5)
        return y.detach(), *tape.gradients(y, [leaf], torch.ones_like(y))

    graph = make_fx(forward_and_backward, tracing_mode="fake")(x)
    torch.manual_seed(0)
    first, second = graph(x), graph(x)
    torch.manual_seed(0)
    for captured, eager in zip((*first, *second), (*forward_and_backward(x), *forward_and_backward(x)), strict=True):
        assert torch.equal(captured, eager)
    assert not torch.equal(first[0], second[0])
