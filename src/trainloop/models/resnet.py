"""Residual networks for small images: each block adds what it computes to its own input.

``resnet20`` is the CIFAR-10 network of the paper's section 4.2: three groups of three blocks with 16, 32 and 64
channels. Where the shape changes, the shortcut takes every second pixel and fills the new channels with zeros (option
A: no parameters). ``resnet18`` is the paper's ImageNet network, four groups of two blocks with 64, 128, 256 and 512
channels, but for small images: a 3×3 convolution with stride 1 in front and no max pool. Its shortcuts change shape by
a 1×1 convolution (option B).

For ten classes: 269,722 and 11,173,962 parameters. Initialisation of both: convolutions normal with variance
2 / (out_channels · K · L) (Kaiming, fan out), BatchNorm scale one and bias zero, the linear layer as torch does it.

Source: He, Zhang, Ren & Sun 2015, arXiv:1512.03385, sections 3.3 and 4.2; initialisation arXiv:1502.01852.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class ResNet(nn.Module):
    """Stem, groups of residual blocks, mean over the map, linear layer.

    Args:
        num_classes: outputs.
        in_channels: channels of an image.
        widths: channels of each group; every group but the first halves the sides.
        depth: blocks in a group.
        shortcut: builds the shortcut of a block that changes the shape from (in_channels, out_channels, stride).
    """

    def __init__(
        self, num_classes: int, in_channels: int, widths: Sequence[int], depth: int, shortcut: Shortcut
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv3x3(in_channels, widths[0]), nn.BatchNorm2d(widths[0]), nn.ReLU())
        self.groups = nn.Sequential()
        channels = widths[0]
        for number, width in enumerate(widths):
            first = Block(channels, width, stride=1 if number == 0 else 2, shortcut=shortcut)
            others = [Block(width, width, stride=1, shortcut=shortcut) for _ in range(depth - 1)]
            self.groups.append(nn.Sequential(first, *others))
            channels = width
        self.head = nn.Linear(channels, num_classes)
        self.apply(initialise)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the logits, shape (N, num_classes), of images of shape (N, in_channels, H, W)."""
        x = self.groups(self.stem(x_NCHW))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut around them: relu(f(x) + shortcut(x)).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: of the first convolution.
        shortcut: builds the shortcut if the shape changes.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.norm2 = nn.BatchNorm2d(out_channels)
        keeps_shape = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if keeps_shape else shortcut(in_channels, out_channels, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the features, shape (N, out_channels, ⌈H / stride⌉, ⌈W / stride⌉)."""
        x = F.relu(self.norm1(self.conv1(x_NCHW)))
        x = self.norm2(self.conv2(x))
        return F.relu(x + self.shortcut(x_NCHW))


class PadShortcut(nn.Module):
    """Option A: every ``stride``-th pixel, and zeros for the channels that are new.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, at least as many.
        stride: step between the pixels that are kept.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = out_channels - in_channels

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return shape (N, out_channels, ⌈H / stride⌉, ⌈W / stride⌉)."""
        kept = x_NCHW[:, :, :: self.stride, :: self.stride]
        return F.pad(kept, (0, 0, 0, 0, 0, self.new_channels))


def projection_shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return option B: a 1×1 convolution and BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
    )


Shortcut = Callable[[int, int, int], nn.Module]


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3×3 convolution that keeps the sides (at stride 1), without bias: BatchNorm follows."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


def initialise(module: nn.Module) -> None:
    """Draw a convolution's weight; other layers keep torch's own initialisation."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def resnet20(num_classes: int = 10, *, in_channels: int = 3, width: int = 16) -> ResNet:
    """Build the paper's 20-layer network for CIFAR-10; ``width`` is the channels of the first group."""
    return ResNet(num_classes, in_channels, (width, 2 * width, 4 * width), 3, PadShortcut)


def resnet18(num_classes: int = 10, *, in_channels: int = 3, width: int = 64) -> ResNet:
    """Build the 18-layer network with a stem for small images; ``width`` is the channels of the first group."""
    return ResNet(num_classes, in_channels, (width, 2 * width, 4 * width, 8 * width), 2, projection_shortcut)
