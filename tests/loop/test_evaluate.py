"""Evaluation: loss, confusion matrix, and nothing changed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainloop.data.pipeline import Batch
from trainloop.loop.evaluate import evaluate


def batches():
    x = torch.eye(3)
    yield Batch(x, torch.tensor([0, 1, 1]), torch.arange(3))
    yield Batch(x[:1], torch.tensor([2]), torch.arange(1))


def test_loss_and_confusion_are_those_of_all_images():
    result = evaluate(nn.Identity(), batches(), 3)
    assert result.confusion.tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 0]]
    assert result.samples == 4
    assert result.accuracy == 0.5
    assert result.class_accuracy() == [1.0, 0.5, 0.0]
    logits = torch.cat([torch.eye(3), torch.eye(3)[:1]])
    assert result.loss == pytest.approx(F.cross_entropy(logits, torch.tensor([0, 1, 1, 2])).item())


def test_buffers_mode_and_random_stream_stay_as_they_were():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    evaluate(model, batches(), 3)
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
