"""The suites: lists of problems that were declared before anything was measured, each with the layer that it comes from.

``cifar`` has each distinct 3×3 convolution of four networks for 32×32 images once, strided ones included, biases left out. The
batch is 128, for the airbench-shaped net (``speednet``, widths 64, 256, 256) 500.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainloop.bench.problem import Problem
from trainloop.bench.words import parse_words


@dataclass(frozen=True)
class Suite:
    """A list of problems.

    Args:
        about: what it is for, in one line.
        rows: (problem in words, where it comes from).
    """

    about: str
    rows: Sequence[tuple[str, str]]

    def problems(self, *, transpose: bool = False) -> list[tuple[Problem, str]]:
        """Return the problems, each with where it comes from.

        Args:
            transpose: take the numbers as those of transposed convolutions.
        """
        return [(parse_words(text, transpose=transpose), layer) for text, layer in self.rows]


CIFAR = (
    ("n128 c3 o64 h32 k3 p1", "resnet18 stem, vgg11_bn layer 1"),
    ("n128 c64 o64 h32 k3 p1", "resnet18 group 1"),
    ("n128 c64 o128 h32 k3 s2 p1", "resnet18 group 2, first"),
    ("n128 c128 o128 h16 k3 p1", "resnet18 group 2"),
    ("n128 c128 o256 h16 k3 s2 p1", "resnet18 group 3, first"),
    ("n128 c256 o256 h8 k3 p1", "resnet18 group 3, vgg11_bn layer 4"),
    ("n128 c256 o512 h8 k3 s2 p1", "resnet18 group 4, first"),
    ("n128 c512 o512 h4 k3 p1", "resnet18 group 4, vgg11_bn layer 6"),
    ("n128 c3 o16 h32 k3 p1", "resnet20 stem"),
    ("n128 c16 o16 h32 k3 p1", "resnet20 group 1"),
    ("n128 c16 o32 h32 k3 s2 p1", "resnet20 group 2, first"),
    ("n128 c32 o32 h16 k3 p1", "resnet20 group 2"),
    ("n128 c32 o64 h16 k3 s2 p1", "resnet20 group 3, first"),
    ("n128 c64 o64 h8 k3 p1", "resnet20 group 3"),
    ("n128 c64 o128 h16 k3 p1", "vgg11_bn layer 2"),
    ("n128 c128 o256 h8 k3 p1", "vgg11_bn layer 3"),
    ("n128 c256 o512 h4 k3 p1", "vgg11_bn layer 5"),
    ("n128 c512 o512 h2 k3 p1", "vgg11_bn layers 7 and 8"),
    ("n500 c24 o64 h31 k3 p1", "airbench group 1, first"),
    ("n500 c64 o64 h15 k3 p1", "airbench group 1, second"),
    ("n500 c64 o256 h15 k3 p1", "airbench group 2, first"),
    ("n500 c256 o256 h7 k3 p1", "airbench groups 2, second, and 3, first"),
    ("n500 c256 o256 h3 k3 p1", "airbench group 3, second"),
)

TEXTBOOK = (
    ("n1 c1 o1 h5 k3", "the picture in every textbook"),
    ("n1 c1 o1 h5 k3 s2 p1", "the same with stride and padding"),
    ("n8 c3 o8 h32 k3 p1", "a first layer"),
    ("n32 c1 o6 h32 k5", "LeNet-5, first convolution"),
    ("n32 c6 o16 h14 k5", "LeNet-5, second convolution"),
    ("n32 c64 o64 h14 k1", "a 1×1 convolution: a product of matrices"),
    ("n16 c32 o64 h28 k3 s2 p1", "a strided convolution"),
    ("n16 c32 o32 h28 k3 p2 d2", "a dilated convolution"),
    ("n16 c64 o64 h28 k3 p1 g8", "a grouped convolution"),
    ("n16 c64 o64 h28 k3 p1 g64", "a depthwise convolution"),
    ("n4 c3 o64 h224 k11 s4 p2", "AlexNet, first convolution"),
)

TRANSPOSED = (
    ("transpose n1 c1 o1 h2 k3", "the picture in every textbook"),
    ("transpose n1 c1 o1 h3 k3 s2 p1 op1", "the same with stride, padding and output_padding"),
    ("transpose n8 c8 o8 h6 k3 s2 p1", "small enough for the matrix"),
    ("transpose n32 c100 o256 h1 k4", "DCGAN generator, first"),
    ("transpose n32 c256 o128 h4 k4 s2 p1", "DCGAN generator, second"),
    ("transpose n32 c128 o64 h8 k4 s2 p1", "DCGAN generator, third"),
    ("transpose n32 c64 o3 h16 k4 s2 p1", "DCGAN generator, last"),
    ("transpose n8 c128 o64 h28 k2 s2", "U-Net, up-convolution"),
    ("transpose n16 c64 o32 h15 k3 s2 p1 op1", "the way back of a strided 3×3 layer"),
    ("transpose n16 c32 o32 h14 k3 d2", "dilated"),
    ("transpose n16 c32 o32 h14 k3 s2 p1 op1 g32", "depthwise"),
)

STRESS = (
    ("n1 c1 o1 h1 k1", "one product"),
    ("n1 c1 o1 h3 k3", "one window"),
    ("n3 c5 o7 h11 w13 k3 l5 p1x2", "primes everywhere, nothing square"),
    ("n2 c3 o4 h17 w9 k2 l3 s2x1 p1x0 d1x2", "another number for each axis"),
    ("n1 c16 o16 h96 k31 p15", "a kernel of 31×31"),
    ("n1 c8 o8 h64 k3 p5", "more padding than kernel"),
    ("n4 c16 o16 h33 k3 s5 p1", "windows that skip elements"),
    ("n4 c16 o16 h48 k3 p8 d8", "taps far apart"),
    ("n1 c3 o64 h256 k7 s2 p3", "a large image, few channels"),
    ("n1 c512 o512 h2 k3 p1", "many channels, few pixels, one image"),
    ("n512 c32 o32 h2 k3 p1", "many images of few pixels"),
    ("n16 c24 o40 h6 k3 p1", "channels that no vector divides"),
    ("n16 c64 o64 h13 k1 l7 p0x3", "a kernel of 1×7"),
    ("n8 c96 o96 h14 k3 p1 g96", "depthwise"),
    ("n8 c96 o192 h14 k3 s2 p1 g3", "groups and stride"),
)

SUITES: Mapping[str, Suite] = {
    "cifar": Suite("the 3×3 layers of resnet18, resnet20, vgg11_bn and an airbench-shaped net", CIFAR),
    "textbook": Suite("small ones, one for each word of a problem", TEXTBOOK),
    "transpose": Suite("transposed convolutions, as in generators and on the way back of a network", TRANSPOSED),
    "stress": Suite("shapes that nobody tunes for", STRESS),
}
"""every suite by name"""
