"""What a loss refuses: the kind of error, and the name and value in its message; alone and as a rule, in both forms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainloop.manual import Tape
from trainloop.manual.losses import LOSSES


def logits(*shape):
    return torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape).requires_grad_()


def labels(*values):
    return torch.tensor(values)


def halves(*shape):
    return torch.full(shape, 0.5, requires_grad=True)


BOTH_LABEL_LOSSES = ("cross_entropy", "nll_loss")
ALL = tuple(LOSSES)
REFUSALS = [
    (BOTH_LABEL_LOSSES, lambda: (logits(3, 4), labels(0, 4, 2)), {}, IndexError, r"label 4 .* \(3, 4\) has 4 classes"),
    (BOTH_LABEL_LOSSES, lambda: (logits(3, 4), labels(0, -1, 2)), {}, IndexError, "label -1 .* ignore_index is -100"),
    (
        BOTH_LABEL_LOSSES,
        lambda: (logits(3, 4), labels(1, -100, 9)),
        {"reduction": "none"},
        IndexError,
        "label 9 is out of range",
    ),
    (BOTH_LABEL_LOSSES, lambda: (logits(4), torch.tensor(7)), {}, IndexError, "label 7 is out of range"),
    (BOTH_LABEL_LOSSES, lambda: (logits(1, 4, 2, 2), torch.full((1, 2, 2), 4)), {}, IndexError, "label 4 .* 4 classes"),
    (
        BOTH_LABEL_LOSSES,
        lambda: (logits(3, 4), labels(0, 4, 2), torch.ones(4)),
        {},
        IndexError,
        "label 4 is out of range",
    ),
    (BOTH_LABEL_LOSSES, lambda: (logits(3, 4), labels(0, 1)), {}, ValueError, r"shape \(2,\), expected \(3,\)"),
    (BOTH_LABEL_LOSSES, lambda: (logits(3, 4), torch.tensor(1)), {}, ValueError, r"shape \(\), expected \(3,\)"),
    (BOTH_LABEL_LOSSES, lambda: (logits(2, 4, 3), torch.zeros(2, 2).long()), {}, ValueError, r"expected \(2, 3\)"),
    (("nll_loss",), lambda: (logits(), torch.tensor(1)), {}, ValueError, r"shape \(\), expected \(K,\)"),
    (
        BOTH_LABEL_LOSSES,
        lambda: (logits(3, 4), labels(0, 1, 2).int()),
        {},
        TypeError,
        "torch.int32, expected torch.int64",
    ),
    (BOTH_LABEL_LOSSES, lambda: (logits(3, 4), labels(0.0, 1.0, 2.0)), {}, TypeError, r"torch.float32.*\(3, 4\)"),
    (
        BOTH_LABEL_LOSSES,
        lambda: (logits(3, 4), labels(0, 1, 2), torch.ones(3)),
        {},
        ValueError,
        r"\(3,\), expected \(4,\)",
    ),
    (
        BOTH_LABEL_LOSSES,
        lambda: (logits(3, 4), labels(0, 1, 2), torch.ones(4).double()),
        {},
        TypeError,
        "weight has dtype torch.float64, expected .* torch.float32",
    ),
    (
        ("cross_entropy",),
        lambda: (logits(3, 4), torch.zeros(3, 4).long()),
        {},
        TypeError,
        "torch.int64, which is not floating",
    ),
    (("cross_entropy",), lambda: (logits(3, 4), halves(3, 4)), {"ignore_index": 2}, ValueError, r"ignore_index \(=2\)"),
    (
        ("cross_entropy",),
        lambda: (logits(3, 4), halves(3, 4), torch.ones(5)),
        {},
        ValueError,
        r"\(5,\), expected \(4,\)",
    ),
    (("cross_entropy",), lambda: (logits(1, 4), labels(0)), {"label_smoothing": 1.5}, ValueError, r"\(=1.5\) must be"),
    (
        ("cross_entropy",),
        lambda: (logits(1, 4), labels(0)),
        {"label_smoothing": -0.1},
        ValueError,
        r"\(=-0.1\) must be",
    ),
    (("smooth_l1_loss",), lambda: (logits(3), logits(3)), {"beta": -1.0}, (ValueError, RuntimeError), "beta"),
    (("huber_loss",), lambda: (logits(3), logits(3)), {"delta": 0.0}, (ValueError, RuntimeError), "delta"),
    (("mse_loss", "huber_loss"), lambda: (logits(3), logits(3)), {"weight": torch.ones(1)}, ValueError, "(?i)weight"),
    (
        ("binary_cross_entropy_with_logits", "binary_cross_entropy"),
        lambda: (halves(3, 1), halves(3, 4)),
        {},
        ValueError,
        r"(?i)target.*\(?\[?3, 4",
    ),
    (
        ("binary_cross_entropy_with_logits",),
        lambda: (halves(3, 4), halves(3, 4)),
        {"pos_weight": torch.ones(3)},
        ValueError,
        r"pos_weight has shape \(3,\).*\(3, 4\)",
    ),
    (
        ("binary_cross_entropy",),
        lambda: (logits(3), halves(3)),
        {},
        RuntimeError,
        "all elements of input.*between 0 and 1",
    ),
    (
        ("binary_cross_entropy",),
        lambda: (halves(1), labels(2.0)),
        {},
        RuntimeError,
        "all elements of target.*between 0 and 1",
    ),
    (
        ("binary_cross_entropy",),
        lambda: (labels(torch.nan), halves(1)),
        {},
        RuntimeError,
        "elements of input.*between 0 and 1",
    ),
]
CASES = [(name, *refusal) for names, *refusal in REFUSALS for name in names]


@pytest.mark.parametrize(("name", "arguments", "options", "kind", "message"), CASES)
def test_a_loss_called_alone_refuses(name, arguments, options, kind, message):
    with pytest.raises(kind, match=message):
        LOSSES[name](*arguments(), **options)


@pytest.mark.parametrize("form", ["formula", "aten"])
@pytest.mark.parametrize(("name", "arguments", "options", "kind", "message"), CASES)
def test_a_tape_refuses_and_so_does_torch(name, arguments, options, kind, message, form):
    with Tape(form=form), pytest.raises(kind, match=message):
        getattr(F, name)(*arguments(), **options)


@pytest.mark.parametrize("name", ALL)
def test_an_unknown_reduction_is_named(name):
    target = labels(0, 1) if name in BOTH_LABEL_LOSSES else halves(2, 3)
    with pytest.raises(ValueError, match=r"reduction \(='avg'\) must be one of none, mean, sum"):
        LOSSES[name](halves(2, 3), target, reduction="avg")


def test_the_value_outside_of_the_probabilities_is_named():
    with pytest.raises(RuntimeError, match=r"all elements of target .* between 0 and 1, found 1\.5"):
        LOSSES["binary_cross_entropy"](halves(2), labels(0.5, 1.5))
