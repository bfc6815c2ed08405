"""The kernels that training relies on, each with answers that are known without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from trainloop.doctor.answer import Answer
from trainloop.doctor.kernels.adam import adam
from trainloop.doctor.kernels.convolution import conv2d, conv_transpose2d, rare_convolutions
from trainloop.doctor.kernels.in_place import in_place
from trainloop.doctor.kernels.linear import linear
from trainloop.doctor.kernels.loss import cross_entropy
from trainloop.doctor.kernels.norm import batch_norm

Check = Callable[[torch.device], Iterator[Answer]]

CHECKS: dict[str, Check] = {
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "rare convolutions": rare_convolutions,
    "batch_norm": batch_norm,
    "linear": linear,
    "cross_entropy": cross_entropy,
    "in-place operations": in_place,
    "adam": adam,
}
COSTLY = {"rare convolutions"}
"""left to ``trainloop doctor``: too slow to run before every training"""
