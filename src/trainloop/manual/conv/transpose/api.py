"""``conv_transpose2d``: torch's arguments and meaning, by an algorithm that is named."""

from __future__ import annotations

from torch import Tensor

from trainloop.manual.conv.sizes import check_tensors
from trainloop.manual.conv.transpose.algorithm import TransposedAlgorithm
from trainloop.manual.conv.transpose.job import TransposedGeometry, TransposedJob
from trainloop.manual.conv.transpose.registry import CONV_TRANSPOSE2D
from trainloop.manual.conv.transpose.sizes import check_transposed_job
from trainloop.manual.errors import UnsupportedConvError
from trainloop.manual.windows import IntOrSizes, per_axis

AUTO = "auto"
FASTEST_FIRST = ("aten", "scatter", "zero_insert", "matrix")
"""what ``auto`` tries in turn: by their geometric means over ``trainloop benchmark-conv --suite transpose``"""


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes = 0,
    output_padding: IntOrSizes = 0,
    groups: int = 1,
    dilation: IntOrSizes = 1,
    *,
    algorithm: str = "scatter",
) -> Tensor:
    """Return the transposed convolution of two spatial axes, as ``torch.nn.functional.conv_transpose2d`` does.

    y[n, o, p · stride + k · dilation − padding] += Σ_c weight[c, o, k] · x[n, c, p]   (+ bias[o])

    Args:
        input: shape (N, G·C, H, W), or (G·C, H, W) for one image.
        weight: shape (G·C, O, K, L), dtype of input.
        bias: shape (G·O,), or None.
        stride: distance of the patches of two neighbours, a number or a pair; so are the next two and dilation.
        padding: how much is cut off the output on both sides.
        output_padding: how much is added to the output at the end; smaller than stride or dilation.
        groups: G.
        dilation: distance of a patch's taps.
        algorithm: a name of ``CONV_TRANSPOSE2D``, or several with commas between them, the first that supports the job being
            taken, or ``auto``: :data:`FASTEST_FIRST`.

    Returns:
        y, shape (N, G·O, P, Q), or (G·O, P, Q) for one image, with P = (H − 1)·s − 2·p + d·(K − 1) + output_padding + 1.

    Raises:
        ConvShapeError: shapes, types or numbers that do not fit together.
        UnsupportedConvError: an algorithm that is not known, or that refuses this job.
    """
    candidates = transposed_algorithms(algorithm)
    geometry = TransposedGeometry(
        per_axis(stride, 2), per_axis(padding, 2), per_axis(output_padding, 2), groups, per_axis(dilation, 2)
    )
    unbatched = input.dim() == 3
    batch = input.unsqueeze(0) if unbatched else input
    job = TransposedJob.of(batch, weight, geometry)
    check_transposed_job(job)
    check_tensors(batch, weight, bias, job.output_shape[1])
    reasons = [candidate.refuses(job) for candidate in candidates]
    if None not in reasons:
        raise UnsupportedConvError(candidates[0].name, str(reasons[0]), _others(job))
    output = candidates[reasons.index(None)].forward(batch, weight, bias, *geometry)
    return output.squeeze(0) if unbatched else output


def transposed_algorithms(text: str) -> list[TransposedAlgorithm]:
    """Return the algorithms that a text names, in its order.

    Args:
        text: names with commas between them, or ``auto``.

    Raises:
        UnsupportedConvError: one is not known.
    """
    names = FASTEST_FIRST if text == AUTO else [name.strip() for name in text.split(",")]
    return [transposed_algorithm(name) for name in names]


def transposed_algorithm(name: str) -> TransposedAlgorithm:
    """Return the algorithm of that name.

    Args:
        name: a key of ``CONV_TRANSPOSE2D``.

    Raises:
        UnsupportedConvError: none has that name; lists those there are.
    """
    if name not in CONV_TRANSPOSE2D:
        raise UnsupportedConvError(name, "there is none of that name", f"expected one of {', '.join(CONV_TRANSPOSE2D)}")
    return CONV_TRANSPOSE2D[name]


def _others(job: TransposedJob) -> str:
    names = [name for name, algorithm in CONV_TRANSPOSE2D.items() if algorithm.refuses(job) is None]
    return f"use {' or '.join(names)}"
