"""Convolution written out: one algorithm a file, each with forward, grad_input and grad_weight."""

from __future__ import annotations

from trainloop.manual.conv.algorithm import Algorithm
from trainloop.manual.conv.call import conv2d
from trainloop.manual.conv.job import DIRECTIONS, Geometry, Job
from trainloop.manual.conv.registry import CONV2D
from trainloop.manual.conv.transpose import (
    CONV_TRANSPOSE2D,
    TransposedAlgorithm,
    TransposedGeometry,
    TransposedJob,
    conv_transpose2d,
)

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
    "conv2d",
    "conv_transpose2d",
]
