"""Shrinking: down to the smallest that still fails, always the same way, and not for ever."""

from __future__ import annotations

import pytest
import torch

from trainloop.bench.check import shrink as module
from trainloop.bench.check.shape import Shape, smaller
from trainloop.bench.check.shrink import shrink, smaller_cases
from trainloop.bench.check.trial import Case

LARGE = Shape(5, 6, 7, (12, 11), (5, 5), (2, 3), (2, 2), (2, 1), 3)
FAILS = {
    "always": (lambda _shape: True, Shape()),
    "two images": (lambda shape: shape.num >= 2, Shape(num=2)),
    "wide images": (lambda shape: shape.size[1] > 7, Shape(size=(1, 8))),
    "a sum": (lambda shape: sum(shape.size) >= 9, Shape(size=(1, 8))),
    "both axes alike": (
        lambda shape: shape.kernel_size[0] == shape.kernel_size[1] > 2,
        Shape(kernel_size=(3, 3)),
    ),
    "stride and padding": (
        lambda shape: shape.stride[0] > 1 and shape.padding[1] > 1,
        Shape(stride=(2, 1), padding=(0, 2)),
    ),
}


@pytest.mark.parametrize(("fails", "smallest"), FAILS.values(), ids=FAILS)
def test_it_ends_at_the_smallest(fails, smallest):
    assert shrink(LARGE, smaller, fails) == smallest


def test_what_fails_nowhere_else_stays():
    assert shrink(LARGE, smaller, lambda shape: shape == LARGE) == LARGE


def test_it_gives_up_after_some_tries(monkeypatch):
    monkeypatch.setattr(module, "MOST_TRIES", 7)
    asked = []
    shrink(LARGE, smaller, lambda shape: bool(asked.append(shape)))
    assert len(asked) == 7


def test_a_case_loses_its_layout_and_its_bias_first():
    case = Case(Shape(), "conv2d", "forward", torch.float32, "sliced", bias=True)
    first, second = smaller_cases(case)
    assert (first.layout, first.bias) == ("NCHW", True)
    assert (second.layout, second.bias) == ("sliced", False)


def test_only_possible_cases_are_tried():
    case = Case(Shape(size=(3, 3), kernel_size=(3, 3)), "conv2d", "forward", torch.float32, "NCHW")
    assert all(one.shape.can_be("conv2d") for one in smaller_cases(case))
    assert not any(one.shape.size == (1, 1) for one in smaller_cases(case))
