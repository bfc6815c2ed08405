"""What is to be convolved transposed: shapes, how the patches lie, type and device, but no tensors.

    P = (H − 1)·s − 2·p + d·(k − 1) + output_padding + 1

for each spatial axis of size H. A transposed convolution is the gradient of a convolution's input, used as a forward; the
convolution that it is the transpose of has its weight, and its input and output change places.

Legend: N batch, G groups, C in_channels and O out_channels of one group, H W input, K L kernel, P Q output sizes.

Source: Dumoulin & Visin 2016, arXiv:1603.07285, relationship 14.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trainloop.manual.conv.job import Geometry, Job
from trainloop.manual.windows import Sizes, window_extent


class TransposedGeometry(NamedTuple):
    """How patches lie, one number per spatial axis, in torch's order; splatted into the functions of an algorithm.

    Args:
        stride: distance of the patches of two neighbours.
        padding: how much is cut off the output on both sides.
        output_padding: how much is added to the output at the end.
        groups: into how many parts the channels are divided.
        dilation: distance of a patch's taps.
    """

    stride: Sizes
    padding: Sizes
    output_padding: Sizes
    groups: int
    dilation: Sizes

    @property
    def of_convolution(self) -> Geometry:
        """The geometry of the convolution that this is the transpose of."""
        return Geometry(self.stride, self.padding, self.dilation, self.groups)


@dataclass(frozen=True)
class TransposedJob:
    """One transposed convolution; the same job in each of its three directions.

    Args:
        input_shape: (N, G·C, H, W).
        weight_shape: (G·C, O, K, L).
        geometry: of the patches.
        dtype: of all tensors.
        device: type of the device, such as cpu.
    """

    input_shape: Sizes
    weight_shape: Sizes
    geometry: TransposedGeometry
    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    @classmethod
    def of(cls, input: Tensor, weight: Tensor, geometry: TransposedGeometry) -> TransposedJob:
        """Return the job of two tensors (N, G·C, H, W) and (G·C, O, K, L)."""
        return cls(tuple(input.shape), tuple(weight.shape), geometry, input.dtype, input.device.type)

    @property
    def kernel_size(self) -> Sizes:
        """(K, L)."""
        return self.weight_shape[2:]

    @property
    def output_sizes(self) -> Sizes:
        """(P, Q)."""
        return transposed_sizes(self.input_shape[2:], self.kernel_size, self.geometry)

    @property
    def output_shape(self) -> Sizes:
        """(N, G·O, P, Q)."""
        return (self.input_shape[0], self.weight_shape[1] * self.geometry.groups, *self.output_sizes)

    @property
    def convolution(self) -> Job:
        """The convolution that this is the transpose of: from this one's output to its input.

        Where an output_padding is as large as the stride (a dilation must be larger), the convolution of the output has more
        positions than this input; the further ones count as zeros.
        """
        return Job(self.output_shape, self.weight_shape, self.geometry.of_convolution, self.dtype, self.device)

    @property
    def direct_multiplications(self) -> int:
        """N · G·C · H · W · O · K · L, the same in each direction; taps that padding cuts off count."""
        return math.prod(self.input_shape) * math.prod(self.weight_shape[1:])


def transposed_sizes(sizes: Sizes, kernel_size: Sizes, geometry: TransposedGeometry) -> Sizes:
    """Return the output's size along each spatial axis, as at the top of this file; below 1 where there is no output.

    Args:
        sizes: of the input, X…
        kernel_size: K…
        geometry: of the patches.
    """
    reach = window_extent(kernel_size, geometry.dilation)
    numbers = zip(sizes, reach, geometry.stride, geometry.padding, geometry.output_padding, strict=True)
    return tuple((size - 1) * s - 2 * pad + extent + more for size, extent, s, pad, more in numbers)
