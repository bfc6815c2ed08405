"""Every algorithm for transposed convolution by name."""

from __future__ import annotations

from trainloop.manual.conv.transpose.algorithm import TransposedAlgorithm
from trainloop.manual.conv.transpose.aten import ATEN
from trainloop.manual.conv.transpose.matrix import MATRIX
from trainloop.manual.conv.transpose.scatter import SCATTER
from trainloop.manual.conv.transpose.zero_insert import ZERO_INSERT

CONV_TRANSPOSE2D: dict[str, TransposedAlgorithm] = {
    "scatter": SCATTER,
    "zero_insert": ZERO_INSERT,
    "matrix": MATRIX,
    "aten": ATEN,
}
