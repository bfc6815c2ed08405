"""What is compared: the name of one tensor in one stage, the same on both sides."""

from __future__ import annotations

from typing import Literal, NamedTuple

Stage = Literal["zero_grad", "forward", "loss", "backward", "sync", "step"]
STAGES: tuple[Stage, ...] = ("zero_grad", "forward", "loss", "backward", "sync", "step")
GRADIENT_STAGES: tuple[Stage, ...] = ("forward", "loss", "backward")
STAGE_TITLES: dict[Stage, str] = {"step": "optimizer step"}
"""how a stage is called where ``step`` could be read as the step's number"""

Kind = Literal["activation", "logits", "buffer", "loss", "grad", "param", "state"]


class Key(NamedTuple):
    """One tensor.

    Args:
        kind: what it is.
        name: of the module (activation), the parameter (grad, param, state) or the buffer; empty for logits and loss.
        entry: of the optimizer's state, for instance ``exp_avg``.
    """

    kind: Kind
    name: str = ""
    entry: str = ""

    def __str__(self) -> str:
        """Return the name as messages have it; a parameter and a buffer need no further word."""
        if self.kind in ("param", "buffer"):
            return self.name
        if self.kind == "state":
            return f"{self.entry} of {self.name}"
        return f"{self.kind} of {self.name}" if self.name else self.kind


def title(stage: Stage) -> str:
    """Return how a stage is called on the screen."""
    return STAGE_TITLES.get(stage, stage)
