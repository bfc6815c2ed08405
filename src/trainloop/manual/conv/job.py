"""What is to be convolved: shapes, how the windows lie, type and device, but no tensors: a job is judged before it exists.

Legend: N batch, G groups, C in_channels and O out_channels of one group, H W input, K L kernel, P Q output sizes.

Source: Dumoulin & Visin 2016, arXiv:1603.07285, for the arithmetic of shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trainloop.manual.conv.words import in_words
from trainloop.manual.windows import Sizes, num_positions

FORWARD, GRAD_INPUT, GRAD_WEIGHT = DIRECTIONS = ("forward", "grad_input", "grad_weight")
"""the three convolutions of a training step"""


class Geometry(NamedTuple):
    """How windows lie, one number per spatial axis; splatted into the functions of an algorithm.

    Args:
        stride: of the windows.
        padding: zeros on both sides.
        dilation: distance of the taps.
        groups: into how many parts the channels are divided.
    """

    stride: Sizes
    padding: Sizes
    dilation: Sizes
    groups: int


@dataclass(frozen=True)
class Job:
    """One convolution; the same job in each of its three directions.

    Args:
        input_shape: (N, G·C, H, W).
        weight_shape: (G·O, C, K, L).
        geometry: of the windows.
        dtype: of all tensors.
        device: type of the device, such as cpu.
    """

    input_shape: Sizes
    weight_shape: Sizes
    geometry: Geometry
    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    @classmethod
    def of(cls, input: Tensor, weight: Tensor, geometry: Geometry) -> Job:
        """Return the job of two tensors (N, G·C, H, W) and (G·O, C, K, L)."""
        return cls(tuple(input.shape), tuple(weight.shape), geometry, input.dtype, input.device.type)

    @property
    def kernel_size(self) -> Sizes:
        """(K, L)."""
        return self.weight_shape[2:]

    @property
    def output_sizes(self) -> Sizes:
        """(P, Q)."""
        sizes = zip(self.input_shape[2:], self.geometry.padding, strict=True)
        padded = tuple(size + 2 * pad for size, pad in sizes)
        return num_positions(padded, self.kernel_size, self.geometry.stride, self.geometry.dilation)

    @property
    def output_shape(self) -> Sizes:
        """(N, G·O, P, Q)."""
        return (self.input_shape[0], self.weight_shape[0], *self.output_sizes)

    @property
    def text(self) -> str:
        """The job in words, such as ``n128 c64 o256 h15 k3 p1``; ``words.py`` says what they mean."""
        return in_words(self.input_shape, self.weight_shape[0], self.kernel_size, **self.geometry._asdict())

    @property
    def direct_multiplications(self) -> int:
        """N · G·O · P · Q · C · K · L, the same in each direction; taps that lie on padding count."""
        num, out_channels, height, width = self.output_shape
        _, channels, rows, columns = self.weight_shape
        return num * out_channels * height * width * channels * rows * columns
