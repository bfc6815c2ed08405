"""Every algorithm for transposed convolution by name."""

from __future__ import annotations

from trainloop.manual.conv.transpose.algorithm import TransposedAlgorithm
from trainloop.manual.conv.transpose.aten import ATEN
from trainloop.manual.conv.transpose.scatter import SCATTER

CONV_TRANSPOSE2D: dict[str, TransposedAlgorithm] = {"scatter": SCATTER, "aten": ATEN}
