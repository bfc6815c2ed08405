"""The stages of a training step: one file each, a builtin and a manual implementation behind one name."""

from __future__ import annotations

from trainloop.stages.average import AVERAGE
from trainloop.stages.registry import (
    SAME_BITS,
    STAGES,
    Stages,
    autograd_variant,
    build_stages,
    exact_variant,
    refuse_without_effect,
    stage_modes,
)

__all__ = [
    "AVERAGE",
    "SAME_BITS",
    "STAGES",
    "Stages",
    "autograd_variant",
    "build_stages",
    "exact_variant",
    "refuse_without_effect",
    "stage_modes",
]
