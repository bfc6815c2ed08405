"""The step: stages in order, parts of a batch, what it returns."""

from __future__ import annotations

import pytest
import torch

from trainloop.data.pipeline import Batch
from trainloop.loop.step import split, train_step
from trainloop.stages import Stages


def batch_of(size):
    generator = torch.Generator().manual_seed(size)
    x = torch.randn(size, 3, 4, 4, generator=generator)
    return Batch(x, torch.arange(size) % 5, torch.arange(size))


def recording_stages(calls):
    weight = torch.ones(48, 5, requires_grad=True)

    def forward(x):
        calls.append(("forward", x.shape[0]))
        return x.flatten(1) @ weight

    def loss(logits, labels, share):
        calls.append(("loss", labels.shape[0]))
        return torch.nn.functional.cross_entropy(logits, labels) * share

    return Stages(
        zero_grad=lambda: calls.append("zero_grad"),
        forward=forward,
        loss=loss,
        backward=lambda loss: calls.append(("backward", loss.item())),
        sync=lambda: calls.append("sync"),
        step=lambda lr: calls.append(("step", lr)),
    )


def names(calls):
    return [call if isinstance(call, str) else call[0] for call in calls]


def test_the_six_stages_come_in_order():
    calls = []
    train_step(recording_stages(calls), batch_of(6), 1, 0.25)
    assert names(calls) == ["zero_grad", "forward", "loss", "backward", "sync", "step"]
    assert calls[-1] == ("step", 0.25)


def test_each_part_goes_forward_and_backward_before_the_one_update():
    calls = []
    train_step(recording_stages(calls), batch_of(7), 3, 0.1)
    assert names(calls) == ["zero_grad", *["forward", "loss", "backward"] * 3, "sync", "step"]
    assert [call[1] for call in calls if call[0] == "forward"] == [3, 3, 1]


def test_the_losses_of_the_parts_add_up_to_the_mean_of_the_batch():
    whole = train_step(recording_stages([]), batch_of(7), 1, 0.1)
    parts = train_step(recording_stages([]), batch_of(7), 3, 0.1)
    assert parts.loss.item() == pytest.approx(whole.loss.item(), rel=1e-6)
    assert torch.allclose(parts.logits, whole.logits)
    assert not parts.loss.requires_grad
    assert not parts.logits.requires_grad


def test_shares_add_up_to_one():
    assert sum(share for _, _, share in split(batch_of(7), 3)) == pytest.approx(1)


def test_a_batch_smaller_than_the_parts_is_split_into_fewer():
    assert [y.shape[0] for _, y, _ in split(batch_of(2), 4)] == [1, 1]
