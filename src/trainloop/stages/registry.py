"""Choose each stage once, when a run is built: singly by ``stages.<name>``, the others by ``mode``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trainloop.config.schema import RunConfig
from trainloop.errors import StageError
from trainloop.stages.backward import BACKWARD
from trainloop.stages.context import Action, Backward, Forward, Loss, StageContext, Update
from trainloop.stages.forward import FORWARD
from trainloop.stages.loss import LOSS
from trainloop.stages.step import STEP
from trainloop.stages.sync import SYNC
from trainloop.stages.zero_grad import ZERO_GRAD

STAGES: dict[str, Mapping[str, Callable[[StageContext], Any]]] = {
    "zero_grad": ZERO_GRAD,
    "forward": FORWARD,
    "loss": LOSS,
    "backward": BACKWARD,
    "sync": SYNC,
    "step": STEP,
}
SAME_BITS = frozenset({"builtin", "manual"})
"""forms of a stage that agree bit for bit; see docs/numerics.md"""
SPECIFICATION = {"foreach": "manual", "compiled": "manual"}
"""the readable form that a fast form of the step has to agree with"""
DIFFERENTIATED_TOGETHER = ("forward", "loss", "backward")


@dataclass(frozen=True)
class Stages:
    """The stages of one run, in the order in which a step calls them."""

    zero_grad: Action
    forward: Forward
    loss: Loss
    backward: Backward
    sync: Action
    step: Update


def stage_modes(config: RunConfig) -> dict[str, str]:
    """Return the implementation of each stage: the one named in ``stages``, or else ``mode``.

    Raises:
        StageError: forward, loss and backward are not of one kind.
    """
    chosen = {name: getattr(config.stages, name) or config.mode for name in STAGES}
    if len({chosen[name] for name in DIFFERENTIATED_TOGETHER}) > 1:
        raise StageError(
            "forward, loss and backward go together: a backward has to have seen the forward and the loss",
            where="stages",
            found=", ".join(f"{name}: {chosen[name]}" for name in DIFFERENTIATED_TOGETHER),
            expected="the same implementation for all three",
            help="set all three, or none of them and use mode",
        )
    return chosen


def refuse_without_effect(config: RunConfig) -> None:
    """Refuse a choice within the manual forward and backward where these are builtin.

    Raises:
        StageError: ``stages.conv`` or ``stages.rules`` would have no effect.
    """
    forward = stage_modes(config)["forward"]
    usual = type(config.stages)()
    for key in ("conv", "rules"):
        value = getattr(config.stages, key)
        if forward == "builtin" and value != getattr(usual, key):
            raise StageError(
                f"stages.{key} chooses within the manual path, but the forward is builtin",
                where=f"stages.{key}",
                found=value,
                expected=f"{getattr(usual, key)}, or a manual forward, loss and backward",
                help=f"--mode manual, or leave stages.{key} out",
            )


def build_stages(context: StageContext) -> Stages:
    """Build the stages that ``context.config`` names.

    Raises:
        StageError: see :func:`stage_modes`.
        ConfigError: a parameter group matches nothing.
    """
    chosen = stage_modes(context.config)
    # The step comes first, for it makes the optimizer that other stages ask for.
    built = {name: STAGES[name][chosen[name]](context) for name in reversed(STAGES)}
    return Stages(**built)


def exact_variant(config: RunConfig) -> RunConfig:
    """Return the same formulas in a form that computes in float64 too: no autocast, nothing compiled, no fast form."""
    train = config.train.model_copy(update={"precision": "fp32", "compile": False})
    step = stage_modes(config)["step"]
    stages = config.stages.model_copy(update={"step": SPECIFICATION.get(step, step)})
    return config.model_copy(update={"train": train, "stages": stages})


def autograd_variant(config: RunConfig) -> RunConfig:
    """Return the same run with forward, loss and backward by autograd."""
    stages = config.stages.model_copy(update=dict.fromkeys(DIFFERENTIATED_TOGETHER, "builtin"))
    return config.model_copy(update={"stages": stages})
