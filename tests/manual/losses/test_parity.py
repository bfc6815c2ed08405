"""Every loss, called by itself, is torch's: outside a tape, and inside one, where the operations it is made of are recorded."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual import Tape
from trainloop.manual.examples import draw
from trainloop.manual.losses import LOSSES, cross_entropy, huber_loss, smooth_l1_loss
from trainloop.manual.losses.cross_entropy import cross_entropy_vjp
from trainloop.manual.rules.loss import LOSS
from trainloop.tolerance import tolerance

CASES = [(name, example) for name in LOSSES for example in LOSS[name].examples]


def leaves_of(args, kwargs):
    found = [*args, *kwargs.values()]
    return [argument for argument in found if isinstance(argument, torch.Tensor) and argument.requires_grad]


def weighted_sum(loss):
    generator = torch.Generator().manual_seed(5)
    return (loss * torch.randn(loss.shape, generator=generator, dtype=torch.float64).to(loss.dtype)).sum()


def assert_close(ours, theirs, quantity):
    bound = tolerance(str(theirs.dtype).removeprefix("torch."), quantity).bound(float(theirs.abs().max()))
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= bound


def of_torch(name, example, dtype):
    args, kwargs = draw(example, dtype)
    loss = LOSS[name].functions[0](*args, **kwargs)
    weighted_sum(loss).backward()
    return loss.detach(), [leaf.grad for leaf in leaves_of(args, kwargs)]


def assert_same(loss, grads, expected_loss, expected_grads):
    for ours, theirs, quantity in (
        (loss, expected_loss, "output"),
        *((grad, expected, "gradient") for grad, expected in zip(grads, expected_grads, strict=True)),
    ):
        assert ours.shape == theirs.shape
        if theirs.numel():
            assert_close(ours, theirs, quantity)


def test_every_loss_has_a_rule_and_every_rule_a_loss():
    assert set(LOSSES) == set(LOSS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("name", "example"), CASES, ids=str)
def test_a_loss_outside_a_tape_is_that_of_torch(name, example, dtype):
    args, kwargs = draw(example, dtype)
    loss = LOSSES[name](*args, **kwargs)
    weighted_sum(loss).backward()
    assert_same(loss.detach(), [leaf.grad for leaf in leaves_of(args, kwargs)], *of_torch(name, example, dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("name", "example"), CASES, ids=str)
def test_a_loss_inside_a_tape_is_that_of_torch(name, example, dtype):
    args, kwargs = draw(example, dtype)
    with Tape() as tape:
        loss = LOSSES[name](*args, **kwargs)
        total = weighted_sum(loss)
    tape.backward(total)
    assert_same(loss.detach(), [leaf.grad for leaf in leaves_of(args, kwargs)], *of_torch(name, example, dtype))


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_the_number_of_classes():
    assert cross_entropy(torch.zeros(3, 8), torch.tensor([0, 3, 7])).item() == pytest.approx(math.log(8))


def test_the_gradient_of_cross_entropy_is_the_probability_minus_the_label():
    log_probs = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]).log()
    grad, _ = cross_entropy_vjp(torch.tensor(1.0), log_probs, torch.tensor([0, 2]), None, -100, "sum", 0.0)
    torch.testing.assert_close(grad, torch.tensor([[-0.5, 0.25, 0.25], [0.1, 0.2, -0.3]]))


def test_huber_is_delta_times_smooth_l1():
    x, t = torch.linspace(-3, 3, 13, dtype=torch.float64), torch.zeros(13, dtype=torch.float64)
    ours = huber_loss(x, t, delta=0.7)
    assert_close(ours, 0.7 * smooth_l1_loss(x, t, beta=0.7), "output")


def test_uint8_labels_are_labels():
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 3, 1])
    assert cross_entropy(logits, labels.to(torch.uint8)) == cross_entropy(logits, labels)


def test_without_a_logarithm_of_zero():
    """What a logit of −∞ costs: nothing where the label is another class."""
    logits = torch.tensor([[0.0, -math.inf]])
    assert cross_entropy(logits, torch.tensor([0])) == F.cross_entropy(logits, torch.tensor([0])) == 0
