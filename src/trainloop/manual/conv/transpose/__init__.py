"""Transposed convolution written out, in three forms that are one operator: one form a file, each with three directions."""

from __future__ import annotations

from trainloop.manual.conv.transpose.algorithm import TransposedAlgorithm
from trainloop.manual.conv.transpose.api import conv_transpose2d
from trainloop.manual.conv.transpose.job import TransposedGeometry, TransposedJob
from trainloop.manual.conv.transpose.registry import CONV_TRANSPOSE2D

__all__ = ["CONV_TRANSPOSE2D", "TransposedAlgorithm", "TransposedGeometry", "TransposedJob", "conv_transpose2d"]
