"""From two configs to two implementations, with their batches and lr."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trainloop.build import build_network, build_training, own_parts
from trainloop.compare.implementation import CANDIDATE, REFERENCE, Built, Implementation
from trainloop.compare.names import Names, match_models
from trainloop.compare.plugins import load_substitutes, plugin_file
from trainloop.compare.settings import Sides
from trainloop.config.optimizers import GroupConfig
from trainloop.config.schema import RunConfig
from trainloop.data.pipeline import Batch
from trainloop.device import choose_device, set_knobs
from trainloop.stages import autograd_variant, build_stages, exact_variant
from trainloop.stages.context import USUAL_CONV, StageContext, Substitutes


@dataclass(frozen=True)
class Compared:
    """All that a comparison needs.

    Args:
        reference: one side.
        candidate: the other.
        batches: of the config, epoch after epoch.
        lr: step (from 0) → lr of the reference.
        total_steps: the length of the run.
    """

    reference: Implementation
    candidate: Implementation
    batches: Iterator[Batch]
    lr: Callable[[int], float]
    total_steps: int


def configure(sides: Sides, announce: Callable[[str], None]) -> Compared:
    """Build both sides; sets threads, seeds and determinism of this process as the reference says.

    Args:
        sides: described.
        announce: told in one line what takes time.

    Raises:
        TrainloopError: whatever cannot be built.
    """
    set_knobs(sides.reference)
    training, dataset = build_training(sides.reference, announce, sides.files)
    model = training.model.train()
    candidate_model, names = model, Names()
    if sides.plugins.model:
        config = sides.candidate.model_copy(
            update={"model": sides.candidate.model.model_copy(update={"name": sides.plugins.model, "weights": None})}
        )
        torch.manual_seed(sides.reference.seed)
        files = (*sides.files, plugin_file(sides.plugins.model))
        candidate_model = build_network(config, dataset, choose_device(config.device), files).train()
        names = match_models(model, candidate_model)
        torch.manual_seed(sides.reference.seed)
    substitutes = load_substitutes(sides.plugins, sides.files, sides.candidate.stages.conv)
    own = own_parts(sides.reference, sides.files)
    reference = of_config(REFERENCE, sides.reference_title, sides.reference, model, substitutes=own)
    candidate = of_config(
        CANDIDATE, sides.candidate_title, sides.candidate, candidate_model, substitutes=substitutes, names=names
    )
    factor = sides.candidate.optimizer.lr / sides.reference.optimizer.lr
    candidate = dataclasses.replace(candidate, lr_factor=factor)
    batches = itertools.chain.from_iterable(training.epoch_batches(epoch) for epoch in itertools.count())
    return Compared(reference, candidate, batches, training.lr, training.span.total_steps)


def of_config(
    name: str,
    title: str,
    config: RunConfig,
    model: nn.Module,
    *,
    substitutes: Substitutes | None = None,
    names: Names | None = None,
) -> Implementation:
    """Return what a config describes, over a model.

    Args:
        name: ``reference`` or ``candidate``.
        title: in a few words.
        config: of this side.
        model: with the weights to start from.
        substitutes: parts of the user's own.
        names: how the model's tensors are called on the reference side.
    """
    device = choose_device(config.device)

    def build(own: nn.Module, exact: bool) -> Built:
        context = StageContext(
            own,
            exact_variant(config) if exact else config,
            device,
            substitutes=substitutes or Substitutes(),
            decide_as=torch.float32 if exact else None,
        )
        stages = build_stages(context)
        return stages, context.optimizers

    def optimizer_cases(bag: nn.Module, changes: Mapping[str, Any]) -> Implementation:
        return of_config(name, title, config_of_cases(config, changes), bag, substitutes=substitutes)

    def by_autograd() -> Implementation:
        return of_config(name, title, autograd_variant(config), model, substitutes=substitutes, names=names)

    if config.train.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return Implementation(
        name,
        title,
        model,
        build,
        parts=config.train.accumulation_steps,
        device=device,
        threads=config.threads,
        observable=not config.train.compile,
        channels_last=config.train.channels_last,
        names=names or Names(),
        optimizer_cases=optimizer_cases,
        by_autograd=by_autograd,
        decays=getattr(substitutes and substitutes.optimizer, "decays", True),
        # A kernel of the user's may look at the dtype, and Winograd's compiled form is for float32.
        other_kernels=("forward", "backward") if config.stages.conv != USUAL_CONV else (),
    )


def config_of_cases(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """Return the config for the optimizer cases: one group with weight decay, one without and with an lr of its own.

    Args:
        config: of the run.
        changes: ``weight_decay`` of the first group, where the config has none; 0 for no decay at all.
    """
    optimizer = config.optimizer
    decays = hasattr(optimizer, "weight_decay")
    decay = (getattr(optimizer, "weight_decay", 0.0) or changes["weight_decay"]) if decays else None
    groups = (
        GroupConfig(match="decayed.*", weight_decay=decay),
        GroupConfig(match="plain.*", weight_decay=0.0 if decays else None, lr_scale=0.5),
    )
    return config.model_copy(update={"optimizer": optimizer.model_copy(update={"groups": groups})})
