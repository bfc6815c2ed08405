"""Whether algorithms for convolution are right: over many jobs, made small where one fails, and no word about speed."""

from __future__ import annotations

from trainloop.bench.check.kernel import Kernel
from trainloop.bench.check.report import Adjoint, CheckReport, Coverage, Failure, Row
from trainloop.bench.check.run import check

__all__ = ["Adjoint", "CheckReport", "Coverage", "Failure", "Kernel", "Row", "check"]
