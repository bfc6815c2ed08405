"""What the stages of one run share while they are built."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from trainloop.config.schema import RunConfig
from trainloop.manual import RULES, Tape
from trainloop.manual.conv import CONV2D, Algorithm
from trainloop.manual.conv.choice import Choice
from trainloop.manual.errors import UnsupportedConvError
from trainloop.manual.rule import RuleTable
from trainloop.manual.rules.conv_chosen import with_convolution
from trainloop.stages.recording import unknown_convolution

USUAL_CONV = "aten"
"""of ``stages.conv``: convolutions by the usual rule of the tape"""
Criterion = Callable[[Tensor, Tensor], Tensor]
"""logits_NK, labels_N → mean loss, shape ()"""


@dataclass(frozen=True)
class Substitutes:
    """What takes the place of the project's own parts, so that a user's own can be compared with them.

    Args:
        optimizer: (groups, **settings) → an optimizer, instead of the one that the config names.
        loss: instead of the mean cross entropy.
        rules: of the tape.
        conv: algorithms for convolution beside the project's, by name.
    """

    optimizer: Callable[..., Any] | None = None
    loss: Criterion | None = None
    rules: RuleTable = field(default_factory=lambda: RULES)
    conv: Mapping[str, Algorithm] = field(default_factory=dict)


@dataclass
class StageContext:
    """The model and the settings that a stage needs; one object for all stages of a run.

    Args:
        model: on its device, in training mode.
        config: the run's.
        device: of the model.
        optimizers: torch's or ours, one for each share of the parameters; set by the step stage, which is built first.
        scaler: scales the loss of fp16 training; None otherwise.
        substitutes: parts that are not the project's own.
        decide_as: choose the algorithms of convolutions as for this type, see :class:`~trainloop.manual.conv.choice.Choice`.
        params: the parameters that learn.
        tape: what the manual forward, loss and backward share.
        choice: of the algorithm for each convolution on the tape; None leaves them to the usual rule.
    """

    model: nn.Module
    config: RunConfig
    device: torch.device
    optimizers: Sequence[Any] = ()
    scaler: GradScaler | None = None
    substitutes: Substitutes = field(default_factory=Substitutes)
    decide_as: torch.dtype | None = None
    params: list[nn.Parameter] = field(init=False)
    tape: Tape = field(init=False)
    choice: Choice | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Collect the parameters that learn, in the model's order, and lay a tape ready for the manual stages.

        Raises:
            StageError: ``stages.conv`` names an algorithm that there is not.
        """
        rules, conv = self.substitutes.rules, self.config.stages.conv
        if conv != USUAL_CONV:
            try:
                self.choice = Choice(conv, {**CONV2D, **self.substitutes.conv}, decide_as=self.decide_as)
            except UnsupportedConvError as error:
                raise unknown_convolution(error) from error
            rules = with_convolution(rules, self.choice)
        self.tape = Tape(form=self.config.stages.rules, rules=rules)
        self.params = [param for param in self.model.parameters() if param.requires_grad]
        if self.config.train.precision == "fp16":
            self.scaler = GradScaler(self.device.type)

    def convolutions(self) -> dict[str, dict[str, str]]:
        """Return which algorithm did each direction of each convolution so far, by its sizes; empty for the usual rule."""
        found: dict[str, dict[str, str]] = {}
        for (job, direction), name in (self.choice.chosen if self.choice else {}).items():
            found.setdefault(job.text, {})[direction] = name
        return found

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the autocast context of ``train.precision``; a new one for each use."""
        dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[self.config.train.precision]
        if dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=dtype)


Forward = Callable[[Tensor], Tensor]
"""x_NCHW float32 → logits_NK."""
Loss = Callable[[Tensor, Tensor, float], Tensor]
"""logits_NK, labels_N int64, share of these N in the batch (1 unless it is split) → share · mean loss, shape ()."""
Backward = Callable[[Tensor], None]
"""loss, shape () → nothing; adds to ``param.grad``."""
Action = Callable[[], None]
Update = Callable[[float], None]
"""lr → nothing; updates the parameters."""
