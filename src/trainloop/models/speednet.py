"""The network of the fast recipe: made for 32×32 images and few epochs.

Idea: a short training has no time to learn what can be computed. The first convolution is therefore not learned. Its
filters whiten 2×2 patches: they are the eigenvectors of the patches' covariance, each scaled to unit variance, and
their negatives, so that the next layer sees both signs after the activation. The convolutions behind it start as the
identity on as many channels as they can, so that every layer gets a useful signal from the first step. BatchNorm has a
trainable bias but no trainable scale, the head has no bias, and its logits are damped so that the lr can be high.

Layout for 32×32 images, with the side of the feature map: whitening (31) → three groups of [convolution, max pool,
BatchNorm, GELU, convolution, BatchNorm, GELU] (15, 7, 3) → maximum over the map → linear → logits / 9.

Cost: with widths a, b, c one image going forward takes 9·(31²·24·a + 15²·a² + 15²·a·b + 7²·b² + 7²·b·c + 3²·c²)
+ 31²·12·24 multiplications: 118 million for (64, 256, 256). A training step is about three times that; a multiplication
with its addition counts as two FLOPs.

Source: D. Page, "How to Train Your ResNet", 2018-2019 (whitening, damped logits, max pooling before BatchNorm);
K. Jordan 2024, arXiv:2404.00498, section 3 (frozen whitening with a trained bias, identity-like initialisation).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IN_CHANNELS = 3
PATCH_SIZE = 2
WHITENED_CHANNELS = 2 * IN_CHANNELS * PATCH_SIZE**2
WHITENING_IMAGES = 5_000
CHUNK = 500
# Half a thousandth of a normalised image's variance: directions that hold hardly more than noise are not blown up.
WHITENING_EPS = 5e-4
LOGIT_SCALE = 1 / 9


class SpeedNet(nn.Module):
    """The whole network.

    Args:
        num_classes: outputs of the head.
        widths: channels of the three groups.
    """

    def __init__(self, num_classes: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.whitening = nn.Conv2d(IN_CHANNELS, WHITENED_CHANNELS, PATCH_SIZE)
        self.whitening.weight.requires_grad_(False)
        self.group1 = Group(WHITENED_CHANNELS, widths[0])
        self.group2 = Group(widths[0], widths[1])
        self.group3 = Group(widths[1], widths[2])
        self.head = nn.Linear(widths[2], num_classes, bias=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the logits, shape (N, num_classes), of images of shape (N, 3, H, W) with H and W at least 9."""
        x = F.gelu(self.whitening(x_NCHW))
        x = self.group3(self.group2(self.group1(x)))
        x = F.max_pool2d(x, x.shape[-2:]).flatten(1)
        logits: Tensor = self.head(x) * LOGIT_SCALE
        return logits


class Group(nn.Module):
    """Two 3×3 convolutions; the pool between the first one and its BatchNorm halves the map.

    Args:
        in_channels: channels of the input.
        out_channels: channels of both convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = near_identity(nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False))
        self.norm1 = unscaled_norm(out_channels)
        self.conv2 = near_identity(nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False))
        self.norm2 = unscaled_norm(out_channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the features, shape (N, out_channels, H // 2, W // 2)."""
        x = F.max_pool2d(self.conv1(x_NCHW), 2)
        x = F.gelu(self.norm1(x))
        return F.gelu(self.norm2(self.conv2(x)))


def near_identity(conv: nn.Conv2d) -> nn.Conv2d:
    """Make the first out_channels that have a namesake input pass it on; the others keep torch's own initialisation."""
    with torch.no_grad():
        nn.init.dirac_(conv.weight[: conv.in_channels])
    return conv


def unscaled_norm(channels: int) -> nn.BatchNorm2d:
    """Return a BatchNorm with a trainable bias and its scale frozen at one.

    Its running statistics follow the last few steps: in a run of a few hundred steps older ones are of no use.
    """
    norm = nn.BatchNorm2d(channels, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


def whitening_filters(images_NCHW: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Compute the filters that whiten the 2×2 patches of normalised images.

    With the covariance Σ = V Λ Vᵀ of the patches, (Λ + eps)^(-1/2) Vᵀ maps patches to uncorrelated components of
    variance about one. The covariance is taken about zero, in float64, over the first 5,000 images, so that the
    filters depend on the data alone and not on the seed.

    Args:
        images_NCHW: uint8, shape (N, 3, H, W).
        mean: per channel, of images scaled to [0, 1].
        std: likewise.

    Returns:
        filters, float32, shape (24, 3, 2, 2): twelve, strongest component first, then their negatives.

    Source: arXiv:2404.00498, section 3.
    """
    covariance = patch_covariance(images_NCHW[:WHITENING_IMAGES], mean, std)
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
    filters = (eigenvectors / (eigenvalues + WHITENING_EPS).sqrt()).T.flip(0)
    # An eigenvector has no sign of its own; a library may return either. The largest entry is made positive.
    largest = filters.gather(1, filters.abs().argmax(1, keepdim=True))
    filters = filters * largest.sign()
    filters = filters.reshape(-1, IN_CHANNELS, PATCH_SIZE, PATCH_SIZE)
    return torch.cat([filters, -filters]).float()


def patch_covariance(images_NCHW: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return the mean outer product of the flattened 2×2 patches, float64, shape (12, 12); arguments as above."""
    shift = torch.tensor(mean, dtype=torch.float64).view(-1, 1, 1)
    scale = torch.tensor(std, dtype=torch.float64).view(-1, 1, 1)
    size = IN_CHANNELS * PATCH_SIZE**2
    total = torch.zeros(size, size, dtype=torch.float64)
    count = 0
    for start in range(0, len(images_NCHW), CHUNK):
        part = images_NCHW[start : start + CHUNK]
        normalised = (part.double() / 255 - shift) / scale
        patches = F.unfold(normalised, PATCH_SIZE).transpose(1, 2).reshape(-1, size)
        total += patches.T @ patches
        count += len(patches)
    return total / count


def speednet(
    num_classes: int = 10,
    *,
    width1: int = 64,
    width2: int = 256,
    width3: int = 256,
    images: Tensor | None = None,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.25, 0.25, 0.25),
) -> SpeedNet:
    """Build the network and whiten its first convolution.

    Args:
        num_classes: outputs of the head.
        width1: channels of the first group.
        width2: channels of the second group.
        width3: channels of the third group.
        images: training images, uint8, shape (N, 3, H, W); None leaves the first convolution at torch's initialisation,
            for a network whose weights are loaded afterwards.
        mean: per channel, as the images are normalised for training.
        std: likewise.

    Returns:
        the network, whose first convolution's weight and BatchNorm scales are frozen.
    """
    model = SpeedNet(num_classes, (width1, width2, width3))
    if images is not None:
        with torch.no_grad():
            model.whitening.weight.copy_(whitening_filters(images, mean, std))
    return model
