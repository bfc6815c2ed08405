"""What keys demand of each other: the rules that no single key can break alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainloop.config.schema import RunConfig

# The three stages that only work as one: a manual backward needs the tape to have seen forward and loss.
TOGETHER = ("forward", "loss", "backward")
TRAIN_SIZES = {"cifar10-mini": 2_000, "cifar10": 50_000}


@dataclass(frozen=True)
class Misfit:
    """Values that are fine alone and not together.

    Args:
        what: the misfit in one clause.
        paths: the dotted keys involved; the first one that the user wrote is blamed.
        expected: what would be allowed.
        help: how to go on.
    """

    what: str
    paths: tuple[str, ...]
    expected: str = ""
    help: str = ""


class MisfitError(ValueError):
    """Carries every misfit of a section or a run through pydantic."""

    def __init__(self, misfits: tuple[Misfit, ...]) -> None:
        super().__init__("; ".join(misfit.what for misfit in misfits))
        self.misfits = misfits


def check_run(config: RunConfig) -> None:
    """Refuse a run whose keys contradict each other.

    Raises:
        MisfitError: with every misfit.
    """
    misfits = tuple(misfit for rule in _RULES for misfit in rule(config))
    if misfits:
        raise MisfitError(misfits)


def _stages_go_together(config: RunConfig) -> Iterator[Misfit]:
    chosen = {stage: getattr(config.stages, stage) or config.mode for stage in TOGETHER}
    if len(set(chosen.values())) > 1:
        explicit = [f"stages.{stage}" for stage in TOGETHER if getattr(config.stages, stage) is not None]
        differing = [path for path in explicit if getattr(config.stages, path[7:]) != config.mode]
        listed = ", ".join(f"{stage} {choice}" for stage, choice in chosen.items())
        yield Misfit(
            f"the stages forward, loss and backward go together, but are: {listed}",
            tuple(dict.fromkeys([*differing, *explicit, "mode"])),
            "all three builtin or all three manual",
            "a manual backward needs its tape to have seen forward and loss; set all three, or `mode` alone",
        )


def _precision_needs_builtin(config: RunConfig) -> Iterator[Misfit]:
    precision = config.train.precision
    if precision == "fp32":
        return
    stages = (*TOGETHER, "sync", "step") if precision == "fp16" else TOGETHER
    if manual := _manual(config, stages):
        reason = "autocast" if precision == "bf16" else "autocast and the gradient scaler"
        yield Misfit(
            f"train.precision {precision} needs builtin {_joined(stages)}",
            ("train.precision", *manual, "mode"),
            "fp32, or those stages builtin",
            f"{reason} belong{'s' if precision == 'bf16' else ''} to PyTorch's own stages",
        )


def _compile_needs_builtin(config: RunConfig) -> Iterator[Misfit]:
    if config.train.compile and (manual := _manual(config, TOGETHER)):
        yield Misfit(
            f"train.compile needs builtin {_joined(TOGETHER)}",
            ("train.compile", *manual, "mode"),
            "false, or those stages builtin",
            "the manual path must see every operation of the model",
        )


def _manual(config: RunConfig, stages: tuple[str, ...]) -> list[str]:
    return [f"stages.{stage}" for stage in stages if (getattr(config.stages, stage) or config.mode) != "builtin"]


def _joined(stages: tuple[str, ...]) -> str:
    return ", ".join(stages[:-1]) + f" and {stages[-1]}"


def _path_fits_dataset(config: RunConfig) -> Iterator[Misfit]:
    data = config.data
    if data.dataset == "folder" and data.path is None:
        yield Misfit(
            "data.dataset folder needs data.path",
            ("data.path", "data.dataset"),
            "the folder that holds train/<class>/*.png",
            "add `path:` to the section `data`, or --set data.path=FOLDER",
        )
    if data.dataset == "cifar10-mini" and data.path is not None:
        yield Misfit(
            "data.path has no effect with data.dataset cifar10-mini, whose images are inside the package",
            ("data.path", "data.dataset"),
            "no path, or data.dataset cifar10 or folder",
            "for your own images: data.dataset=folder",
        )


def _validation_leaves_images(config: RunConfig) -> Iterator[Misfit]:
    size = TRAIN_SIZES.get(config.data.dataset)
    if size is not None and config.data.val_size >= size:
        yield Misfit(
            f"data.val_size {config.data.val_size} leaves no image to train on",
            ("data.val_size", "data.dataset"),
            f"a whole number < {size} ({config.data.dataset} has {size:,} training images)",
        )


def _best_needs_validation(config: RunConfig) -> Iterator[Misfit]:
    if config.checkpoint.best is not None and config.data.val_size == 0:
        yield Misfit(
            f"checkpoint.best {config.checkpoint.best} needs images to judge by, and data.val_size is 0",
            ("checkpoint.best", "data.val_size"),
            "null, or data.val_size above 0",
            "set images aside, for instance --set data.val_size=5000; the test set is for the end",
        )


def _warmup_ends(config: RunConfig) -> Iterator[Misfit]:
    warmup, epochs = config.schedule.warmup_epochs, config.train.epochs
    if warmup >= epochs:
        yield Misfit(
            f"schedule.warmup_epochs {warmup:g} is not shorter than the run, train.epochs {epochs}",
            ("schedule.warmup_epochs", "train.epochs"),
            f"a number < {epochs}",
            "shorten the warm-up or train longer",
        )


def _milestones_rise(config: RunConfig) -> Iterator[Misfit]:
    schedule = config.schedule
    if schedule.name == "multistep":
        milestones = schedule.milestones
        if any(later <= earlier for earlier, later in itertools.pairwise(milestones)):
            yield Misfit(
                "schedule.milestones must rise from one to the next",
                ("schedule.milestones",),
                "rising epochs, such as [30, 60, 80]",
            )


def _parts_fit_batch(config: RunConfig) -> Iterator[Misfit]:
    parts, batch_size = config.train.accumulation_steps, config.train.batch_size
    if parts > batch_size:
        yield Misfit(
            f"train.accumulation_steps {parts} splits a batch of {batch_size} into empty parts",
            ("train.accumulation_steps", "train.batch_size"),
            f"a whole number from 1 to {batch_size}",
        )


def _nesterov_needs_momentum(config: RunConfig) -> Iterator[Misfit]:
    optimizer = config.optimizer
    if optimizer.name == "sgd" and optimizer.nesterov and (optimizer.momentum == 0 or optimizer.dampening != 0):
        yield Misfit(
            f"optimizer.nesterov needs momentum > 0 and dampening 0, found momentum {optimizer.momentum:g} "
            f"and dampening {optimizer.dampening:g}",
            ("optimizer.nesterov", "optimizer.momentum", "optimizer.dampening"),
            "nesterov false, or momentum > 0 and dampening 0",
        )


def _step_sizes_rise(config: RunConfig) -> Iterator[Misfit]:
    optimizer = config.optimizer
    if optimizer.name == "rprop" and optimizer.step_sizes[0] > optimizer.step_sizes[1]:
        smallest, largest = optimizer.step_sizes
        yield Misfit(
            f"optimizer.step_sizes: the smallest, {smallest:g}, is above the largest, {largest:g}",
            ("optimizer.step_sizes",),
            "the smaller one first, such as [1.0e-06, 50.0]",
        )


def _groups_fit_optimizer(config: RunConfig) -> Iterator[Misfit]:
    optimizer = config.optimizer
    if optimizer.name == "rprop" and any(group.weight_decay is not None for group in optimizer.groups):
        yield Misfit(
            "optimizer rprop has no weight decay, so a group cannot have one",
            ("optimizer.groups", "optimizer.name"),
            "groups without weight_decay, or another optimizer",
        )


_RULES: tuple[Callable[[RunConfig], Iterator[Misfit]], ...] = (
    _stages_go_together,
    _precision_needs_builtin,
    _compile_needs_builtin,
    _path_fits_dataset,
    _validation_leaves_images,
    _best_needs_validation,
    _warmup_ends,
    _milestones_rise,
    _parts_fit_batch,
    _nesterov_needs_momentum,
    _step_sizes_rise,
    _groups_fit_optimizer,
)
