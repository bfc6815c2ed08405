"""Faults of algorithms for convolution, as ``stages.conv`` chooses them: edits of ``shifts.py``, and kernels of one's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from trainloop.compare.api import TrainingStep
from trainloop.compare.key import Stage
from trainloop.compare.zoo.edit import Edit
from trainloop.compare.zoo.fault import UNKNOWN, Fault, Pair
from trainloop.compare.zoo.nets import cnn, plain_cnn
from trainloop.manual import RULES
from trainloop.manual.conv import CONV2D, Algorithm
from trainloop.manual.conv.choice import Choice
from trainloop.manual.rules.conv_chosen import with_convolution

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, foreach=False)
CONV, BEFORE, WEIGHT = r"activation of conv[12]", r"grad of (conv1|norm1)\.(weight|bias)", r"grad of conv[12]\.weight"
SHIFTS = "conv.shifts"
OWN = "own"
Function = Callable[..., Tensor]


def by_algorithm(order: str, own: Algorithm | None = None, net: Callable[[], nn.Module] = cnn) -> Pair:
    """Return autograd beside a tape whose convolutions are done by named algorithms.

    Args:
        order: as ``stages.conv`` has it.
        own: one more algorithm.
        net: that is trained.
    """
    table = CONV2D if own is None else {**CONV2D, own.name: own}
    step = TrainingStep(net(), SGD)
    return Pair(step, dataclasses.replace(step, tape=True, rules=with_convolution(RULES, Choice(order, table))))


def edited(
    what: str,
    stage: Stage,
    tensor: str,
    within: str,
    change: tuple[str, str],
    cause: tuple[str, ...] | None,
) -> Fault:
    """Return an edit of ``shifts.py`` as a fault; the arguments are those of :class:`Fault`."""

    def make(module: ModuleType) -> Pair:
        return by_algorithm("shifts", module.SHIFTS)

    return Fault(f"kernel: {what}", stage, tensor, make, cause, Edit(SHIFTS, (change,), within))


def written(
    what: str,
    stage: Stage,
    tensor: str,
    change: Callable[[Algorithm], dict[str, Function]],
    cause: tuple[str, ...] | None,
) -> Fault:
    """Return a kernel around the library's as a fault.

    Args:
        what: is wrong.
        stage: see :class:`Fault`.
        tensor: likewise.
        change: the library's → the functions that take the place of its own.
        cause: see :class:`Fault`.
    """

    def make(_: None) -> Pair:
        library = CONV2D["aten"]
        return by_algorithm(OWN, dataclasses.replace(library, name=OWN, **change(library)), plain_cnn)  # type: ignore[arg-type]

    return Fault(f"kernel: {what}", stage, tensor, make, cause)


def _unflipped(library: Algorithm) -> dict[str, Function]:
    def grad_input(grad_output: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        return library.grad_input(grad_output, weight.flip(2, 3), *rest)

    return {"grad_input": grad_input}


def _half_forward(library: Algorithm) -> dict[str, Function]:
    def forward(input: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
        half = None if bias is None else bias.bfloat16()
        return library.forward(input.bfloat16(), weight.bfloat16(), half, *rest).to(input.dtype)

    return {"forward": forward}


def _half_grad_weight(library: Algorithm) -> dict[str, Function]:
    def grad_weight(grad_output: Tensor, input: Tensor, *rest: Any) -> Tensor:
        return library.grad_weight(grad_output.bfloat16(), input.bfloat16(), *rest).to(input.dtype)

    return {"grad_weight": grad_weight}


def _tile_not_reached(library: Algorithm) -> dict[str, Function]:
    def forward(input: Tensor, *rest: Any) -> Tensor:
        output = library.forward(input, *rest).clone()
        output[..., -1, :] = 0
        return output

    return {"forward": forward}


def _first_image_alone(library: Algorithm) -> dict[str, Function]:
    """A block of images whose other blocks were never added."""

    def grad_weight(grad_output: Tensor, input: Tensor, *rest: Any) -> Tensor:
        return library.grad_weight(grad_output[:1], input[:1], *rest)

    return {"grad_weight": grad_weight}


FAULTS: tuple[Fault, ...] = (
    edited(
        "the weight flipped",
        "forward",
        CONV,
        "forward",
        ("weight.view(groups", "weight.flip(2, 3).view(groups"),
        ("kernel flipped (a true convolution)",),
    ),
    edited(
        "padding on one side only",
        "forward",
        CONV,
        "forward",
        ("pad_spatial(input[images], padding)", "pad_spatial(input[images], padding).roll((1, 1), (2, 3))"),
        ("windows of a convolution shifted (all padding on one side)",),
    ),
    edited(
        "grad_input by the flipped weight",
        "backward",
        BEFORE,
        "grad_input",
        ("weight.view(groups", "weight.flip(2, 3).view(groups"),
        ("kernel flipped in grad_input",),
    ),
    edited(
        "grad_weight flipped",
        "backward",
        WEIGHT,
        "grad_weight",
        ("result[..., k, l]", "result[..., -1 - k, -1 - l]"),
        ("kernel flipped in grad_weight",),
    ),
    written(
        "grad_input with the weight not turned",
        "backward",
        r"grad of conv1\.(weight|bias)",
        _unflipped,
        ("kernel flipped in grad_input",),
    ),
    written("bfloat16 inside", "forward", CONV, _half_forward, ("convolution in half precision",)),
    written(
        "bfloat16 inside grad_weight",
        "backward",
        WEIGHT,
        _half_grad_weight,
        ("gradients of a convolution in half precision",),
    ),
    written(
        "the last row never computed",
        "forward",
        CONV,
        _tile_not_reached,
        ("last outputs of a convolution missing (tiles that do not divide it)",),
    ),
    written("grad_weight of the first image alone", "backward", WEIGHT, _first_image_alone, UNKNOWN),
)
