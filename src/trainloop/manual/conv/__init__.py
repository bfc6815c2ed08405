"""Convolution written out: one algorithm a file, each with forward, grad_input and grad_weight."""

from __future__ import annotations

from trainloop.manual.conv.algorithm import Algorithm
from trainloop.manual.conv.aten import ATEN
from trainloop.manual.conv.fft import FFT
from trainloop.manual.conv.im2col import IM2COL
from trainloop.manual.conv.job import DIRECTIONS, Geometry, Job
from trainloop.manual.conv.loops import LOOPS
from trainloop.manual.conv.shifts import SHIFTS
from trainloop.manual.conv.transpose import (
    CONV_TRANSPOSE2D,
    TransposedAlgorithm,
    TransposedGeometry,
    TransposedJob,
    conv_transpose2d,
)
from trainloop.manual.conv.winograd import WINOGRAD

CONV2D: dict[str, Algorithm] = {
    "loops": LOOPS,
    "shifts": SHIFTS,
    "im2col": IM2COL,
    "fft": FFT,
    "winograd": WINOGRAD,
    "aten": ATEN,
}
"""every algorithm by name"""

__all__ = [
    "CONV2D",
    "CONV_TRANSPOSE2D",
    "DIRECTIONS",
    "Algorithm",
    "Geometry",
    "Job",
    "TransposedAlgorithm",
    "TransposedGeometry",
    "TransposedJob",
    "conv_transpose2d",
]
