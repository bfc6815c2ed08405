"""What an algorithm for convolution is: three directions, what it refuses, and what it costs.

Everything that lists, tests, times or trains with algorithms reads this; one line in ``conv/registry.py`` enrols one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from trainloop.manual.conv.job import Geometry, Job
from trainloop.manual.windows import IntOrSizes, Sizes, per_axis

Forward = Callable[[Tensor, Tensor, Tensor | None, Sizes, Sizes, Sizes, int], Tensor]
"""(input, weight, bias, stride, padding, dilation, groups) → y (N, G·O, P, Q)"""
GradInput = Callable[[Tensor, Tensor, Sizes, Sizes, Sizes, Sizes, int], Tensor]
"""(grad_output, weight, input_shape, stride, padding, dilation, groups) → grad_input, of input_shape"""
GradWeight = Callable[[Tensor, Tensor, Sizes, Sizes, Sizes, Sizes, int], Tensor]
"""(grad_output, input, weight_shape, stride, padding, dilation, groups) → grad_weight, of weight_shape"""


def nothing_refused(job: Job) -> str | None:
    """Refuse no job."""
    del job
    return None


@dataclass(frozen=True, eq=False)
class Algorithm:
    """One way to compute a convolution of two spatial axes.

    Tensors are in either memory format; the result is in the format of ``input`` (of ``grad_output`` for grad_input, of
    the input for grad_weight where the format can be chosen).

    Args:
        name: what tables, configs and messages call it.
        forward: see ``Forward``; input (N, G·C, H, W), weight (G·O, C, K, L), bias (G·O,).
        grad_input: see ``GradInput``; grad_output (N, G·O, P, Q).
        grad_weight: see ``GradWeight``.
        refuses: job → the reason why it cannot be done, or None.
        workspace: (job, direction) → bytes of tensors beyond arguments and result, an upper bound; what a kernel of the
            library takes for itself is not known, and not in it.
        multiplications: (job, direction) → how many it carries out, those of transforms left out.
        kernel: (job, direction) → what really runs, in a few words.
        lacks: directions that it does not have → what is missing, in one clause; none of the project's own lacks one.
    """

    name: str
    forward: Forward
    grad_input: GradInput
    grad_weight: GradWeight
    workspace: Callable[[Job, str], int]
    multiplications: Callable[[Job, str], int] = lambda job, _direction: job.direct_multiplications
    refuses: Callable[[Job], str | None] = nothing_refused
    kernel: Callable[[Job, str], str] = lambda _job, _direction: "tensor operations"
    lacks: Mapping[str, str] = field(default_factory=dict)

    def supports(
        self,
        input: Tensor,
        weight: Tensor,
        stride: IntOrSizes = 1,
        padding: IntOrSizes = 0,
        dilation: IntOrSizes = 1,
        groups: int = 1,
    ) -> str | None:
        """Return None if the algorithm can do it, or the reason why not.

        Args:
            input: shape (N, G·C, H, W).
            weight: shape (G·O, C, K, L).
            stride: of the windows.
            padding: zeros on both sides, in numbers.
            dilation: distance of the taps.
            groups: G.
        """
        geometry = Geometry(per_axis(stride, 2), per_axis(padding, 2), per_axis(dilation, 2), groups)
        return self.refuses(Job.of(input, weight, geometry))
