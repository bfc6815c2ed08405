"""What is to be measured: one convolution or transposed convolution, with its three directions.

Problems are written in words, ``n128 c64 o256 h15 k3 p1``: a letter and its number, two joined by ``x`` where the axes differ.

    n batch · c in_channels · o out_channels · h w input (w = h where it is left out) · k l kernel (l = k) ·
    s stride (1) · p padding (0) · d dilation (1) · g groups (1) · op output_padding (0) · bias · transpose

``words.py`` reads this, ``module_text.py`` reads the text of a module such as ``Conv2d(64, 256, 3, padding=1)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainloop.errors import UsageError
from trainloop.manual.conv import Geometry, Job, TransposedGeometry, TransposedJob
from trainloop.manual.conv.sizes import check_divisible, check_job
from trainloop.manual.conv.transpose.sizes import check_transposed_job
from trainloop.manual.conv.words import in_words
from trainloop.manual.errors import ConvShapeError
from trainloop.manual.windows import Sizes

TRANSPOSE, BIAS = "transpose", "bias"
"""the words without a number"""


@dataclass(frozen=True)
class Problem:
    """One convolution to be measured; which type and device is the run's affair.

    Args:
        input_shape: (N, G·C, H, W).
        weight_shape: (G·O, C, K, L), of a transposed convolution (G·C, O, K, L).
        geometry: of the windows; a ``TransposedGeometry`` makes it a transposed convolution.
        bias: whether the forward adds one.
    """

    input_shape: Sizes
    weight_shape: Sizes
    geometry: Geometry | TransposedGeometry
    bias: bool = False

    @classmethod
    def of(cls, job: Job | TransposedJob, *, bias: bool = False) -> Problem:
        """Return the problem of a job."""
        return cls(job.input_shape, job.weight_shape, job.geometry, bias)

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution."""
        return isinstance(self.geometry, TransposedGeometry)

    @property
    def out_channels(self) -> int:
        """G·O."""
        return self.weight_shape[1] * self.geometry.groups if self.transposed else self.weight_shape[0]

    def job(self, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Job | TransposedJob:
        """Return the problem as algorithms take it.

        Args:
            dtype: of all tensors.
            device: type of the device.
        """
        if isinstance(self.geometry, TransposedGeometry):
            return TransposedJob(self.input_shape, self.weight_shape, self.geometry, dtype, device)
        return Job(self.input_shape, self.weight_shape, self.geometry, dtype, device)

    def text(self) -> str:
        """Return the problem in words, which ``parse_words`` reads."""
        words = in_words(self.input_shape, self.out_channels, self.weight_shape[2:], **self.geometry._asdict())
        return " ".join([*([TRANSPOSE] if self.transposed else []), words, *([BIAS] if self.bias else [])])


def checked(problem: Problem, where: str, text: str, out_channels: int) -> Problem:
    """Return the problem, if there is such a convolution.

    Args:
        problem: any.
        where: the option that it was given by.
        text: how it was written.
        out_channels: that were asked for; the weight of a transposed convolution has those of one group only.

    Raises:
        UsageError: its shapes and numbers do not fit together; with the arithmetic.
    """
    job = problem.job()
    try:
        if isinstance(job, TransposedJob):
            check_transposed_job(job)
        else:
            check_job(job)
        check_divisible("out_channels", out_channels, job.geometry.groups)
    except ConvShapeError as error:
        what, _, rest = str(error).partition("; ")
        raise UsageError(
            what,
            where=where,
            found=text,
            expected="numbers that fit together",
            help=rest or "`trainloop benchmark-conv --list` shows problems that do",
        ) from error
    return problem
