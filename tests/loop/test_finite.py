"""The check before the update: what it lets pass, and what it says of what it does not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainloop.data.pipeline import Batch
from trainloop.loop.finite import MAX_SKIPPED_IN_A_ROW, FiniteCheck, listed
from trainloop.loop.step import StepResult

NAN, INF = float("nan"), float("inf")


class Net(nn.Module):
    """A convolution, a batch norm and a linear layer, with a place to break each output."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.drop(self.norm(self.conv(x)).mean((2, 3))))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().train()


def batch_of(size=6):
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.randn(size, 3, 5, 5, generator=generator), torch.arange(size) % 5, torch.arange(100, 100 + size))


def stepped(net, batch):
    """Return the result of a forward, with the gradients in place."""
    net.zero_grad()
    logits = net(batch.x)
    loss = nn.functional.cross_entropy(logits, batch.y)
    loss.backward()
    return StepResult(loss.detach(), logits.detach())


def judged(net, batch, result, parts=1):
    check = FiniteCheck(net, net)
    assert not check(result)
    assert not check.passed
    return check.look(batch, result, parts)


def test_a_step_with_finite_numbers_passes(net):
    check = FiniteCheck(net, net)
    assert check(stepped(net, batch_of()))
    assert check.passed


def test_a_sum_that_overflows_is_no_fault(net):
    check, result = FiniteCheck(net, net), stepped(net, batch_of())
    for param in net.parameters():
        param.grad.fill_(3e38)
    assert check(StepResult(torch.tensor(3e38), result.logits))


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("name", ["conv.weight", "norm.bias", "head.weight"])
def test_one_bad_value_in_one_gradient_is_found(net, bad, place, name):
    batch = batch_of()
    result = stepped(net, batch)
    grad = dict(net.named_parameters())[name].grad
    grad.view(-1)[place] = bad
    what = judged(net, batch, result)
    assert (what.stage, what.tensor, what.rows) == ("backward", f"gradient of {name}", ())
    assert what.found == f"1 {'NaN' if bad != bad else 'infinite'} of {grad.numel():,} values"


def test_the_gradient_that_a_backward_makes_first_is_named(net):
    batch = batch_of()
    result = stepped(net, batch)
    for name in ("conv.weight", "norm.weight", "conv.bias"):
        dict(net.named_parameters())[name].grad.fill_(NAN)
    assert judged(net, batch, result).tensor == "gradient of norm.weight"


def test_a_loss_of_finite_logits_is_named(net):
    batch = batch_of()
    result = stepped(net, batch)
    what = judged(net, batch, StepResult(torch.tensor(INF), result.logits))
    assert (what.stage, what.tensor, what.found) == ("loss", "the loss", "inf, of finite logits")


def test_bad_images_are_named_by_their_rows(net):
    batch = batch_of()
    batch.x[[1, 4], 0, 2, 2] = torch.tensor([NAN, INF])
    what = judged(net, batch, stepped(net, batch))
    assert (what.stage, what.rows) == ("data", (1, 4))
    assert what.found == "1 NaN and 1 infinite of 450 values"


def test_a_weight_that_the_last_update_broke_is_named(net):
    with torch.no_grad():
        net.norm.weight[2] = INF
    batch = batch_of()
    what = judged(net, batch, stepped(net, batch))
    assert (what.stage, what.tensor) == ("step", "parameter norm.weight")


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_the_first_module_with_a_bad_output_is_named(net, parts):
    def broken(_module, _inputs, output):
        # The image with the largest first pixel, whatever part of the batch it stands in.
        return output.masked_fill((_inputs[0][:, 0, 0, 0] == largest).view(-1, 1, 1, 1), NAN)

    batch = batch_of(8)
    largest = batch.x[:, 0, 0, 0].max()
    handle = net.conv.register_forward_hook(broken)
    result = stepped(net, batch)
    what = judged(net, batch, result, parts)
    handle.remove()
    assert what.stage == "forward"
    assert what.tensor == f"output of conv, shape ({8 // parts}, 4, 3, 3)"
    assert what.rows == (batch.x[:, 0, 0, 0].argmax().item(),)


def test_logits_that_the_second_forward_does_not_show_are_named_as_such(net):
    batch = batch_of()
    result = stepped(net, batch)
    logits = result.logits.clone()
    logits[3, 0] = NAN
    what = judged(net, batch, StepResult(torch.tensor(NAN), logits))
    assert (what.stage, what.tensor, what.rows) == ("forward", "the logits", (3,))


def test_looking_leaves_random_streams_buffers_and_hooks_as_they_were(net):
    batch = batch_of()
    result = stepped(net, batch)
    before, streams = [buffer.clone() for buffer in net.buffers()], torch.get_rng_state()
    judged(net, batch, StepResult(torch.tensor(NAN), result.logits * NAN))
    assert all(map(torch.equal, net.buffers(), before))
    assert torch.equal(torch.get_rng_state(), streams)
    assert not any(module._forward_hooks for module in net.modules())


def test_a_scaler_may_leave_out_so_many_updates_and_no_more(net):
    batch = batch_of()
    check = FiniteCheck(net, net, scaled=True)
    good = stepped(net, batch)
    for _ in range(2):
        net.head.weight.grad.fill_(INF)
        assert all(check(good) for _ in range(MAX_SKIPPED_IN_A_ROW - 1))
        stepped(net, batch)
        assert check(good)
        assert check.skipped_in_a_row == 0
    net.head.weight.grad.fill_(INF)
    verdicts = [check(good) for _ in range(MAX_SKIPPED_IN_A_ROW)]
    assert verdicts == [True] * (MAX_SKIPPED_IN_A_ROW - 1) + [False]
    assert check.look(batch, good, 1).tensor == "gradient of head.weight"


def test_a_scaler_does_not_excuse_the_loss(net):
    result = stepped(net, batch_of())
    assert not FiniteCheck(net, net, scaled=True)(StepResult(torch.tensor(NAN), result.logits))


def test_counting_goes_on_from_what_was_run_before(net):
    result = stepped(net, batch_of())
    check = FiniteCheck(net, net, skipped_in_a_row=MAX_SKIPPED_IN_A_ROW - 1)
    check(StepResult(torch.tensor(NAN), result.logits))
    assert check.exhausted


def test_skipping_brings_the_buffers_back_to_the_step_before(net):
    check = FiniteCheck(net, net, skipping=True)
    assert check(stepped(net, batch_of()))
    before = [buffer.clone() for buffer in net.buffers()]
    batch = batch_of()
    batch.x[0] = INF
    assert not check(stepped(net, batch))
    assert not torch.isfinite(net.norm.running_mean).all()
    check.put_buffers_back()
    assert all(map(torch.equal, net.buffers(), before))


def test_many_images_are_shortened():
    assert listed((3, 1)) == "3, 1"
    assert listed(tuple(range(11))).endswith("7 and 3 more (all of them in metrics.jsonl)")
