"""Convolution as a textbook writes it: nested loops over every product. The specification of all other algorithms.

Replaces ``torch.conv2d`` and its gradients, for reading and for tests. The idea is that there is none: one loop for each index
of the formula. All three directions go through the same products and differ in what is multiplied, and where it is added:

    y          [n, o, p, q] += weight     [o, c, k, l] · x     [n, c, h, w]
    grad_input [n, c, h, w] += grad_output[n, o, p, q] · weight[o, c, k, l]
    grad_weight[o, c, k, l] += grad_output[n, o, p, q] · x     [n, c, h, w]
    with h = p · stride + k · dilation − padding, and w likewise; taps on padding are left out

Cost: N · P · Q · G · O · C · K · L products, each of which takes Python about a third of a microsecond, a thousand times as
long as the library; memory for the tensors as lists. A job that would take more than a few seconds is refused; inside
:func:`time_limit` the limit is another.

Limits: none but patience. Numerical caveat: sums are made in float64, whatever the dtype, in the order of the loops, and
rounded once at the end.

Legend: N batch, G groups, C in_channels and O out_channels of one group, H W input, K L kernel, P Q output sizes.

Source: Dumoulin & Visin 2016, arXiv:1603.07285, chapter 2.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from trainloop.manual.conv.algorithm import Algorithm
from trainloop.manual.conv.job import Geometry, Job
from trainloop.manual.conv.layout import laid_out
from trainloop.manual.windows import Sizes

SECONDS_A_PRODUCT = 3.5e-7
USUAL_LIMIT_S = 10.0
_limit_s: ContextVar[float] = ContextVar("limit_s", default=USUAL_LIMIT_S)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let jobs of up to that many estimated seconds through; ``math.inf`` lets through all."""
    token = _limit_s.set(seconds)
    try:
        yield
    finally:
        _limit_s.reset(token)


def refuses(job: Job) -> str | None:
    """Return the estimated time of a job that takes too long, with the way to do it all the same, or None."""
    seconds = job.direct_multiplications * SECONDS_A_PRODUCT
    if seconds <= _limit_s.get():
        return None
    return (
        f"{job.direct_multiplications:,} products would take about {_in_words(seconds)}, and the limit is "
        f"{_limit_s.get():g} s; to do it all the same: `with loops.time_limit(math.inf):`, or --force of benchmark-conv"
    )


def forward(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return the convolution, shape (N, G·O, P, Q).

    Args:
        input: shape (N, G·C, H, W).
        weight: shape (G·O, C, K, L).
        bias: shape (G·O,), or None.
        stride: of the windows.
        padding: zeros on both sides.
        dilation: distance of the taps.
        groups: G.
    """
    job = Job.of(input, weight, Geometry(stride, padding, dilation, groups))
    x, taps, y = input.tolist(), weight.tolist(), _zeros(job.output_shape)
    for (n, o, p, q), (c, k, l), (channel, h, w) in products(job):  # noqa: E741  # K L kernel
        y[n][o][p][q] += taps[o][c][k][l] * x[n][channel][h][w]
    output = _tensor(y, input, job.output_shape)
    return output if bias is None else output + bias.view(-1, 1, 1)


def grad_input(
    grad_output: Tensor, weight: Tensor, input_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return grad_input, of ``input_shape``.

    Args:
        grad_output: shape (N, G·O, P, Q).
        weight: shape (G·O, C, K, L).
        input_shape: (N, G·C, H, W).
        stride: of the windows.
        padding: zeros on both sides.
        dilation: distance of the taps.
        groups: G.
    """
    job = Job(tuple(input_shape), tuple(weight.shape), Geometry(stride, padding, dilation, groups), weight.dtype)
    dy, taps, dx = grad_output.tolist(), weight.tolist(), _zeros(job.input_shape)
    for (n, o, p, q), (c, k, l), (channel, h, w) in products(job):  # noqa: E741  # K L kernel
        dx[n][channel][h][w] += dy[n][o][p][q] * taps[o][c][k][l]
    return _tensor(dx, grad_output, job.input_shape)


def grad_weight(
    grad_output: Tensor, input: Tensor, weight_shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Tensor:
    """Return grad_weight, of ``weight_shape``.

    Args:
        grad_output: shape (N, G·O, P, Q).
        input: shape (N, G·C, H, W).
        weight_shape: (G·O, C, K, L).
        stride: of the windows.
        padding: zeros on both sides.
        dilation: distance of the taps.
        groups: G.
    """
    job = Job(tuple(input.shape), tuple(weight_shape), Geometry(stride, padding, dilation, groups), input.dtype)
    dy, x, dw = grad_output.tolist(), input.tolist(), _zeros(job.weight_shape)
    for (n, o, p, q), (c, k, l), (channel, h, w) in products(job):  # noqa: E741  # K L kernel
        dw[o][c][k][l] += dy[n][o][p][q] * x[n][channel][h][w]
    return _tensor(dw, input, job.weight_shape)


def products(job: Job) -> Iterator[tuple[Sizes, Sizes, Sizes]]:
    """Return every product of a convolution: where it is in the output, in the weight of that output, and in the input.

    Args:
        job: the convolution.

    Returns:
        ``(n, o, p, q), (c, k, l), (channel, h, w)``, where ``channel`` counts all channels and ``c`` those of the group.
    """
    num, out_channels, out_height, out_width = job.output_shape
    _, channels, rows, columns = job.weight_shape
    height, width = job.input_shape[2:]
    stride, padding, dilation, groups = job.geometry
    for n in range(num):
        for o in range(out_channels):
            first = o // (out_channels // groups) * channels
            for p in range(out_height):
                for q in range(out_width):
                    for c in range(channels):
                        for k in range(rows):
                            h = p * stride[0] + k * dilation[0] - padding[0]
                            for l in range(columns):  # noqa: E741  # K L kernel
                                w = q * stride[1] + l * dilation[1] - padding[1]
                                if 0 <= h < height and 0 <= w < width:
                                    yield (n, o, p, q), (c, k, l), (first + c, h, w)


def _zeros(shape: Sizes) -> Any:
    return torch.zeros(shape, dtype=torch.float64).tolist()


def _tensor(values: Any, like: Tensor, shape: Sizes) -> Tensor:
    """Return nested lists as a tensor of that shape, of the dtype, device and memory format of ``like``."""
    result = torch.tensor(values, dtype=torch.float64).reshape(shape).to(like.device, like.dtype)
    return laid_out(result, like)


def _in_words(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.0f} seconds"


def _workspace(job: Job, direction: str) -> int:
    """Return the bytes of the tensors on the way: one in float64, one in another memory format. Lists are no tensors."""
    del direction
    shapes = (job.input_shape, job.weight_shape, job.output_shape)
    return 2 * max(torch.Size(shape).numel() for shape in shapes) * 8


LOOPS = Algorithm(
    "loops",
    forward,
    grad_input,
    grad_weight,
    _workspace,
    refuses=refuses,
    kernel=lambda _job, _direction: "Python loops",
)
