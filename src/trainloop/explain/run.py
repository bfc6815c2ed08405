"""What a step is explained with: a model, its batches, its lr, and the stages of both paths."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainloop.build import build_training, own_parts
from trainloop.config.schema import RunConfig
from trainloop.data.pipeline import Batch
from trainloop.device import set_knobs
from trainloop.explain import tiny
from trainloop.explain.formulas import first_block
from trainloop.explain.tiny import TinyNet, tiny_batch, tiny_loss
from trainloop.explain.watch import WatchedTape
from trainloop.stages import Stages, build_stages
from trainloop.stages.context import StageContext


@dataclass(frozen=True)
class Side:
    """One of the two paths over a model of its own.

    Args:
        model: in training mode.
        stages: the six of a step.
        optimizers: ours or torch's; together they have all parameters that learn.
        tape: of the manual stages; unused by the built-in ones.
    """

    model: nn.Module
    stages: Stages
    optimizers: Sequence[Any]
    tape: WatchedTape

    def param(self, name: str) -> nn.Parameter:
        """Return the parameter of that name."""
        return self.model.get_parameter(name)


MakeSide = Callable[[nn.Module], Side]


@dataclass(frozen=True)
class Run:
    """All that a step is explained with.

    Args:
        name: of the model.
        built_in: it is the built-in example.
        description: what it computes, line by line; empty where the model's own file says it.
        data: name of the data set.
        model: with its start weights; the steps change it.
        epoch_batches: epoch (from 0) → its batches.
        lr: step (from 0) → lr.
        parts: pieces that a batch is split into.
        total_steps: the run's length; None without an end.
        clips: gradients are clipped.
        manual: makes the manual side of a model.
        builtin: makes the built-in side; raises ConfigError where PyTorch has no such update (Muon of a convolution).
        builtin_but_update: makes a built-in side that is good for all stages but the last.
    """

    name: str
    built_in: bool
    description: tuple[str, ...]
    data: str
    model: nn.Module
    epoch_batches: Callable[[int], Iterator[Batch]]
    lr: Callable[[int], float]
    parts: int
    total_steps: int | None
    clips: bool
    manual: MakeSide
    builtin: MakeSide
    builtin_but_update: MakeSide

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of all epochs."""
        return itertools.chain.from_iterable(self.epoch_batches(epoch) for epoch in itertools.count())


def configured_run(
    manual: RunConfig, builtin: RunConfig, announce: Callable[[str], None], plugins: Sequence[Path] = ()
) -> Run:
    """Build the run that a config describes.

    Args:
        manual: the config with every stage manual.
        builtin: the same with every stage built-in.
        announce: told in one line what takes time.
        plugins: files of the user's own that may be imported.

    Raises:
        TrainloopError: what building the run raises.
    """
    set_knobs(manual)
    training, _ = build_training(manual, announce, plugins)
    train = manual.train
    return Run(
        name=manual.model.name,
        built_in=False,
        description=(),
        data=manual.data.dataset,
        model=training.model.train(),
        epoch_batches=training.epoch_batches,
        lr=training.lr,
        parts=training.parts,
        total_steps=training.span.total_steps,
        clips=train.clip_grad_norm is not None or train.clip_grad_value is not None,
        manual=side_maker(manual, training.device, plugins),
        builtin=side_maker(builtin, training.device, plugins),
        builtin_but_update=side_maker(_with_any_optimizer(builtin), training.device, plugins),
    )


def built_in_run(manual: RunConfig, builtin: RunConfig) -> Run:
    """Build the built-in example.

    Args:
        manual: a config with every stage manual; of all else only its optimizer is used.
        builtin: the same with every stage built-in.
    """
    device = torch.device("cpu")
    return Run(
        name="TinyNet",
        built_in=True,
        description=first_block(tiny.__doc__ or ""),
        data="one sample",
        model=TinyNet(),
        epoch_batches=lambda _epoch: iter([tiny_batch()]),
        lr=lambda _step: manual.optimizer.lr,
        parts=1,
        total_steps=None,
        clips=False,
        manual=_with_tiny_loss(side_maker(manual, device)),
        builtin=_with_tiny_loss(side_maker(builtin, device), recorded=False),
        builtin_but_update=_with_tiny_loss(side_maker(_with_any_optimizer(builtin), device), recorded=False),
    )


def side_maker(config: RunConfig, device: torch.device, plugins: Sequence[Path] = ()) -> MakeSide:
    """Return what makes a side of a model, with the stages that a config names."""

    def make(model: nn.Module) -> Side:
        context = StageContext(model, config, device, substitutes=own_parts(config, plugins))
        context.tape = tape = WatchedTape(form=config.stages.rules)
        return Side(model, build_stages(context), context.optimizers, tape)

    return make


def _with_tiny_loss(make_side: MakeSide, *, recorded: bool = True) -> MakeSide:
    """Return the same sides with the loss of the built-in example."""

    def make(model: nn.Module) -> Side:
        side = make_side(model)

        def loss(output: Tensor, wanted: Tensor, share: float) -> Tensor:
            del share  # one sample is never split
            if not recorded:
                return tiny_loss(output, wanted)
            with side.tape:
                return tiny_loss(output, wanted)

        return dataclasses.replace(side, stages=dataclasses.replace(side.stages, loss=loss))

    return make


def _with_any_optimizer(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"optimizer": RunConfig().optimizer})
