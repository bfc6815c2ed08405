"""What a reproduction has to show: one tensor of one stage, and the two ways to compute it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from trainloop.compare.evidence import Standpoint
from trainloop.compare.implementation import Side
from trainloop.compare.key import Key, Stage
from trainloop.compare.record import StepRecord
from trainloop.compare.run import Comparison, Differing
from trainloop.compare.settings import Plugins, Sides
from trainloop.config.schema import RunConfig
from trainloop.stages import stage_modes
from trainloop.tolerance import ROUNDING_FACTOR

BUILTIN = "builtin"


@dataclass(frozen=True)
class Source:
    """One of the two sides, as its config and the command line describe it.

    Args:
        side: that was compared.
        standpoint: of the side before the step.
        config: of the side.
        plugins: parts that are the user's own; none for the reference.
    """

    side: Side
    standpoint: Standpoint
    config: RunConfig
    plugins: Plugins = field(default_factory=Plugins)

    @property
    def name(self) -> str:
        """``reference`` or ``candidate``."""
        return self.side.name

    def mode(self, stage: Stage) -> str:
        """Return the implementation of a stage."""
        return stage_modes(self.config)[stage]

    def is_builtin(self, stage: Stage) -> bool:
        """Whether a stage is PyTorch's own."""
        return self.mode(stage) == BUILTIN


@dataclass(frozen=True)
class Scene:
    """The difference to show.

    Args:
        differing: the step that has it.
        exact: every bit counts.
        reference: one side; None where it is known as Python objects only.
        candidate: the other, likewise.
        files: that may be imported for the model that both sides share.
    """

    differing: Differing
    exact: bool
    reference: Source | None = None
    candidate: Source | None = None

    @classmethod
    def of(cls, comparison: Comparison, sides: Sides | None) -> Scene:
        """Return what a comparison found first."""
        differing, exact = comparison.differing[0], comparison.settings.exact
        if sides is None:
            return cls(differing, exact)
        return cls(
            differing,
            exact,
            Source(*differing.reference, sides.reference),
            Source(*differing.candidate, sides.candidate, sides.plugins),
        )

    @property
    def record(self) -> StepRecord:
        """Return the step of the reference."""
        return self.differing.record

    @property
    def stage(self) -> Stage:
        """Return the stage that differs."""
        return self.differing.judged.stage

    @property
    def key(self) -> Key:
        """Return the tensor that differs."""
        return self.differing.judged.key

    @property
    def allowed(self) -> float:
        """Return what a script takes for no difference any more."""
        judged = self.differing.judged
        allowed, found = ROUNDING_FACTOR * judged.floor, judged.difference.abs_err
        # What float64 showed to be a formula may be hardly larger than the floor.
        return min(allowed, found / 2) if math.isfinite(found) else allowed

    @property
    def recorded(self) -> dict[str, Tensor]:
        """Return the tensor as both sides gave it in the comparison; a missing gradient is left out."""
        given: Mapping[str, Tensor | None] = {
            "recorded.reference": self.record.outputs[self.stage].get(self.key),
            "recorded.candidate": self.differing.outputs[self.stage].get(self.key),
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Reproduction:
    """The content of a folder.

    Args:
        tensors: by name.
        text: of the script.
    """

    tensors: dict[str, Tensor]
    text: str
