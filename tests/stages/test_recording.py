"""What a run says when the tape cannot record its model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainloop.config.schema import RunConfig
from trainloop.errors import StageError
from trainloop.stages import build_stages
from trainloop.stages.context import StageContext


class Unknown(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 4))

    def forward(self, x):
        return torch.special.i0(x @ self.weight)


class Overwritten(nn.Linear):
    def forward(self, x):
        hidden = super().forward(x)
        squared = hidden * hidden
        hidden.add_(1)
        return squared


def stages_of(model):
    return build_stages(StageContext(model, RunConfig(mode="manual"), torch.device("cpu")))


def test_an_operation_without_a_rule():
    with pytest.raises(StageError) as caught:
        stages_of(Unknown()).forward(torch.rand(2, 3))
    fault = caught.value.faults[0]
    assert fault.what == "the manual path has no rule for torch.special.i0"
    assert fault.where == "the model itself (Unknown)"
    assert "--mode builtin trains this model as it is; docs/write-a-rule.md" in fault.help
    assert caught.value.exit_code == 2


def test_a_saved_tensor_changed_in_place():
    stages = stages_of(Overwritten(3, 4))
    loss = stages.loss(stages.forward(torch.rand(2, 3)), torch.tensor([0, 1]), 1)
    with pytest.raises(StageError, match="changed in place afterwards: found version 1, expected 0"):
        stages.backward(loss)


def test_a_forward_that_failed_leaves_nothing_for_the_next():
    model = nn.Linear(3, 4)
    stages = stages_of(model)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        stages.forward(torch.rand(2, 5))
    stages.backward(stages.loss(stages.forward(torch.rand(2, 3)), torch.tensor([0, 1]), 1))
    assert model.weight.grad is not None


class Square(torch.autograd.Function):
    @staticmethod
    def forward(_ctx, x):
        return x * x

    @staticmethod
    def backward(_ctx, grad):
        return grad


class CustomLogits(nn.Linear):
    def forward(self, x):
        return Square.apply(super().forward(x))


def test_logits_made_by_a_custom_function_are_refused_by_the_loss():
    stages = stages_of(CustomLogits(3, 4))
    logits = stages.forward(torch.rand(2, 3))
    with pytest.raises(StageError, match="made by SquareBackward"):
        stages.loss(logits, torch.tensor([0, 1]), 1)
