"""How a fault of a layer is made, and those of convolutions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType

import torch
from torch import nn

from trainloop.compare.api import TrainingStep
from trainloop.compare.zoo.edit import Edit
from trainloop.compare.zoo.fault import UNKNOWN, Fault, Pair, formulas, with_rules
from trainloop.compare.zoo.nets import cnn
from trainloop.manual.rule import by_function

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, foreach=False)
BEFORE_CONV2 = r"grad of (conv1|norm1)\.(weight|bias)"
"""what a wrong grad_input of conv2 spoils"""


def ruled(
    what: str,
    stage: str,
    tensor: str,
    module: str,
    changes: tuple[tuple[str, str], ...],
    cause: tuple[str, ...] | None,
    *,
    net: Callable[[], nn.Module] = cnn,
    within: str = "",
    through: tuple[str, ...] = (),
) -> Fault:
    """Return an edit that reaches the tape by a rule as a fault, against autograd; the candidate computes by formulas.

    Args:
        what: is wrong.
        stage: see :class:`Fault`.
        tensor: likewise.
        module: see :class:`Edit`.
        changes: likewise.
        cause: see :class:`Fault`.
        net: that shows it.
        within: see :class:`Edit`.
        through: likewise; the last one, or ``module``, has the table of rules.
    """
    edit = Edit(module, changes, within, through)
    table = (through[-1] if through else module).rpartition(".")[2].upper()

    def make(edited: ModuleType) -> Pair:
        rules = with_rules(formulas(by_function(getattr(edited, table))))
        model = net()
        return Pair(TrainingStep(model, SGD), TrainingStep(model, SGD, tape=True, rules=rules))

    return Fault(what, stage, tensor, make, cause, edit)  # type: ignore[arg-type]


def modelled(
    what: str,
    stage: str,
    tensor: str,
    right: Callable[[], nn.Module],
    wrong: Callable[[], nn.Module],
    cause: tuple[str, ...] | None,
) -> Fault:
    """Return another model with the same parameters as a fault."""

    def make(_: None) -> Pair:
        return Pair(TrainingStep(right(), SGD), TrainingStep(wrong(), SGD))

    return Fault(what, stage, tensor, make, cause)  # type: ignore[arg-type]


IM2COL, THROUGH_CONV = "conv.im2col", ("rules.conv",)
GRAD_COLUMNS = "_columns(input[images], kernel_size, stride, padding, dilation, groups)"
WEIGHT = "_weight_matrix(weight, groups)"
TAPS = "taps_last.movedim(-1, 1)"


def conv(
    what: str, tensor: str, within: str, old: str, new: str, cause: tuple[str, ...] | None, stage: str = "backward"
) -> Fault:
    """Return an edit of one function of the convolution's formula as a fault."""
    return ruled(f"conv: {what}", stage, tensor, IM2COL, ((old, new),), cause, within=within, through=THROUGH_CONV)


FAULTS: tuple[Fault, ...] = (
    conv(
        "grad_input with the kernel not flipped",
        BEFORE_CONV2,
        "grad_input",
        WEIGHT,
        "_weight_matrix(weight.flip(2, 3), groups)",
        ("kernel flipped in grad_input",),
    ),
    conv(
        "grad_input with height and width of the kernel exchanged",
        BEFORE_CONV2,
        "grad_input",
        WEIGHT,
        "_weight_matrix(weight.mT, groups)",
        ("kernel transposed in grad_input (rows for columns)",),
    ),
    conv(
        "grad_weight flipped",
        r"grad of conv[12]\.weight",
        "grad_weight",
        TAPS,
        f"{TAPS}.flip(2, 3)",
        ("kernel flipped in grad_weight",),
    ),
    conv(
        "grad_weight with height and width exchanged",
        r"grad of conv[12]\.weight",
        "grad_weight",
        TAPS,
        f"{TAPS}.mT",
        UNKNOWN,
    ),
    conv(
        "grad_weight without the padding",
        r"grad of conv[12]\.weight",
        "grad_weight",
        GRAD_COLUMNS,
        "_columns(torch.nn.functional.pad(input[images], [pad for pad in padding for _ in range(2)], mode='replicate'), "
        "kernel_size, stride, (0,) * len(stride), dilation, groups)",
        UNKNOWN,
    ),
    conv(
        "grad_weight of the mean over the batch",
        r"grad of conv[12]\.weight",
        "grad_weight",
        TAPS,
        f"({TAPS} / input.shape[0])",
        UNKNOWN,
    ),
    conv(
        "grad_bias as a mean",
        r"grad of conv2\.bias",
        "grad_bias",
        ".sum((0,",
        ".mean((0,",
        ("gradient of a convolution's bias averaged",),
    ),
    conv(
        "groups exchanged in grad_weight",
        r"grad of conv2\.weight",
        "grad_weight",
        "groups), columns)",
        "groups), columns.flip(0))",
        UNKNOWN,
    ),
    conv(
        "the kernel flipped",
        r"activation of conv[12]",
        "forward",
        "_weight_matrix(weight, groups)",
        "_weight_matrix(weight.flip(2, 3), groups)",
        ("kernel flipped (a true convolution)",),
        "forward",
    ),
    # The fault is in both convolutions; a black image shows it in the second, and comes first.
    conv(
        "the bias forgotten",
        r"activation of conv1",
        "forward",
        "output if bias is None else",
        "output if True else",
        ("bias of a convolution forgotten",),
        "forward",
    ),
    modelled(
        "conv: padding by the other edge",
        "forward",
        r"activation of conv1",
        cnn,
        partial(cnn, padding_mode="circular"),
        UNKNOWN,
    ),
)
