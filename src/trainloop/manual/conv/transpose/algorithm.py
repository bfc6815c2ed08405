"""What an algorithm for transposed convolution is: that of :mod:`trainloop.manual.conv.algorithm`, with an output_padding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from trainloop.manual.conv.transpose.job import TransposedGeometry, TransposedJob
from trainloop.manual.windows import IntOrSizes, Sizes, per_axis

TransposedForward = Callable[[Tensor, Tensor, Tensor | None, Sizes, Sizes, Sizes, int, Sizes], Tensor]
"""(input, weight, bias, stride, padding, output_padding, groups, dilation) → y (N, G·O, P, Q)"""
TransposedGradInput = Callable[[Tensor, Tensor, Sizes, Sizes, Sizes, Sizes, int, Sizes], Tensor]
"""(grad_output, weight, input_shape, stride, padding, output_padding, groups, dilation) → grad_input, of input_shape"""
TransposedGradWeight = Callable[[Tensor, Tensor, Sizes, Sizes, Sizes, Sizes, int, Sizes], Tensor]
"""(grad_output, input, weight_shape, stride, padding, output_padding, groups, dilation) → grad_weight, of weight_shape"""


def nothing_refused(job: TransposedJob) -> str | None:
    """Refuse no job."""
    del job
    return None


@dataclass(frozen=True, eq=False)
class TransposedAlgorithm:
    """One way to compute a transposed convolution of two spatial axes.

    Tensors are in either memory format; a result that is an image is in the format of the image that it is made from.

    Args:
        name: what tables, configs and messages call it.
        forward: see ``TransposedForward``; input (N, G·C, H, W), weight (G·C, O, K, L), bias (G·O,).
        grad_input: see ``TransposedGradInput``; grad_output (N, G·O, P, Q).
        grad_weight: see ``TransposedGradWeight``.
        workspace: (job, direction) → bytes of memory beyond arguments and result, an upper bound.
        multiplications: (job, direction) → how many it carries out.
        refuses: job → the reason why it cannot be done, or None.
        kernel: (job, direction) → what really runs, in a few words.
    """

    name: str
    forward: TransposedForward
    grad_input: TransposedGradInput
    grad_weight: TransposedGradWeight
    workspace: Callable[[TransposedJob, str], int]
    multiplications: Callable[[TransposedJob, str], int] = lambda job, _direction: job.direct_multiplications
    refuses: Callable[[TransposedJob], str | None] = nothing_refused
    kernel: Callable[[TransposedJob, str], str] = lambda _job, _direction: "tensor operations"

    def supports(
        self,
        input: Tensor,
        weight: Tensor,
        stride: IntOrSizes = 1,
        padding: IntOrSizes = 0,
        output_padding: IntOrSizes = 0,
        groups: int = 1,
        dilation: IntOrSizes = 1,
    ) -> str | None:
        """Return None if the algorithm can do it, or the reason why not.

        Args:
            input: shape (N, G·C, H, W).
            weight: shape (G·C, O, K, L).
            stride: distance of the patches of two neighbours.
            padding: how much is cut off the output on both sides.
            output_padding: how much is added to the output at the end.
            groups: G.
            dilation: distance of a patch's taps.
        """
        geometry = TransposedGeometry(
            per_axis(stride, 2), per_axis(padding, 2), per_axis(output_padding, 2), groups, per_axis(dilation, 2)
        )
        return self.refuses(TransposedJob.of(input, weight, geometry))
