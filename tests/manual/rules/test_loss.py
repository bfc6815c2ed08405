"""The losses as rules: what the examples don't show."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.fx.experimental.proxy_tensor import make_fx

from trainloop.manual import Tape
from trainloop.manual.errors import RefusedError
from trainloop.manual.rules.loss import LOSS

FORMS = ["formula", "aten"]
REDUCTIONS = ["none", "mean", "sum"]


def tensor(*values):
    return torch.tensor(values, requires_grad=True)


def both(function, *inputs, form, **options):
    """Return the loss and the gradients, of a tape and of autograd."""
    found = []
    for tape in (Tape(form=form), None):
        copies = [value.detach().requires_grad_() if value.is_floating_point() else value for value in inputs]
        if tape is None:
            loss = function(*copies, **options)
            loss.sum().backward()
        else:
            with tape:
                loss = function(*copies, **options)
                total = loss.sum()
            tape.backward(total)
        found.append([loss.detach(), *(copy.grad for copy in copies if copy.requires_grad)])
    return found


def assert_same(ours, theirs):
    torch.testing.assert_close(ours, theirs, equal_nan=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_where_all_labels_are_ignored_the_mean_is_nan_and_the_gradient_zero(form, label_smoothing):
    logits, labels = tensor([1.0, 2.0], [3.0, 4.0]), torch.tensor([-100, -100])
    with Tape(form=form) as tape:
        loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    tape.backward(loss)
    assert loss.isnan()
    assert torch.equal(logits.grad, torch.zeros(2, 2))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "target", [torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4)], ids=["labels", "probabilities"]
)
def test_the_mean_of_an_empty_batch_is_nan(form, target):
    logits = torch.zeros(0, 4, requires_grad=True)
    with Tape(form=form) as tape:
        loss = F.cross_entropy(logits, target)
    tape.backward(loss)
    assert loss.isnan()
    assert logits.grad.shape == (0, 4)


@pytest.mark.parametrize(
    "name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits"]
)
@pytest.mark.parametrize("form", FORMS)
def test_the_mean_over_no_elements_is_nan(form, name):
    (loss, *grads), (expected, *expected_grads) = both(
        getattr(F, name), torch.zeros(0, 2), torch.zeros(0, 2), form=form
    )
    assert loss.isnan()
    assert expected.isnan()
    assert [grad.shape for grad in grads] == [grad.shape for grad in expected_grads]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_cross_entropy_of_logits_that_are_not_finite(form, value, label_smoothing):
    logits = torch.tensor([[value, 1.0, 0.0], [0.5, value, 0.0]])
    ours, theirs = both(F.cross_entropy, logits, torch.tensor([0, 2]), form=form, label_smoothing=label_smoothing)
    assert_same(ours, theirs)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "name", [name for name in LOSS if name not in ("cross_entropy", "nll_loss", "binary_cross_entropy")]
)
def test_elements_that_are_not_finite(form, name):
    input = torch.tensor([math.nan, math.inf, -math.inf, 1.0, 2.0])
    target = torch.tensor([1.0, 1.0, 0.0, math.nan, 1.0])
    ours, theirs = both(getattr(F, name), input, target, form=form, reduction="none")
    assert_same(ours, theirs)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_shapes_that_differ_are_broadcast_with_a_warning(form, reduction, name):
    inputs = torch.tensor([[0.5], [-2.0]]), torch.tensor([[0.0, 3.0, -1.0], [1.0, 2.0, 0.25]])
    with pytest.warns(UserWarning, match=r"\(?\[?2, 3\]?\).*"):
        ours, theirs = both(getattr(F, name), *inputs, form=form, reduction=reduction)
    assert_same(ours, theirs)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss"])
def test_a_target_in_another_dtype_gets_its_gradient_in_its_own(form, name):
    ours, theirs = both(
        getattr(F, name), torch.tensor([0.5, 3.0]), torch.tensor([0.1, 0.2], dtype=torch.float64), form=form
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", [name for name in LOSS if name != "huber_loss"])
def test_the_arguments_of_long_ago_still_mean_a_reduction(name):
    target = torch.tensor([1]) if name in ("cross_entropy", "nll_loss") else torch.tensor([[0.5, 0.25]])
    with Tape(), pytest.warns(UserWarning, match="size_average and reduce args"):
        loss = getattr(F, name)(tensor([0.25, 0.5]), target, size_average=False)
    with Tape():
        assert torch.equal(loss, getattr(F, name)(tensor([0.25, 0.5]), target, reduction="sum"))


def test_the_weight_of_l1_loss_that_torch_drops_is_not_ignored():
    with Tape(), pytest.raises(RefusedError, match=r"l1_loss .* weight of shape \(2,\).*manual.losses.l1_loss"):
        F.l1_loss(tensor(1.0, 2.0), torch.zeros(2), weight=torch.ones(2))


@pytest.mark.parametrize(
    "name", ["cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"]
)
def test_a_weight_that_wants_a_gradient_is_refused_as_by_torch(name):
    target = torch.tensor([1]) if name in ("cross_entropy", "nll_loss") else torch.tensor([[0.5, 0.25]])
    with Tape(), pytest.raises(RefusedError, match=f"rule {name} gives gradients to input"):
        getattr(F, name)(tensor([0.25, 0.5]), target, weight=tensor(1.0, 1.0))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_formula_calls_no_kernel_of_a_loss(reduction, monkeypatch):
    logits, labels = tensor([1.0, 2.0], [0.5, -1.0]), torch.tensor([0, 1])
    for kernel in ("nll_loss_forward", "nll_loss_backward", "_log_softmax_backward_data"):
        monkeypatch.setattr(torch.ops.aten, kernel, None)
    with Tape(form="formula") as tape:
        total = F.cross_entropy(logits, labels, reduction=reduction, label_smoothing=0.1).sum()
    tape.backward(total)
    assert logits.grad.shape == (2, 2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_a_captured_loss_follows_other_labels(form, label_smoothing):
    """Nothing of the labels is frozen into the graph."""

    def step(logits, labels):
        logits = logits.detach().requires_grad_()
        with Tape(form=form) as tape:
            loss = F.cross_entropy(logits, labels, torch.tensor([1.0, 2.0, 0.5]), label_smoothing=label_smoothing)
        return loss.detach(), tape.gradients(loss, [logits])[0]

    generator = torch.Generator().manual_seed(0)
    logits, others = torch.randn(2, 4, 3, generator=generator)
    graph = make_fx(step)(logits, torch.tensor([0, 1, 2, -100]))
    labels = torch.tensor([2, -100, 0, 0])
    for captured, eager in zip(graph(others, labels), step(others, labels), strict=True):
        assert torch.equal(captured, eager)
