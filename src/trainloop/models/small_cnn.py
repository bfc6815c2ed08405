"""The network to read first: three blocks of convolution, BatchNorm and ReLU, then a linear layer.

Each block doubles the channels, each pool halves the sides, so a 32×32 image becomes 128 numbers a position on an 8×8
map; their mean over the map goes into the linear layer. For ten classes and RGB images that is 94,762 parameters and
10 million multiplications an image. Initialisation: torch's own for every layer.
"""

from __future__ import annotations

from torch import Tensor, nn


class SmallCNN(nn.Module):
    """The whole network.

    Args:
        num_classes: outputs.
        in_channels: channels of an image.
        width: channels of the first block; the others have two and four times as many.
    """

    def __init__(self, num_classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.block1 = block(in_channels, width)
        self.block2 = block(width, 2 * width)
        self.block3 = block(2 * width, 4 * width)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the logits, shape (N, num_classes), of images of shape (N, in_channels, H, W), H and W at least 4."""
        x = self.pool(self.block1(x_NCHW))
        x = self.pool(self.block2(x))
        x = self.block3(x)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return convolution, BatchNorm, ReLU; the convolution has no bias because BatchNorm would subtract it again."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


def small_cnn(num_classes: int = 10, *, in_channels: int = 3, width: int = 32) -> SmallCNN:
    """Build the network; arguments as of :class:`SmallCNN`."""
    return SmallCNN(num_classes, in_channels, width)
