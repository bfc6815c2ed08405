"""What the tests of the catalogue share: a small network with every kind of operation, and batches for it."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainloop.compare import TrainingStep


class Net(nn.Module):
    """Convolutions with and without bias, with and without a batch norm behind them; every kind of pooling; dropout."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(4, 10)

    def forward(self, x):
        x = self.norm(self.first(x))
        x = F.max_pool2d(x, 2) + F.avg_pool2d(F.relu(x), 2)
        x = 4 * F.gelu(F.relu(3 * self.second(x)))
        return self.head(self.drop(F.avg_pool2d(x, 4).flatten(1)))


@pytest.fixture(scope="session")
def step():
    """A training step over the network."""
    torch.manual_seed(0)
    optimizer = partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-2, foreach=False)
    return TrainingStep(Net(), optimizer, loss=partial(F.cross_entropy, label_smoothing=0.1))


@pytest.fixture(scope="session")
def batches():
    """Two batches; some pixels are 0, so that relu meets what a definition decides."""
    generator = torch.Generator().manual_seed(1)
    images = [torch.randn(8, 3, 8, 8, generator=generator) for _ in range(2)]
    return [(x, torch.randint(0, 10, (8,), generator=generator)) for x in images]


@pytest.fixture(autouse=True)
def _one_thread():
    """Tensors as small as these are faster on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
