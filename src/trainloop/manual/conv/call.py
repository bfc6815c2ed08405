"""``conv2d``: torch's arguments and meaning, by an algorithm that is named."""

from __future__ import annotations

import torch
from torch import Tensor

from trainloop.manual.conv.choice import Choice
from trainloop.manual.conv.job import FORWARD, Job
from trainloop.manual.conv.padding import ZEROS, geometry_of, pad_by_mode, refuse_padding
from trainloop.manual.conv.registry import CONV2D
from trainloop.manual.conv.sizes import check_axes, check_geometry, check_job, check_tensors
from trainloop.manual.windows import IntOrSizes


@torch.no_grad()
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes | str = 0,
    dilation: IntOrSizes = 1,
    groups: int = 1,
    *,
    padding_mode: str = ZEROS,
    algorithm: str = "im2col",
) -> Tensor:
    """Return the convolution of two spatial axes, as ``torch.nn.functional.conv2d`` does.

    y[n, o, p] = bias[o] + Σ_(c, k) weight[o, c, k] · x[n, c, p · stride + k · dilation − padding]

    It computes under ``no_grad``, whatever the algorithm: the gradients are an algorithm's ``grad_input`` and ``grad_weight``,
    and a model trains with an algorithm through the rules of a tape (``stages.conv``).

    Args:
        input: shape (N, G·C, H, W), or (G·C, H, W) for one image; N may be 0.
        weight: shape (G·O, C, K, L), dtype and device of input.
        bias: shape (G·O,), or None.
        stride: of the windows, a number or a pair; so is dilation.
        padding: elements on both sides, a number or a pair; "same" for an output as large as the input (with one more element
            at the end where an even number of taps needs it), "valid" for none.
        dilation: distance of the taps.
        groups: G.
        padding_mode: what the border is filled with: zeros, reflect, replicate or circular, as in ``torch.nn.Conv2d``.
        algorithm: a name of ``CONV2D``, or several with commas between them, the first that supports the job being taken, or
            ``auto``.

    Returns:
        y, shape (N, G·O, P, Q), or (G·O, P, Q) for one image, with P = ⌊(H + 2·p − d·(K − 1) − 1) / s⌋ + 1.

    Raises:
        ConvShapeError: shapes, types or numbers that do not fit together; with the arithmetic.
        UnsupportedConvError: an algorithm that is not known, or that refuses this job; with its reason.
    """
    choose = Choice(algorithm, CONV2D)
    refuse_padding(stride, padding)
    unbatched = input.dim() == 3
    batch = input.unsqueeze(0) if unbatched else input
    check_axes(tuple(batch.shape), tuple(weight.shape), 2)
    geometry = geometry_of(weight, stride, padding, dilation, groups)
    check_geometry(geometry)
    check_tensors(batch, weight, bias, weight.shape[0])
    padded, geometry = pad_by_mode(batch, weight, geometry, padding, padding_mode)
    job = Job.of(padded, weight, geometry)
    check_job(job)
    output = choose(job, FORWARD).forward(padded, weight, bias, *geometry)
    return output.squeeze(0) if unbatched else output
