"""The small networks that faults run on: each shows what a large one would, within milliseconds."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]

NUM_CLASSES = 5
BATCH_SIZE = 6
SIDE = 8
NUM_STEPS = 3


class Residual(nn.Module):
    """Two ways from one tensor: the tape adds up the gradients of both.

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return x + conv(x)."""
        y: Tensor = self.conv(x_NCHW) + x_NCHW
        return y


class TwoBiases(nn.Module):
    """Two parameters that are added, so both receive one and the same gradient.

    Args:
        features: length of both.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.zeros(features))
        self.two = nn.Parameter(torch.zeros(features))

    def forward(self, x_NK: Tensor) -> Tensor:
        """Return x + (one + two)."""
        return x_NK + (self.one + self.two)


class Idle(nn.Module):
    """A parameter that no loss reaches, in front of a network.

    Args:
        net: that is run.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.unused = nn.Parameter(torch.ones(4))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return what the network returns."""
        logits: Tensor = self.net(x_NCHW)
        return logits


def _seeded(*layers: tuple[str, nn.Module]) -> nn.Sequential:
    """Return the layers with weights from a seed of their own, which leaves torch's stream where it was."""
    net = nn.Sequential(OrderedDict(layers))
    generator = torch.Generator().manual_seed(7)
    for name, param in net.named_parameters():
        if not name.startswith("norm"):
            bound = (3 / param[0].numel()) ** 0.5 if param.dim() > 1 else 0.2
            with torch.no_grad():
                param.uniform_(-bound, bound, generator=generator)
    return net


def cnn(*, bias: bool = True, padding_mode: PaddingMode = "zeros") -> nn.Sequential:
    """Return convolutions with padding, stride and groups, a norm, and both poolings.

    Args:
        bias: of the first convolution; without it a black image is 0 behind it.
        padding_mode: of the first convolution.
    """
    return _seeded(
        ("conv1", nn.Conv2d(3, 4, 3, padding=1, bias=bias, padding_mode=padding_mode)),
        ("norm1", nn.BatchNorm2d(4)),
        ("relu1", nn.ReLU()),
        ("maxpool", nn.MaxPool2d(2)),
        ("conv2", nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)),
        ("relu2", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("head", nn.Linear(24, NUM_CLASSES)),
    )


def plain_cnn(*, count_include_pad: bool = True) -> nn.Sequential:
    """Return a network without a norm: no image sees the others of its batch.

    Args:
        count_include_pad: of the average pooling.
    """
    return _seeded(
        ("conv1", nn.Conv2d(3, 4, 3, padding=1)),
        ("maxpool", nn.MaxPool2d(2)),
        ("relu1", nn.ReLU()),
        ("conv2", nn.Conv2d(4, 6, 3)),
        ("relu2", nn.ReLU()),
        ("avgpool", nn.AvgPool2d(2, padding=1, count_include_pad=count_include_pad)),
        ("flatten", nn.Flatten()),
        ("head", nn.Linear(24, NUM_CLASSES)),
    )


def residual_net() -> nn.Sequential:
    """Return a network with a shortcut."""
    return _seeded(
        ("conv1", nn.Conv2d(3, 4, 3, padding=1, stride=2)),
        ("block", Residual(4)),
        ("relu1", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("head", nn.Linear(64, NUM_CLASSES)),
    )


def biases_net() -> nn.Sequential:
    """Return a network in which two parameters receive one and the same gradient."""
    return _seeded(("flatten", nn.Flatten()), ("head", nn.Linear(192, NUM_CLASSES)), ("biases", TwoBiases(NUM_CLASSES)))


def idle_net() -> Idle:
    """Return a network with a parameter that takes no part."""
    return Idle(mlp())


def mlp(*, bias: bool = True) -> nn.Sequential:
    """Return two linear layers, for what concerns the loss and the optimizer only.

    Args:
        bias: of both; without them every parameter is a matrix.
    """
    return _seeded(
        ("flatten", nn.Flatten()),
        ("hidden", nn.Linear(192, 8, bias=bias)),
        ("relu1", nn.ReLU()),
        ("head", nn.Linear(8, NUM_CLASSES, bias=bias)),
    )


def dropout_net(p: float = 0.3) -> nn.Sequential:
    """Return a network that drops elements.

    Args:
        p: share of them.
    """
    return _seeded(
        ("flatten", nn.Flatten()),
        ("hidden", nn.Linear(192, 16)),
        ("relu1", nn.ReLU()),
        ("dropout", nn.Dropout(p)),
        ("head", nn.Linear(16, NUM_CLASSES)),
    )


def batches(num: int = NUM_STEPS, *, side: int = SIDE, size: int = BATCH_SIZE) -> list[tuple[Tensor, Tensor]]:
    """Return batches of random images with labels.

    Args:
        num: how many.
        side: height and width.
        size: images in each.
    """
    generator = torch.Generator().manual_seed(11)
    return [
        (
            torch.randn(size, 3, side, side, generator=generator),
            torch.randint(NUM_CLASSES, (size,), generator=generator),
        )
        for _ in range(num)
    ]
