"""Pooling: where ties, NaN and infinity go, what averages divide by, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from trainloop.manual import Tape

FORMS = ("aten", "formula")
NAN, INF = float("nan"), float("inf")


def gradient_of_the_maximum(form, values):
    x = torch.tensor([[[values]]], requires_grad=True)
    with Tape(form=form) as tape:
        y = F.max_pool2d(x, (1, len(values)))
    tape.backward(y, torch.ones_like(y))
    return x.grad.flatten().tolist()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 3.0, 3.0], [0.0, 1.0, 0.0]),
        ([0.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
        ([NAN, 1.0, NAN], [0.0, 0.0, 1.0]),
        ([-INF, -INF, -INF], [1.0, 0.0, 0.0]),
        ([INF, 1.0, INF], [1.0, 0.0, 0.0]),
    ],
    ids=str,
)
def test_the_gradient_goes_to_the_first_maximum_and_the_last_nan(form, values, expected):
    assert gradient_of_the_maximum(form, values) == expected


@pytest.mark.parametrize("form", FORMS)
def test_ties_go_where_autograd_sends_them(differentiate, form):
    x = torch.randint(0, 2, (2, 3, 9, 9), generator=torch.Generator().manual_seed(0)).float().requires_grad_()

    def pool(x):
        return F.max_pool2d(x, 3, stride=2, padding=1)

    assert torch.equal(differentiate(pool, [x], form)[1][0], differentiate(pool, [x])[1][0])


@pytest.mark.parametrize("form", FORMS)
def test_a_maximum_of_several_windows_receives_all_of_them(form):
    x = torch.tensor([[[0.0, 5.0, 0.0, 0.0]]], requires_grad=True)
    with Tape(form=form) as tape:
        y = F.max_pool1d(x, 2, stride=1)
    tape.backward(y, torch.tensor([[[1.0, 10.0, 100.0]]]))
    assert x.grad.tolist() == [[[0.0, 11.0, 100.0, 0.0]]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("module", [nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d], ids=lambda module: module.__name__)
def test_indices_come_with_the_maxima(draw, form, module):
    num_axes = int(module.__name__[-2])
    x = draw(2, 3, *[6] * num_axes)
    pool = module(2, return_indices=True)
    expected = pool(x.detach())
    with Tape(form=form) as tape:
        y, indices = pool(x)
    assert torch.equal(y, expected[0])
    assert torch.equal(indices, expected[1])
    assert not indices.requires_grad
    tape.backward(y, torch.ones_like(y))
    assert x.grad.flatten(-num_axes)[0, 0, indices[0, 0].flatten()].eq(1).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[0.25, 0.25, 0.25]]),
        ({"padding": 1}, [[0.25, 0.25, 0.25]]),
        ({"padding": 1, "count_include_pad": False}, [[1.0, 0.5, 0.5]]),
        ({"padding": 1, "divisor_override": 2}, [[0.5, 0.5, 0.5]]),
    ],
    ids=str,
)
def test_what_an_average_divides_by(form, options, expected):
    x = torch.zeros(1, 1, 1, 3) if options else torch.zeros(1, 1, 2, 4)
    x.requires_grad_()
    with Tape(form=form) as tape:
        y = F.avg_pool2d(x, 2, **options)
    tape.backward(y, torch.ones_like(y))
    assert x.grad[0, 0, :1, :3].tolist() == expected


@pytest.mark.parametrize("form", FORMS)
def test_what_a_window_reaches_beyond_the_padding_never_counts(form):
    x = torch.zeros(1, 1, 1, 5, requires_grad=True)
    with Tape(form=form) as tape:
        y = F.avg_pool2d(x, (1, 3), stride=(1, 2), ceil_mode=True)
    assert y.shape[-1] == 2
    with Tape(form=form) as tape:
        y = F.avg_pool2d(x, (1, 4), stride=(1, 3), ceil_mode=True)
    tape.backward(y, torch.ones_like(y))
    assert x.grad.flatten().tolist() == [0.25, 0.25, 0.25, 0.75, 0.5]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", [F.max_pool2d, F.avg_pool2d], ids=["max", "avg"])
def test_an_infinite_gradient_stays_in_its_window(differentiate, draw, form, function):
    x = draw(1, 1, 4, 4)
    grad_output = torch.tensor([[[[INF, 1.0], [1.0, NAN]]]])
    _, expected = differentiate(lambda x: function(x, 2), [x], grad_output=grad_output)
    _, found = differentiate(lambda x: function(x, 2), [x], form, grad_output=grad_output)
    assert str(found[0].tolist()) == str(expected[0].tolist())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (lambda x: F.max_pool2d(x, 2, stride=0), "stride should not be zero"),
        (lambda x: F.max_pool2d(x, 2, padding=2), "pad should be at most half of effective kernel size"),
        (lambda x: F.max_pool2d(x, 9), "Output size is too small"),
        (lambda x: F.avg_pool2d(x, 2, stride=0), "stride should not be zero"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=0), "divisor must be not zero"),
        (lambda x: F.avg_pool1d(x[0], 9), "Output size is too small|Invalid computed output size"),
    ],
    ids=["stride 0", "padding", "too small", "average with stride 0", "divisor 0", "one axis"],
)
def test_torch_says_what_is_wrong(draw, form, pool, message):
    with Tape(form=form), pytest.raises(RuntimeError, match=message):
        pool(draw(1, 2, 4, 4))


def test_a_norm_of_type_zero_is_refused(draw):
    with Tape(), pytest.raises(ValueError, match="norm_type must be a non-zero value, but got 0"):
        F.lp_pool2d(draw(1, 1, 4, 4), 0, 2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "pool",
    [
        lambda x: F.max_pool2d(x, 3, 2, 1),
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        lambda x: F.adaptive_avg_pool2d(x, (3, 1)),
        lambda x: F.adaptive_max_pool2d(x, 2),
    ],
    ids=["max", "avg", "adaptive avg", "adaptive max"],
)
def test_both_directions_can_be_captured_as_one_graph(draw, form, pool):
    x = draw(2, 3, 8, 8).detach()

    def forward_and_backward(x):
        leaf = x.detach().requires_grad_()
        with Tape(form=form) as tape:
            y = pool(leaf)
        return y.detach(), *tape.gradients(y, [leaf], torch.ones_like(y))

    graph = make_fx(forward_and_backward, tracing_mode="fake")(x)
    for captured, eager in zip(graph(x), forward_and_backward(x), strict=True):
        assert torch.equal(captured, eager)
